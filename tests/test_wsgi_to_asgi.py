"""WsgiToAsgi in process: which messages it sends and asks for, when, and what it leaves behind.

What a client sees over the wire is in tests/contract/wsgi.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge.adapters.wsgi_on_asgi.websocket import CLOSED, OPEN, RejectionSink
from bridge.errors import ClientDisconnected, ConfigError, UnsupportedScope
from bridge.runners.base import occupied_runners
from bridge.types import Environ, Message, StartResponse, WSGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.runners.jobs import until
from tests.support.in_process import http_scope, websocket_scope

RUNNERS = ["thread", "greenlet", "inline"]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["thread", "greenlet"])
def waiting_runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Client:
    """One request as its ASGI host sees it: `receive` gives `body`, `sent` is what came."""

    def __init__(
        self, body: Iterable[bytes] = (), *, leaves: bool = False, whole: bool = True, **scope: Any
    ) -> None:
        self.scope = http_scope(scope.pop("path", "/"), scope.pop("method", "GET"), **scope)
        pieces = list(body)
        self.coming: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces) or not whole}
            for number, piece in enumerate(pieces or [b""], 1)
        ]
        self.leaves = asyncio.Event()
        if leaves:
            self.leaves.set()
        self.sent: list[Message] = []
        self.received = 0
        self.slow: asyncio.Event | None = None
        self.fails: BaseException | None = None

    async def receive(self) -> Message:
        self.received += 1
        if self.coming:
            return self.coming.pop(0)
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.fails is not None:
            raise self.fails
        if self.slow is not None:
            await self.slow.wait()
        self.sent.append(message)

    def ask(self, app: WsgiToAsgi) -> asyncio.Task[None]:
        return asyncio.ensure_future(app(self.scope, self.receive, self.send))

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_whole(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", False)


def serve(app: WSGIApp, use: Callable[[WsgiToAsgi], Any], **settings: Any) -> None:
    """Run ``use(adapter)`` on a loop, with the pool stopped after it."""

    async def run() -> None:
        adapter = WsgiToAsgi(app, **settings)
        try:
            await use(adapter)
        finally:
            assert await adapter.runner.stop(10)

    asyncio.run(run())


def ask(app: WSGIApp, body: Iterable[bytes] = (), *, runner: str = "thread", **more: Any) -> Client:
    """One request and its response."""
    settings = {
        name: more.pop(name)
        for name in (
            *("max_body_size", "spool_body", "propagate_context", "pathsend"),
            *("threads", "queue_limit"),
        )
        if name in more
    }
    clients: list[Client] = []

    async def use(adapter: WsgiToAsgi) -> None:
        clients.append(client := Client(body, **more))
        await client.ask(adapter)

    serve(app, use, runner=runner, **settings)
    return clients[0]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


POST = {"method": "POST"}


# ------------------------------------------------------------- responses


def test_plain(runner: str) -> None:
    """W35: a response of one piece is one pair of messages, with Content-Length."""
    assert ask(hello, runner=runner).sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
        },
        {"type": "http.response.body", "body": b"hello"},
    ]


def test_stream(runner: str) -> None:
    """W39: each chunk is a message of its own, in order; the last says that it is the last."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(200):
            yield b"%04d" % number * 300

    client = ask(app, runner=runner)
    assert len(client.sent) == 202
    assert client.body == b"".join(b"%04d" % number * 300 for number in range(200))
    assert client.is_whole


def test_each_chunk_leaves_at_once(waiting_runner: str) -> None:
    """W39: a chunk is sent before the app makes the next one, though it makes it slowly."""

    async def use(adapter: WsgiToAsgi) -> None:
        client = clients[0]
        task = client.ask(adapter)
        for number in range(3):
            await until(lambda n=number: len(client.sent) == n + 2)
            assert client.body == b"x" * (number + 1)
            turns.release()
        await task

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(3):
            yield b"x"
            if waiting_runner == "thread":
                turns.acquire()
            else:
                bridge.await_(until(lambda: turns.acquire(blocking=False)))

    turns = threading.Semaphore(0)
    clients: list[Client] = []

    async def main(adapter: WsgiToAsgi) -> None:
        clients.append(Client())
        await use(adapter)

    serve(app, main, runner=waiting_runner)


