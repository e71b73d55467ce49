"""An exchange, whatever its runner: what is sent, when, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge.adapters.wsgi_on_asgi.exchange import whole_response
from bridge.errors import ClientDisconnected
from bridge.runners import Job
from bridge.runners.inline import InlineRunner
from bridge.types import Environ, Message, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import (
    POST,
    Client,
    ask,
    begun,
    echo,
    hello,
    serve,
    variable,
)
from tests.runners.jobs import until


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


def test_disconnected_is_visible(waiting_runner: str) -> None:
    """W10, G4: `bridge.disconnected` tells a working app that its client has gone.

    If the app waits in a greenlet, it is told by an exception there.
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


def test_a_file_is_open_until_the_host_has_sent_it(waiting_runner: str, tmp_path: Path) -> None:
    """W41: the app closes, or removes, it only after that; and nothing follows it."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    seen: list[tuple[str, bool]] = []

    class Sending(Client):
        async def send(self, message: Message) -> None:
            await asyncio.sleep(0)
            seen.append((message["type"], path.exists()))

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        wrapper = environ["wsgi.file_wrapper"](path.open("rb"))
        close = wrapper.close

        def close_and_remove() -> None:
            close()
            path.unlink()

        wrapper.close = close_and_remove
        return wrapper

    async def use(adapter: WsgiToAsgi) -> None:
        await Sending(extensions={"http.response.pathsend": {}}).ask(adapter)
        await until(lambda: not path.exists())

    serve(app, use, runner=waiting_runner, pathsend=True)
    assert seen == [("http.response.start", True), ("http.response.pathsend", True)]


def test_a_file_that_the_host_cannot_send(runner: str, tmp_path: Path) -> None:
    """W41: it goes out in pieces."""
    path = tmp_path / "file"
    path.write_bytes(b"content")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    client = ask(app, runner=runner, pathsend=True)
    assert {message["type"] for message in client.sent[1:]} == {"http.response.body"}
    assert client.body == b"content"


def test_no_place_for_a_request(waiting_runner: str) -> None:
    """W52: it gets a 503 with Retry-After."""
    gates: list[Callable[[], object]] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if waiting_runner == "thread":
            gate = threading.Event()
            gates.append(gate.set)
            assert gate.wait(20)
        else:
            event = asyncio.Event()
            gates.append(event.set)
            bridge.await_(event.wait())
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        first, second = Client(), Client()
        task = first.ask(adapter)
        await until(lambda: bool(gates))
        waiting = [Client().ask(adapter)] if waiting_runner == "thread" else []
        await until(lambda: adapter.stats().queued == len(waiting))
        await second.ask(adapter)
        assert (second.status, second.headers[b"retry-after"]) == (503, b"1")
        assert adapter.stats().rejected == 1
        for number in range(1 + len(waiting)):
            await until(lambda n=number: len(gates) > n)
            gates[number]()
        await asyncio.gather(task, *waiting)
        assert first.status == 200

    serve(app, use, runner=waiting_runner, threads=1, queue_limit=1)


def test_the_peer_of_a_job() -> None:
    """W53: a runner can ask for the client's address until the call is over."""
    seen: list[Any] = []

    class Watching(InlineRunner):
        def submit(self, job: Job) -> None:
            seen.append(job.peer)
            super().submit(job)
            seen.append(job.peer)

    async def use(adapter: WsgiToAsgi) -> None:
        await Client().ask(adapter)

    serve(hello, use, runner=Watching())
    assert seen == [("192.0.2.1", 1234), None]


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


def test_the_whole_response_for_hosts_that_send_it() -> None:
    """W30: it is whole only if nothing else has to be sent before."""

    def hints(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ.get("wsgi.early_hints", list)([("Link", "</a>")])
        return hello(environ, start_response)

    (exchange,) = begun(hello, Client(), runner="inline")
    whole = whole_response(exchange)
    assert whole is not None
    head, body = whole
    assert (head.status_code, head.length, body) == (200, 5, b"hello")
    found: list[object] = []

    async def use(adapter: WsgiToAsgi) -> None:
        await Client().ask(adapter)
        client = Client()
        client.scope["extensions"] = {"http.response.early_hint": {}}
        exchange = adapter.begin(
            client.scope,
            client.receive,
            client.send,
            lambda exchange: found.append(whole_response(exchange)),
        )
        assert exchange is not None
        await adapter.finish(exchange)
        kinds = [message["type"].rpartition(".")[2] for message in client.sent]
        assert kinds == ["early_hint", "start", "body"]

    serve(hints, use, runner="inline")
    assert found == [None]
