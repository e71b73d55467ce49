"""Copies of requests, as a `Cutover` has them."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bridge import ConfigError, Cutover, Route
from bridge.asgi.lifespan import Lifespan
from bridge.cutover.shadow.report.summary import read_report
from bridge.types import Receive, Scope, Send
from tests.support.in_process import http_scope
from tests.support.shadows import answering, asked, copies_of, counted, shadowed, until


def ask_all(app: Cutover, *scopes: Scope, copied: int) -> None:
    """Ask one after the other, and wait until so many copies are counted."""

    async def main() -> None:
        for scope in scopes:
            await asked(app, scope)
        await until(lambda: sum(counted(app).values()) == copied)
        await copies_of(app).stop()

    asyncio.run(main())


def test_the_old_app_answers_and_the_new_one_is_asked_afterwards(tmp_path: Path) -> None:
    """M10, M12: the same request, which says that it is a copy; the report sums up."""
    report = tmp_path / "report"
    old, new = answering({"a": 1}), answering({"a": 2})
    app = shadowed(old, new, report=str(report))
    headers = [(b"host", b"example.com"), (b"x-shadow", b"7"), (b"accept", b"*/*")]
    ask_all(
        app,
        http_scope("/a/1", headers=headers, query_string=b"x=1", root_path=""),
        http_scope("/a/1", method="HEAD"),
        http_scope("/b"),
        copied=2,
    )
    first: Any = new.seen[0]  # type: ignore[attr-defined]
    assert first["headers"] == [headers[0], headers[2], (b"x-shadow", b"1")]
    assert first["extensions"] == {"bridge.shadow": {"route": "a", "side": "new"}}
    assert (first["path"], first["query_string"], first["method"]) == ("/a/1", b"x=1", "GET")
    seen_by_old: Any = old.seen[0]  # type: ignore[attr-defined]
    assert seen_by_old["headers"] == [headers[0], headers[2]]
    assert len(old.seen) == 3  # type: ignore[attr-defined]
    assert counted(app) == {"different": 1, "equal": 1}
    summary = read_report(report)
    assert (summary.compared, summary.different) == (2, 1)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get"])
def test_other_methods_are_never_copied(method: str) -> None:
    """M10: whatever the settings."""
    new = answering()
    app = shadowed(answering(b"old"), new)
    ask_all(app, http_scope("/a/1", method=method), http_scope("/a/1"), copied=1)
    assert len(new.seen) == 1  # type: ignore[attr-defined]


def test_websockets_and_copies_are_not_copied() -> None:
    """M10: neither is a request, or not a client's."""
    app = shadowed(answering(b"old"), answering())
    copies, (route,) = copies_of(app), app.table.routes

    async def serve(app: Any, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    websocket = {**http_scope("/a/1"), "type": "websocket"}
    copied = {**http_scope("/a/1"), "extensions": {"bridge.shadow": {}}}
    for scope in (websocket, copied):
        assert copies.serving(route, scope, serve) is serve
    assert copies.serving(route, http_scope("/a/1"), serve) is not serve


def test_a_sample_is_copied() -> None:
    """M10: of the route, or of all; what is not in it is not counted."""
    routes = [Route("a", "/a/{x}", mode="shadow"), Route("b", "/b", mode="shadow", sample="50%")]
    app = Cutover(answering(), answering(b"new"), routes, shadow={"sample": 0})
    copies = copies_of(app)
    a, b = app.table.routes
    assert not any(copies.begins(a, "GET") for _ in range(100))
    assert 0 < sum(copies.begins(b, "GET") for _ in range(1000)) < 1000
    assert copies.counts() == {}


def test_a_new_app_that_did_not_start_gets_none() -> None:
    """M10: they are counted as dropped; and at the end of a lifespan copies end, too."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    async def main() -> None:
        app = shadowed(answering(), failing)
        lifespan = Lifespan(app, startup_timeout=None, shutdown_timeout=None)
        await lifespan.startup()
        await asked(app, http_scope("/a/1"))
        assert copies_of(app).reasons() == {"a": {"not-started": 1}}
        await lifespan.shutdown()
        await asked(app, http_scope("/a/1"))
        assert copies_of(app).reasons() == {"a": {"not-started": 2}}

    asyncio.run(main())


def test_a_copy_has_the_state_of_the_new_apps_lifespan() -> None:
    """M10: as a request to it has, and nothing of the old app's."""

    def stateful(name: str) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                scope["state"][name] = 1
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "http.response.start", "status": 200})
            body = json.dumps([*scope["state"]]).encode()
            await send({"type": "http.response.body", "body": body})
            app.states.append([*scope["state"]])  # type: ignore[attr-defined]

        app.states = []  # type: ignore[attr-defined]
        return app

    async def main() -> None:
        old, new = stateful("old"), stateful("new")
        app = shadowed(old, new)
        lifespan = Lifespan(app, startup_timeout=None, shutdown_timeout=None, state={"host": 1})
        await lifespan.startup()
        await asked(app, http_scope("/a/1", state={"host": 1}))
        await until(lambda: counted(app))
        assert (old.states, new.states) == ([["host", "old"]], [["host", "new"]])
        await lifespan.shutdown()

    asyncio.run(main())


def test_there_are_copies_from_the_first_route_in_shadow_on(tmp_path: Path) -> None:
    """M10, M5: also if that is switched later; a report that cannot be written is one line."""
    routes = [Route("a", "/a/{x}")]
    app = Cutover(answering(), answering(b"new"), routes)
    assert app.copies is None
    app.switches.set("a", "shadow")
    assert app.copies is not None
    copies = app.copies
    app.switches.set("a", "new")
    assert app.copies is copies
    app = Cutover(answering(), answering(b"new"), routes, shadow={"report": str(tmp_path / "x/y")})
    with pytest.raises(ConfigError, match="cannot be written"):
        app.switches.set("a", "shadow")
    assert app.table.routes[0].mode == "old"
    with pytest.raises(ConfigError, match="shadow: sample is 200"):
        Cutover(answering(), answering(b"new"), routes, shadow={"sample": 200})


def test_a_stop_needs_no_thread_of_the_loop(tmp_path: Path) -> None:
    """M10: the new app may hold all of them for ever; what was compared is written."""
    free = threading.Event()

    async def new(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(free.wait, 30)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        app = shadowed(answering(), new, timeout=1, report=str(tmp_path / "report"))
        await asked(app, http_scope("/a/1"))
        await until(lambda: counted(app) == {"failed": 1})
        await copies_of(app).stop()
        assert not free.is_set()
        free.set()

    asyncio.run(main())
    assert "no answer" in (tmp_path / "report").read_text()