def test_runs_ahead_of_a_slow_client_only_so_far(runner: str) -> None:
    """W39: the app is at most 64 KiB, and one chunk, ahead of what the client has taken."""
    made = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(100):
            made.append(number)
            yield b"x" * 8192

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.slow = asyncio.Event()
        task = client.ask(adapter)
        await until(lambda: len(made) >= 1)
        await asyncio.sleep(0.05)  # time to run ahead too far
        assert len(made) <= 10
        client.slow.set()
        await task
        assert len(client.body) == 100 * 8192

    serve(app, use, runner=runner)


def test_error_after_start(runner: str) -> None:
    """W38: a response that broke off is never ended: the host gets the app's own exception."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        raise ValueError("mine")

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        with pytest.raises(ValueError, match="mine"):
            await client.ask(adapter)
        assert client.body == b"one"
        assert not client.is_whole

    serve(app, use, runner=runner)


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        (ValueError, ValueError),
        (StopIteration, RuntimeError),  # a coroutine cannot raise it
        (SystemExit, None),  # would end the host
        (asyncio.CancelledError, None),
        (ClientDisconnected, None),  # the app gave up for a reason that it need not tell
    ],
)
def test_error_before_start(
    runner: str,
    raised: type[BaseException],
    caught: type[Exception] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """W38: an error before anything left is a 500, and raised on; or it is logged, once."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise raised("mine")

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        if caught is None:
            task = client.ask(adapter)
            await asyncio.wait([task])
            assert (task.exception() is None) == (raised is not ClientDisconnected)
        else:
            with pytest.raises(caught) as error:
                await client.ask(adapter)
            assert "mine" in str(error.value.__cause__ or error.value)
        if raised is not ClientDisconnected:
            assert client.status == 500
            assert client.is_whole

    serve(app, use, runner=runner)
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == (raised in (SystemExit, asyncio.CancelledError))


def test_error_whose_client_left(runner: str, caplog: pytest.LogCaptureFixture) -> None:
    """W38, W40: an error is told once, also if the host has cancelled the request meanwhile."""
    asked, left = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        asked.set()
        if runner == "thread":
            assert left.wait(20)
        raise ValueError("mine")

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.slow = asyncio.Event()  # the 500 never leaves
        task = client.ask(adapter)
        await until(asked.is_set)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        left.set()
        await until(lambda: bool(caplog.records))

    serve(app, use, runner=runner)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "mine"


