"""One request that a WSGI app on a worker answers (L9, L10, W)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from bridge.gateway.back.app_session import AppSession
from bridge.gateway.back.wsgi_session import WsgiSession
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import ANSWER, CANCEL, END, EVENTS, TAKEN
from bridge.types import Environ, Message, Scope, StartResponse, WSGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.sessions import Ends, quiet, until, upload


class Run:
    """A WSGI app that runs for one request, under a runner."""

    def __init__(
        self, app: WSGIApp, runner: str, events: list[Message] | None = None, **scope: Any
    ) -> None:
        about: Scope = {"type": "http", "method": "GET", "path": "/a", "headers": [], **scope}
        self.app = WsgiToAsgi(app, runner=runner)
        self.ends = Ends(about, [upload()] if events is None else events)
        self.session = WsgiSession(
            self.ends, self.ends.request, self.app, self.start, self._note_end
        )
        self.task: asyncio.Task[None] | None = None
        self.over = False
        self.ended = 0

    async def begin(self) -> None:
        """Do as a worker does, after the lifespan."""
        coming = [{"type": "lifespan.startup"}]

        async def receive() -> Message:
            return coming.pop() if coming else await asyncio.Event().wait()  # type: ignore[func-returns-value]

        async def send(message: Message) -> None:
            lifespan.cancel()

        lifespan = asyncio.ensure_future(self.app({"type": "lifespan"}, receive, send))
        await asyncio.wait([lifespan])
        self.over = self.session.begin({"pool": 1})

    def start(self, session: AppSession, coroutine: Coroutine[Any, Any, None]) -> None:
        self.task = asyncio.ensure_future(coroutine)

    def _note_end(self, session: AppSession) -> None:
        self.ended += 1

    @property
    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.ends.written]

    async def answer(self) -> bytes:
        events = await asyncio.wait_for(self.ends.answer(), 20)
        return b"".join(each.get("body", b"") for each in events)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    assert environ["asgi.scope"]["state"] == {"pool": 1}
    start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
    return [b"hello"]


def pieces(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"hel"
    yield b"lo"


@pytest.mark.parametrize("runner", ["thread", "inline"])
def test_a_response_that_is_whole_is_one_frame(runner: str) -> None:
    """L9: no task runs for it."""

    async def test() -> None:
        ran = Run(hello, runner)
        await ran.begin()
        assert await ran.answer() == b"hello"
        fields = [(b"x-path", b"/a"), (b"content-length", b"5")]
        assert ran.ends.written == [(ANSWER, [200, fields, b"hello"])]
        assert (ran.over, ran.ended, ran.task) == (
            (False, 1, None) if runner == "thread" else (True, 0, None)
        )
        await ran.app.runner.stop()

    run(test)


@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
@pytest.mark.parametrize(
    ("app", "events", "scope", "body", "kinds"),
    [
        (pieces, None, {}, b"hello", {TAKEN, EVENTS, END}),
        (hello, [upload(b"x")], {"method": "POST"}, b"hello", {ANSWER}),
        (hello, None, {"headers": [(b"content-length", b"x")]}, None, {ANSWER}),
    ],
)
def test_what_needs_a_task(
    app: WSGIApp,
    events: list[Message] | None,
    scope: dict[str, Any],
    body: bytes | None,
    kinds: set[int],
    runner: str,
) -> None:
    """L9: a response in pieces, a request with a body, one that is refused."""

    async def test() -> None:
        ran = Run(app, runner, events, **scope)
        await ran.begin()
        assert await ran.answer() == body or body is None
        assert ran.task is not None
        await ran.task
        assert set(ran.kinds) == kinds
        assert ran.ended == 0  # the task tells
        await ran.app.runner.stop()

    run(test)


def test_a_gateway_that_was_told_gets_messages() -> None:
    """L10: as the app takes its time; and so it is with a response of more than a window."""
    go_on = threading.Event()

    def slow(environ: Environ, start_response: StartResponse) -> list[bytes]:
        go_on.wait(20)
        return hello(environ, start_response)

    def large(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x" * (WINDOW + 1)]

    async def test() -> None:
        ran = Run(slow, "thread")
        await ran.begin()
        assert ran.session.tell()
        go_on.set()
        assert await ran.answer() == b"hello"
        assert ran.kinds == [TAKEN, EVENTS, EVENTS, END]
        for runner in ("thread", "inline"):
            ran = Run(large, runner)
            await ran.begin()
            assert len(await ran.answer()) == WINDOW + 1
            await ran.app.runner.stop()

    run(test)


@pytest.mark.parametrize("runner", ["thread", "inline"])
def test_an_app_that_raises(caplog: pytest.LogCaptureFixture, runner: str) -> None:
    """L13 W38: logged once, and the client gets a 500."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise ValueError("no")

    async def test() -> None:
        ran = Run(app, runner)
        await ran.begin()
        await ran.answer()
        assert [(kind, payload[0]) for kind, payload in ran.ends.written] == [(ANSWER, 500)]
        await ran.app.runner.stop()

    run(test)
    assert [record.getMessage() for record in caplog.records] == ["the app raised in GET /a"]


def test_an_app_that_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    """L13 W38: the gateway is told, and cuts the response."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"hel"
        raise ValueError("no")

    async def test() -> None:
        ran = Run(app, "thread")
        await ran.begin()
        assert await ran.answer() == b"hel"
        assert "ValueError" in ran.ends.ended_with
        await ran.app.runner.stop()

    run(test)


def test_a_client_that_leaves_while_a_thread_works() -> None:
    """L10: the app runs to its end, and what it makes goes nowhere."""
    go_on = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        go_on.wait(20)
        return hello(environ, start_response)

    async def test() -> None:
        ran = Run(app, "thread")
        await ran.begin()
        ran.session.tell()
        ran.ends.gateway.write(CANCEL, None)
        await quiet()
        go_on.set()
        await until(lambda: ran.task)
        assert ran.task is not None
        await ran.task
        assert ran.kinds == [TAKEN]
        await ran.app.runner.stop()

    run(test)


def test_what_is_cut() -> None:
    """L9 P2: a thread goes on alone, a task is cancelled; the gateway answers for both."""
    go_on = threading.Event()

    def slow(environ: Environ, start_response: StartResponse) -> list[bytes]:
        go_on.wait(20)
        return hello(environ, start_response)

    def stuck(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        go_on.wait(20)
        yield b"y"

    async def test() -> None:
        ran, streams = Run(slow, "thread"), Run(stuck, "thread")
        await ran.begin()
        ran.session.cut(None)
        assert (ran.kinds, ran.ended) == ([TAKEN, CANCEL], 1)
        await streams.begin()
        await until(lambda: streams.task and EVENTS in streams.kinds)
        assert streams.task is not None
        streams.session.cut(streams.task)
        await streams.task
        assert (streams.kinds[-1], streams.ended) == (CANCEL, 0)
        go_on.set()
        await quiet()
        assert ran.kinds == [TAKEN, CANCEL]
        for each in (ran, streams):
            await each.app.runner.stop()

    run(test)
