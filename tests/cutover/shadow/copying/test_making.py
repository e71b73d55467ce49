"""Copies in the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from bridge import Cutover, Route
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.in_process import Answer, http_scope
from tests.support.shadows import answering, asked, copies_of, counted, shadowed, until


async def ask(app: Cutover, path: str = "/a/1", **more: Any) -> Answer:
    return await asked(app, http_scope(path, **more))


@asynccontextmanager
async def stopped_at_the_end(app: Cutover) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await copies_of(app).stop()


class Hanging:
    """An app that hangs until it is cancelled, or that does not even end then."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.running = 0
        self.free = asyncio.Event()
        self.stubborn = stubborn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        try:
            while not self.free.is_set():
                try:
                    await self.free.wait()
                except asyncio.CancelledError:
                    if not self.stubborn:
                        raise
        finally:
            self.running -= 1


def test_a_new_app_that_hangs_is_ended_and_bounded() -> None:
    """M10: so many copies at once, so many that wait; the others are dropped, and counted."""

    async def main() -> None:
        new = Hanging()
        app = shadowed(answering(), new, concurrency=2, timeout=0.2)
        async with stopped_at_the_end(app):
            for _ in range(30):
                assert (await ask(app)).body == b"same"
            await until(lambda: new.running == 2)
            await until(lambda: counted(app).get("failed", 0) >= 2)
            assert new.running <= 2
            await until(lambda: sum(counted(app).values()) == 30)
            assert set(copies_of(app).reasons()["a"]) <= {"busy", "late"}

    asyncio.run(main())


def test_an_app_that_cannot_be_cancelled_keeps_its_place() -> None:
    """M10: no further copy is begun for it, and no client waits."""

    async def main() -> None:
        new = Hanging(stubborn=True)
        app = shadowed(answering(), new, concurrency=1, timeout=1)
        async with stopped_at_the_end(app):
            await ask(app)
            await until(lambda: counted(app) == {"failed": 1})
            await ask(app)
            await until(lambda: copies_of(app).reasons() == {} and new.running == 1)
            new.free.set()
            await until(lambda: sum(counted(app).values()) == 2)

    asyncio.run(main())