@pytest.mark.parametrize("mounted", [False, True])
def test_error_middleware_around(runner: str, mounted: bool) -> None:
    """W38: the ASGI middleware around sees the app's own exception, with the app's traceback."""

    def broken(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise LookupError("mine")

    seen: list[BaseException] = []

    async def use(adapter: WsgiToAsgi) -> None:
        inner: Any = bridge.Dispatcher({"/": adapter}) if mounted else adapter

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            try:
                await inner(scope, receive, send)
            except LookupError as error:
                seen.append(error)

        client = Client()
        await middleware(client.scope, client.receive, client.send)
        assert client.status == 500

    serve(broken, use, runner=runner)
    names = [frame.name for frame in traceback.extract_tb(seen[0].__traceback__)]
    assert names[-1] == "broken"


# ------------------------------------------------------------- the request's body


@pytest.mark.parametrize("spool_body", [None, 0, 10, 1000])
def test_body(runner: str, spool_body: int | None) -> None:
    """W20, W24, W25: the body arrives whole, pulled or spooled, in memory or on disk."""
    pieces = [b"%03d" % number for number in range(100)]
    for headers in ([], [(b"content-length", b"300")], [(b"transfer-encoding", b"chunked")]):
        client = ask(echo, pieces, runner=runner, spool_body=spool_body, headers=headers, **POST)
        assert client.body == b"".join(pieces)


@pytest.mark.parametrize("framing", ["chunked", "http2"])
def test_body_without_a_length(
    waiting_runner: str, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W8, W21: 64 KiB of a body without a length are awaited; a whole one has its length."""
    monkeypatch.setattr("bridge.wsgi.input.needs_length", lambda: False)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
        assert "HTTP_TRANSFER_ENCODING" not in environ
        return [environ["wsgi.input"].read()]

    more: dict[str, Any] = {
        "chunked": {"headers": [(b"transfer-encoding", b"chunked")]},
        "http2": {"http_version": "2"},
    }[framing]
    for pieces, length in (
        ([b"a", b"", b"bc"], b"3"),
        ([b""], b"0"),
        ([b"x" * 1_000_000], b"1000000"),
        ([b"x" * 20_000] * 5, b"none"),
    ):
        client = ask(app, pieces, runner=waiting_runner, **more, **POST)
        assert (client.headers[b"x-length"], client.body) == (length, b"".join(pieces))
    expecting = [*more.get("headers", ()), (b"expect", b"100-continue")]
    client = ask(app, [b"a"], runner=waiting_runner, **(more | {"headers": expecting}), **POST)
    assert client.headers[b"x-length"] == b"none"


def test_spooled_body_has_a_length() -> None:
    """W24, W25: the length of a spooled body is known, and told to the app."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["CONTENT_LENGTH"].encode()]

    chunked = [(b"transfer-encoding", b"chunked")]
    assert ask(app, [b"ab", b"c"], spool_body=1, headers=chunked, **POST).body == b"3"


def test_nothing_is_received_before_the_first_read(waiting_runner: str) -> None:
    """W21: an app that does not read its body never causes a `receive()`."""
    client = ask(hello, [b"body"], runner=waiting_runner, **POST)
    assert client.received == 0


def test_pulled_on_demand(waiting_runner: str) -> None:
    """W21: at most 64 KiB of a body that the app does not read yet wait in memory."""
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"]
        first = body.read(1)
        if waiting_runner == "thread":
            gate.wait()
        else:
            bridge.await_(until(gate.is_set))
        start_response("200 OK", [])
        return [first + body.read()]

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client([b"x" * 8192] * 100, **POST)
        task = client.ask(adapter)
        await until(lambda: client.received >= 1)
        await asyncio.sleep(0.05)  # time to receive too much
        assert client.received <= 9
        gate.set()
        await task
        assert len(client.body) == 100 * 8192

    serve(app, use, runner=waiting_runner)


@pytest.mark.parametrize("how", ["announced", "counted", "chunked"])
def test_max_body_size(runner: str, how: str) -> None:
    """W22: a body above the limit is a 413, before the app runs if that can be known by then."""
    ran = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        ran.append(1)
        return echo(environ, start_response)

    headers = {
        "announced": [(b"content-length", b"30")],
        "counted": [],
        "chunked": [(b"transfer-encoding", b"chunked")],
    }[how]
    client = ask(app, [b"x" * 10] * 3, runner=runner, max_body_size=29, headers=headers, **POST)
    assert client.status == 413
    assert client.is_whole
    assert bool(ran) == (how == "counted" and runner != "inline")
    within = ask(app, [b"x" * 10] * 3, runner=runner, max_body_size=30, headers=headers, **POST)
    assert within.body == b"x" * 30


@pytest.mark.parametrize("length", [b"x", b"5, 6", b"-1", b""])
def test_wrong_content_length(runner: str, length: bytes) -> None:
    """W8: a malformed Content-Length that a host lets through is a 400."""
    client = ask(hello, runner=runner, headers=[(b"content-length", length)], **POST)
    assert client.status == 400
    assert client.is_whole


@pytest.mark.parametrize("how", ["disconnect", "short", "error"])
def test_cut_off_upload(waiting_runner: str, how: str) -> None:
    """W23: a body that was cut off raises ClientDisconnected, an OSError, where it is read."""
    seen: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        for _ in range(2):
            try:
                seen.append(environ["wsgi.input"].read())
            except OSError as error:
                seen.append(type(error))
        start_response("200 OK", [])
        return [b"no matter"]

    async def use(adapter: WsgiToAsgi) -> None:
        whole = how == "short"
        client = Client(
            [b"abc"], whole=whole, headers=[(b"content-length", b"9")], leaves=True, **POST
        )
        if how == "error":
            del client.scope["headers"][:]
        await client.ask(adapter)

    serve(app, use, runner=waiting_runner)
    assert seen == [bridge.ClientDisconnected] * 2


def test_cut_off_upload_that_is_spooled(runner: str) -> None:
    """W23, W25: with a spooled body the app does not even run."""
    client = ask(hello, [b"abc"], whole=False, leaves=True, runner=runner, spool_body=10, **POST)
    assert client.sent == []


def test_hints_before_a_whole_response(runner: str) -> None:
    """W30, W42: a response made in one step leaves after what the app had sent before."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
        return hello(environ, start_response)

    sent = ask(app, runner=runner, extensions={"http.response.early_hint": {}}).sent
    assert [message["type"] for message in sent] == [
        "http.response.early_hint",
        "http.response.start",
        "http.response.body",
    ]


# ------------------------------------------------------------- clients that go


class Endless:
    """A response without end, that counts its `close` and tells in which thread it ran."""

    def __init__(self) -> None:
        self.closed: list[int] = []
        self.threads: set[int] = set()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Endless:
        start_response("200 OK", [])
        self.threads.add(threading.get_ident())
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.threads.add(threading.get_ident())
            yield b"x" * 1000

    def close(self) -> None:
        self.closed.append(threading.get_ident())


@pytest.mark.parametrize("how", ["disconnect", "send fails", "cancelled", "cancelled while slow"])
def test_client_goes_in_mid_response(runner: str, how: str) -> None:
    """W37, W40: the iteration stops, close() is called once, in the thread that iterated."""
    app = Endless()

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        task = client.ask(adapter)
        await until(lambda: len(client.sent) > 5)
        if how == "disconnect":
            client.leaves.set()
        elif how == "send fails":
            client.fails = OSError("broken pipe")
        else:
            if how == "cancelled while slow":
                client.slow = asyncio.Event()
                await asyncio.sleep(0.01)
            task.cancel()
        if how.startswith("cancelled"):
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        await until(lambda: adapter.stats().busy == 0)
        assert app.closed == list(app.threads)

    serve(app, use, runner=runner)


def test_client_goes_while_the_app_is_queued() -> None:
    """W40: a request whose client went before a thread was free is not run at all."""
    ran = []
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        ran.append(environ["PATH_INFO"])
        gate.wait()
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        first = Client(path="/first").ask(adapter)
        await until(lambda: ran == ["/first"])
        second = Client(path="/second").ask(adapter)
        await until(lambda: adapter.stats().queued == 1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.set()
        await first
        await until(lambda: adapter.stats()[:3:2] == (0, 0))
        assert ran == ["/first"]

    serve(app, use, threads=1)


def test_disconnected_is_visible(waiting_runner: str) -> None:
    """W10, G4: `bridge.disconnected` tells a working app that its client has gone.

    Where the app waits in a greenlet, it is told by an exception there.
    """
    noticed = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert environ["bridge.disconnected"]() is False
        started.set()
        while not environ["bridge.disconnected"]():
            if waiting_runner == "greenlet":
                try:
                    bridge.await_(asyncio.sleep(0))
                except bridge.ClientDisconnected:
                    break
        noticed.set()
        return hello(environ, start_response)

    started = threading.Event()

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        task = client.ask(adapter)
        await until(started.is_set)
        client.leaves.set()
        await task
        await until(noticed.is_set)

    serve(app, use, runner=waiting_runner)


def test_input_after_the_request() -> None:
    """W23: reading the body when the request is long over raises, and does not wait for ever."""
    kept: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kept.append(environ["wsgi.input"])
        return hello(environ, start_response)

    ask(app, [b"body"], **POST)
    with pytest.raises(bridge.ClientDisconnected):
        kept[0].read()


def test_send_that_fails_otherwise() -> None:
    """W38: an error of the host's own `send` reaches the host."""

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.fails = LookupError("of the host")
        with pytest.raises(LookupError):
            await client.ask(adapter)

    serve(hello, use)


# ------------------------------------------------------------- contexts and threads


def test_one_thread_and_one_context(runner: str) -> None:
    """W50: call, iteration and close see one thread and one copy of the request's context."""
    seen: list[tuple[str, str, int]] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for number in range(3):
                seen.append(("next", variable.get(), threading.get_ident()))
                variable.set(f"chunk {number}")
                yield b"x" * 40_000

        def close(self) -> None:
            seen.append(("close", variable.get(), threading.get_ident()))

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(("call", variable.get(), threading.get_ident()))
        variable.set("set by the app")
        start_response("200 OK", [])
        return Body()

    async def use(adapter: WsgiToAsgi) -> None:
        variable.set("set by middleware")
        client = Client()
        await adapter(client.scope, client.receive, client.send)
        await until(lambda: adapter.stats().busy == 0)
        assert variable.get() == "set by middleware"

    serve(app, use, runner=runner)
    assert [(what, value) for what, value, _ in seen] == [
        ("call", "set by middleware"),
        ("next", "set by the app"),
        ("next", "chunk 0"),
        ("next", "chunk 1"),
        ("close", "chunk 2"),
    ]
    assert len({thread for _, _, thread in seen}) == 1


def test_propagate_context(runner: str) -> None:
    """W50: with propagate_context the middleware sees what the app changed, close() included."""
    other: contextvars.ContextVar[str] = contextvars.ContextVar("other")

    class Body(list[bytes]):
        def close(self) -> None:
            other.set("set in close")

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        variable.set("set by the app")
        start_response("200 OK", [])
        return Body([b"x"])

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        await adapter(client.scope, client.receive, client.send)
        assert variable.get() == "set by the app"
        assert other.get() == "set in close"
        assert occupied_runners.get() == ()

    serve(app, use, runner=runner, propagate_context=True)


def test_response_does_not_wait_for_close() -> None:
    """W35, W37: the client has its response while close() still works."""
    gate = threading.Event()

    class Body(list[bytes]):
        def close(self) -> None:
            gate.wait()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return Body([b"x"])

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        await client.ask(adapter)
        assert client.is_whole
        assert adapter.stats().busy == 1
        gate.set()

    serve(app, use)


def test_loops_one_after_the_other(runner: str) -> None:
    """W54: one adapter serves loop after loop, without lifespan (a test client's way)."""
    adapter = WsgiToAsgi(hello, runner=runner, idle_timeout=0.05)

    async def use() -> None:
        client = Client()
        await client.ask(adapter)
        assert client.body == b"hello"

    asyncio.run(use())
    asyncio.run(use())
    assert asyncio.run(adapter.runner.stop(10))


# ------------------------------------------------------------- pools


def test_full_pool() -> None:
    """W52: beyond `threads` and `queue_limit` a request gets a 503 with Retry-After."""
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        gate.wait()
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        clients = [Client() for _ in range(5)]
        tasks = [client.ask(adapter) for client in clients[:2]]
        await until(lambda: adapter.stats()[:3] == (2, 0, 0))
        tasks += [client.ask(adapter) for client in clients[2:]]
        refused = clients[4]
        await tasks[4]
        assert refused.status == 503
        assert refused.headers[b"retry-after"].isdigit()
        assert adapter.stats().rejected == 1
        assert adapter.stats().queued == 2
        gate.set()
        await asyncio.gather(*tasks)
        assert [client.status for client in clients[:4]] == [200] * 4
        await until(lambda: adapter.stats().served == 4)

    serve(app, use, threads=2, queue_limit=2)


@pytest.mark.parametrize("how", ["cancelled", "disconnected"])
def test_queued_and_gone(how: str) -> None:
    """W52: a request whose client leaves, or which its host cancels, leaves the queue at once."""
    gate = threading.Event()
    ran: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        gate.wait()
        ran.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        running, leaver, stays = (Client(path=path) for path in ("/running", "/leaver", "/stays"))
        tasks = [running.ask(adapter)]
        await until(lambda: adapter.stats()[:3] == (1, 0, 0))
        tasks += [leaver.ask(adapter), stays.ask(adapter)]
        await until(lambda: adapter.stats().queued == 2)
        if how == "cancelled":
            tasks[1].cancel()
        else:
            leaver.leaves.set()
        await until(lambda: adapter.stats().queued == 1)
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert ran == ["/running", "/stays"]
        assert leaver.sent == []
        assert (running.status, stays.status) == (200, 200)

    serve(app, use, threads=1)


def test_stats_for_the_app(runner: str) -> None:
    """W52: an app reads its pool's figures from its environ."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [str(environ["bridge.stats"]().served).encode()]

    assert ask(app, runner=runner).body == b"0"


def test_app_that_calls_itself() -> None:
    """W53: through its own adapter, with no thread left, an app gets an error that says so."""
    adapters: list[WsgiToAsgi] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        inner = Client(path="/inner")
        bridge.await_(adapters[0](inner.scope, inner.receive, inner.send))
        start_response("200 OK", [])
        return [b"%d " % inner.status, inner.body]

    async def use(adapter: WsgiToAsgi) -> None:
        adapters.append(adapter)
        client = Client()
        await client.ask(adapter)
        assert client.body.startswith(b"503 ")
        assert b"request to itself" in client.body

    serve(app, use, threads=1)


# ------------------------------------------------------------- lifespan and other scopes


def test_lifespan(runner: str) -> None:
    """W54: lifespan is answered; the pool ends with it."""
    sent: list[str] = []

    async def use() -> None:
        steps: asyncio.Queue[Message] = asyncio.Queue()

        async def send(message: Message) -> None:
            sent.append(message["type"])

        adapter = WsgiToAsgi(hello, runner=runner)
        task = asyncio.ensure_future(adapter({"type": "lifespan"}, steps.get, send))
        steps.put_nowait({"type": "lifespan.startup"})
        await until(lambda: len(sent) == 1)
        client = Client()
        await client.ask(adapter)
        steps.put_nowait({"type": "lifespan.shutdown"})
        await task
        assert adapter.stats()[:3] == (0, 0, 0)

    asyncio.run(use())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_unknown_scope() -> None:
    """W55: a scope that a WSGI app cannot take is a clear error."""

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        with pytest.raises(UnsupportedScope, match="'telnet'"):
            await adapter({"type": "telnet"}, client.receive, client.send)

    serve(hello, use)


def test_environ_of_a_websocket() -> None:
    """W60: nothing in it is empty, and nothing is there that only HTTP requests have."""
    environs: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environs.append(environ)
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.coming = [{"type": "websocket.connect"}]
        await adapter(websocket_scope("/"), client.receive, client.send)

    serve(app, use, websocket=True)
    assert None not in environs[0].values()
    assert "bridge.disconnected" not in environs[0]


def test_error_of_a_websocket_app(caplog: pytest.LogCaptureFixture) -> None:
    """W38, W60: a WebSocket app's exception is raised on, after the refusal or the end."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise ValueError("mine")

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.coming = [{"type": "websocket.connect"}]
        with pytest.raises(ValueError, match="mine"):
            await adapter(websocket_scope("/"), client.receive, client.send)
        assert client.sent[0]["type"] == "websocket.close"

    serve(app, use, websocket=True)
    assert not caplog.records


def taken(refusal: RejectionSink) -> Exception | None:
    return None if refusal.failure is None else refusal.failure.take()


@pytest.mark.parametrize(
    ("error", "closed", "told"),
    [
        (ConnectionError(), False, False),  # the connection was taken over: python-engineio
        (BrokenPipeError(), True, False),  # the client has left
        (ConnectionRefusedError("no database"), False, True),
        (ValueError(), True, True),
    ],
)
def test_how_an_app_says_that_it_took_the_connection_over(
    error: Exception, closed: bool, told: bool
) -> None:
    """W60: by a ConnectionError, which is no error of it while it has the WebSocket."""
    refusal = RejectionSink()
    assert refusal.failed(error)
    assert taken(refusal) is error  # it has none
    refusal.phase = CLOSED if closed else OPEN
    assert refusal.failed(error)
    assert (taken(refusal) is error, refusal.taken_over) == (told, not told)


def test_no_thread_for_a_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """W60: while no thread can be started a WebSocket is refused; the next one is served."""
    served: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        served.append(environ)
        return hello(environ, start_response)

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def use(adapter: WsgiToAsgi) -> None:
        for extensions, answer in (({}, "close"), ({"websocket.http.response": {}}, "http")):
            client = Client()
            client.coming = [{"type": "websocket.connect"}]
            scope = websocket_scope("/") | {"extensions": extensions}
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", fail)
                await adapter(scope, client.receive, client.send)
            assert answer in client.sent[0]["type"]
            assert client.sent[0].get("status", 503) == 503
        assert served == []
        client.coming = [{"type": "websocket.connect"}]
        await adapter(websocket_scope("/"), client.receive, client.send)
        assert len(served) == 1

    serve(app, use, websocket=True)


def test_wrong_settings() -> None:
    """W52: a wrong setting is refused when the adapter is made."""
    with pytest.raises(ConfigError, match="callable"):
        WsgiToAsgi("app")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="runner"):
        WsgiToAsgi(hello, runner="fibre")


# ------------------------------------------------------------- extensions


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def file_app(path: Path, **how: Any) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        opened = path.open("rb")
        opened.seek(how.get("position", 0))
        headers = [("Content-Length", str(how["length"]))] if "length" in how else []
        start_response("200 OK", headers)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
        return wrapped

    return app


PATHSEND = {"extensions": {"http.response.pathsend": {}}, "pathsend": True}
ZEROCOPY = {"extensions": {"http.response.zerocopysend": {}}, "pathsend": True}


@pytest.mark.parametrize("extensions", [PATHSEND, ZEROCOPY])
def test_files_go_in_pieces_if_nothing_is_said(runner: str, file: Path, extensions: Any) -> None:
    """W41: a middleware between host and app sees their bytes, whatever the host offers."""
    client = ask(file_app(file), runner=runner, extensions=extensions["extensions"])
    assert {message["type"] for message in client.sent[1:]} == {"http.response.body"}
    assert client.body == file.read_bytes()


def test_pathsend(waiting_runner: str, file: Path) -> None:
    """W41: a whole file goes out by its path, where the host offers that."""
    client = ask(file_app(file), runner=waiting_runner, **PATHSEND)
    assert client.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"256000")],
        },
        {"type": "http.response.pathsend", "path": str(file)},
    ]


@pytest.mark.parametrize("how", [{"position": 7}, {"length": 1000}, {"position": 7, "length": 9}])
def test_part_of_a_file(runner: str, file: Path, how: dict[str, int]) -> None:
    """W41: a part of a file cannot go by its path; position and Content-Length are respected."""
    client = ask(file_app(file, **how), runner=runner, **PATHSEND)
    start = how.get("position", 0)
    whole = file.read_bytes()[start:]
    assert client.body == whole[: how.get("length")]
    assert client.headers[b"content-length"] == str(len(client.body)).encode()


@pytest.mark.parametrize("extensions", [PATHSEND, ZEROCOPY])
def test_a_device_is_no_file(waiting_runner: str, extensions: Any) -> None:
    """W41: a host is asked to send regular files only; others are read by us."""
    client = ask(file_app(Path("/dev/null")), runner=waiting_runner, **extensions)
    assert [message["type"] for message in client.sent] == [
        "http.response.start",
        "http.response.body",
    ]


def test_zero_copy(waiting_runner: str, file: Path) -> None:
    """W41: a part of a file goes out without copying, where the host offers that."""
    how = {"position": 7, "length": 1000}
    client = ask(file_app(file, **how), runner=waiting_runner, **ZEROCOPY)
    message = client.sent[1]
    assert isinstance(message.pop("file"), int)
    assert message == {"type": "http.response.zerocopysend", "offset": 7, "count": 1000}
    assert len(client.sent) == 2