def test_a_wsgi_app_that_hangs_holds_threads_of_its_own() -> None:
    """M10: clients of the same pool go on."""
    free = threading.Event()
    held: list[str] = []

    def new(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"].startswith("/a/"):
            assert environ["HTTP_X_SHADOW"] == "1"
            assert "bridge.shadow" in environ["asgi.scope"]["extensions"]
            held.append(threading.current_thread().name)
            free.wait(20)
        start_response("200 OK", [])
        return [b"same"]

    async def main() -> None:
        routes = [Route("a", "/a/{x}", mode="shadow"), Route("b", "/b", mode="new")]
        shadow = {"concurrency": 2, "timeout": 0.1}
        app = Cutover(answering(), new, routes, shadow=shadow, threads=1)
        async with stopped_at_the_end(app):
            for _ in range(6):
                await ask(app)
            await until(lambda: len(held) == 2)
            assert (await ask(app, "/b")).body == b"same"
            await until(lambda: counted(app).get("failed") == 2)
            assert (await ask(app, "/b")).body == b"same"
            assert len(held) == 2
            free.set()
            await until(lambda: sum(counted(app).values()) == 6)

    asyncio.run(main())


def test_a_switch_ends_the_copies_of_its_route() -> None:
    """M10: those that are made, and those that wait."""

    async def main() -> None:
        new = Hanging()
        app = shadowed(answering(), new, concurrency=1)
        async with stopped_at_the_end(app):
            for _ in range(3):
                await ask(app)
            await until(lambda: new.running == 1)
            app.switches.set("a", "old")
            await until(lambda: copies_of(app).reasons() == {"a": {"stopped": 3}})
            assert new.running == 0

    asyncio.run(main())


def test_a_stop_waits_for_no_copy() -> None:
    """M10: they are cancelled, and there are no others until there is a start."""

    async def main() -> None:
        new = Hanging()
        app = shadowed(answering(), new, concurrency=1)
        copies = copies_of(app)
        await ask(app)
        await ask(app)
        await until(lambda: new.running == 1)
        await copies.stop()
        await until(lambda: counted(app) == {"dropped": 2})
        await ask(app)
        assert copies.reasons() == {"a": {"stopped": 3}}
        copies.start()
        new.free.set()
        await ask(app)
        await until(lambda: counted(app) == {"dropped": 3, "failed": 1})
        await copies.stop()

    asyncio.run(main())


def test_exceptions_of_the_new_app_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """M10: with their place, but one in some seconds."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("no")

    async def main() -> None:
        app = shadowed(answering(), broken)
        async with stopped_at_the_end(app):
            for _ in range(3):
                await ask(app)
            await until(lambda: counted(app) == {"failed": 3})

    asyncio.run(main())
    told = [each for each in caplog.records if "a copy of route a" in each.getMessage()]
    assert [each.getMessage() for each in told] == ["a copy of route a: it raised ValueError"]
    assert told[0].exc_info


def test_a_get_that_names_another_method_is_not_copied() -> None:
    """M10: no app sees a copy of it, whether a field or the query says so."""
    old, new = answering(), answering()
    override = [(b"x-http-method-override", b"DELETE")]

    async def main() -> None:
        app = shadowed(old, new, noise=100)
        async with stopped_at_the_end(app):
            assert (await ask(app, headers=override)).body == b"same"
            await ask(app, query_string=b"_method=DELETE")
            await until(lambda: copies_of(app).reasons() == {"a": {"method-override": 2}})

    asyncio.run(main())
    assert (len(old.seen), new.seen) == (2, [])  # type: ignore[attr-defined]


def test_the_old_app_is_asked_twice_for_its_noise() -> None:
    """M11: as a copy, too; if it does not answer then, there is no noise to learn from."""
    seen: list[bool] = []

    async def old(scope: Scope, receive: Receive, send: Send) -> None:
        copied = "bridge.shadow" in scope.get("extensions", {})
        seen.append(copied)
        if copied and scope["path"] == "/a/once":
            raise ValueError
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": f"{len(seen)} words".encode()})

    async def main() -> None:
        app = shadowed(old, answering(b"0 words"), noise=100)
        async with stopped_at_the_end(app):
            await ask(app)
            await until(lambda: counted(app))
            await ask(app, "/a/once")
            await until(lambda: sum(counted(app).values()) == 2)
        assert seen == [False, True, False, True]

    asyncio.run(main())


def test_a_request_that_outlasts_a_switch_is_not_copied() -> None:
    """M10: nor is one that outlasts the server's stop."""

    async def main() -> None:
        new, free = answering(), asyncio.Event()

        async def old(scope: Scope, receive: Receive, send: Send) -> None:
            await free.wait()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b""})

        app = shadowed(old, new)
        tasks = [asyncio.create_task(ask(app)) for _ in range(2)]
        await asyncio.sleep(0)
        copies_of(app)._maker._look()  # it has seen the routes in force before
        app.switches.set("a", "old")
        copies_of(app)._maker._look()
        free.set()
        await asyncio.gather(*tasks)
        await until(lambda: copies_of(app).reasons() == {"a": {"stopped": 2}})
        app.switches.set("a", "shadow")
        free.clear()
        task = asyncio.create_task(ask(app))
        await asyncio.sleep(0)
        await copies_of(app).stop()
        free.set()
        await task
        assert copies_of(app).reasons() == {"a": {"stopped": 3}}
        assert new.seen == []  # type: ignore[attr-defined]
        assert copies_of(app).room._left == 64 * 1024 * 1024

    asyncio.run(main())


def test_an_answer_that_comes_too_late_takes_no_memory() -> None:
    """M10: of an app that goes on when it is cancelled, and answers then."""

    async def main() -> None:
        ended = 0

        async def new(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal ended
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
            await asyncio.sleep(0.01)
            await send({"type": "http.response.start", "status": 500})
            await send({"type": "http.response.body", "body": b"x" * 1000})
            ended += 1

        app = shadowed(answering(), new, timeout=0.8)  # it must have begun
        async with stopped_at_the_end(app):
            for number in range(3):
                await ask(app)
                await until(lambda n=number + 1: ended == n)  # type: ignore[misc]
            await until(lambda: counted(app) == {"failed": 3})
        assert copies_of(app).room._left == 64 * 1024 * 1024

    asyncio.run(main())