@pytest.mark.parametrize("extensions", [{}, PATHSEND])
def test_file_without_a_path(runner: str, extensions: Any) -> None:
    """W41: a file that has no path goes out in chunks."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        opened = tempfile.TemporaryFile()  # noqa: SIM115
        opened.write(b"x" * 200_000)
        opened.seek(0)
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
        return wrapped

    assert ask(app, runner=runner, **extensions).body == b"x" * 200_000


def test_file_that_was_removed(tmp_path: Path) -> None:
    """W41: a path that is no longer the open file's is not used."""
    path = tmp_path / "old"
    path.write_bytes(b"the open one")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        opened = path.open("rb")
        path.rename(tmp_path / "elsewhere")
        path.write_bytes(b"another one!")
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
        return wrapped

    assert ask(app, **PATHSEND).body == b"the open one"


def test_early_hints(waiting_runner: str) -> None:
    """W42: `wsgi.early_hints` sends links before the response, and receives nothing."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload"), ("X-Other", "x")])
        return hello(environ, start_response)

    client = ask(app, runner=waiting_runner, extensions={"http.response.early_hint": {}})
    assert client.received == 0
    assert client.sent[0] == {
        "type": "http.response.early_hint",
        "links": [b"</a.css>; rel=preload"],
    }
    assert client.sent[1]["status"] == 200


def test_no_early_hints() -> None:
    """W42: where the host does not offer them they are not in the environ."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"yes" if "wsgi.early_hints" in environ else b"no"]

    assert ask(app).body == b"no"


def test_errors_stream(capsys: pytest.CaptureFixture[str], runner: str) -> None:
    """W9: `wsgi.errors` is the process's stderr, as text."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.errors"].write("to the log\n")
        return hello(environ, start_response)

    ask(app, runner=runner)
    assert "to the log\n" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["plain", "streamed", "upload"])
def test_nothing_is_left_for_the_collector(runner: str, way: str) -> None:
    """What a request made is gone when it is over: no circle keeps it for the collector."""
    inputs: list[weakref.ref[Any]] = []
    environs: list[weakref.ref[Any]] = []

    class Seen:
        """A dict takes no weak reference; what is in it does."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["seen"] = seen = Seen()
        environs.append(weakref.ref(seen))
        inputs.append(weakref.ref(environ["wsgi.input"]))
        if way == "upload":
            return echo(environ, start_response)
        start_response("200 OK", [])
        return iter([b"one", b"two"]) if way == "streamed" else [b"one"]

    gc.collect()
    gc.disable()
    try:
        upload: dict[str, Any] = POST | {"body": [b"on", b"e"]} if way == "upload" else {}
        client = ask(app, runner=runner, **upload)
        assert client.body == (b"onetwo" if way == "streamed" else b"one")
        del client
        assert (environs[0](), inputs[0]()) == (None, None)
    finally:
        gc.enable()


def test_no_body_is_taken_where_there_is_none(runner: str) -> None:
    """W8, W21: a GET without a body gets no Content-Length of ours, and nothing is received."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [repr((environ.get("CONTENT_LENGTH"), environ["wsgi.input"].read())).encode()]

    client = ask(app, runner=runner, spool_body=10)
    assert client.body == b"(None, b'')"
    assert client.received == 0
