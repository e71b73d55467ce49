"""An exchange whose app runs in a thread: queued, left alone, answered late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import bridge
from bridge.errors import RequestError
from bridge.runners import Job
from bridge.runners.threads.runner import ThreadRunner
from bridge.types import Environ, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import (
    POST,
    Client,
    ask,
    echo,
    hello,
    serve,
)
from tests.runners.jobs import until


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


def test_input_after_the_request() -> None:
    """W23: reading the body when the request is long over raises, and does not wait for ever."""
    kept: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kept.append(environ["wsgi.input"])
        return hello(environ, start_response)

    ask(app, [b"body"], **POST)
    with pytest.raises(bridge.ClientDisconnected):
        kept[0].read()


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


def test_a_job_that_cannot_be_withdrawn() -> None:
    """W40: a thread that takes a request in the moment in which it is cancelled runs no app."""
    gate = threading.Event()
    ran: list[str] = []

    class TakenJustNow(ThreadRunner):
        def withdraw(self, job: Job) -> bool:
            return False

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
        await asyncio.wait([second])
        gate.set()
        await first
        await until(lambda: adapter.stats().served == 2)
        assert ran == ["/first"]

    serve(app, use, runner=TakenJustNow(threads=1))


def test_a_body_is_not_asked_for_in_the_queue() -> None:
    """W21: a request that waits for long listens for its client, unless that brings the body."""
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        gate.wait()
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        tasks = [Client().ask(adapter)]
        await until(lambda: adapter.stats().busy == 1)
        headers = [(b"content-length", b"4")]
        uploads, asks = Client([b"body"], headers=headers, **POST), Client()
        tasks += [uploads.ask(adapter), asks.ask(adapter)]
        await until(lambda: asks.received > 0)
        assert uploads.received == 0
        gate.set()
        await asyncio.gather(*tasks)

    serve(app, use, threads=1)


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


def stream(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Three pieces."""
    start_response("200 OK", [])
    yield from (b"a", b"b", b"c")


def test_pieces() -> None:
    """W39: each piece is a message, and the end is one of its own."""
    client = ask(stream)
    assert [message.get("body") for message in client.sent[1:]] == [b"a", b"b", b"c", b""]
    assert client.is_whole


@pytest.mark.parametrize("body", [[b"a", b"b"], [b"x" * 70_000] * 3], ids=["small", "large"])
def test_body_that_is_read(body: list[bytes]) -> None:
    """W21: the body comes as the app reads it, whatever its size."""
    headers = [(b"content-length", str(sum(map(len, body))).encode())]
    assert ask(echo, body, headers=headers, **POST).body == b"".join(body)


@pytest.mark.parametrize("how", ["too much", "left", "broken"])
def test_body_that_does_not_come(how: str) -> None:
    """W22, W23: a read raises if too much of a body comes, or if it ends before its time."""
    raised: list[type] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except (OSError, bridge.BridgeError) as error:
            raised.append(type(error))
            raise
        return hello(environ, start_response)

    class Failing(Client):
        async def receive(self) -> Any:
            if not self.coming:
                raise LookupError("of the host")
            return await super().receive()

    async def use(adapter: WsgiToAsgi) -> None:
        kind = Failing if how == "broken" else Client
        whole = how == "too much"
        client = kind([b"x" * 70_000] * 2, whole=whole, leaves=how == "left", **POST)
        await client.ask(adapter)
        if how == "too much":
            assert client.status == 413

    serve(app, use, max_body_size=100_000 if how == "too much" else None)
    (kind,) = raised
    assert issubclass(kind, bridge.ClientDisconnected) == (how != "too much")


@pytest.mark.parametrize("how", ["leaves", "send fails"])
def test_the_client_of_a_stream_leaves(how: str) -> None:
    """W40: the app is stopped at its next piece, and its thread is free."""
    closed = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.set()

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        if how == "send fails":
            client.fails = OSError("gone")
        task = client.ask(adapter)
        if how == "leaves":
            await until(lambda: len(client.sent) > 2)
            client.leaves.set()
        await task
        await until(closed.is_set)
        await until(lambda: adapter.stats().busy == 0)

    serve(app, use)


def test_disconnected_is_asked_for() -> None:
    """W10: `bridge.disconnected` tells of a client that left, also when its request is over."""
    asked: list[Any] = []
    begun, noticed = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        asked.append(environ["bridge.disconnected"])
        assert asked[0]() is False
        begun.set()
        while not asked[0]():
            pass
        noticed.set()
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        task = client.ask(adapter)
        await until(begun.is_set)
        client.leaves.set()
        await task
        await until(noticed.is_set)
        assert asked[0]() is True

    serve(app, use)


def test_disconnected_is_asked_for_in_vain() -> None:
    """W10: a host that has an error instead of a disconnect does not say that its client left."""
    asked: list[Any] = []

    class Failing(Client):
        async def receive(self) -> Any:
            self.received += 1
            raise RequestError("too much", 413)

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        environ["bridge.disconnected"]()
        yield b"x"
        assert listened.wait(20)
        asked.append(environ["bridge.disconnected"]())

    listened = threading.Event()

    async def use(adapter: WsgiToAsgi) -> None:
        client = Failing()
        task = client.ask(adapter)
        await until(lambda: client.received > 0)
        listened.set()
        await task
        assert client.body == b"x"
        assert client.is_whole

    serve(app, use)
    assert asked == [False]


def test_a_stream_that_begins_when_the_client_has_left() -> None:
    """W40: it ends with its first piece, and nothing of it is sent."""
    begun, closed = threading.Event(), threading.Event()
    made: list[bytes] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        gone = environ["bridge.disconnected"]
        begun.set()
        while not gone():
            pass
        start_response("200 OK", [])
        try:
            for piece in (b"a", b"b"):
                made.append(piece)
                yield piece
        finally:
            closed.set()

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        task = client.ask(adapter)
        await until(begun.is_set)
        client.leaves.set()
        await task
        await until(closed.is_set)
        assert (made, client.sent) == ([b"a"], [])

    serve(app, use)


@pytest.mark.parametrize("late", ["call", "close"])
def test_the_loop_ends_before_the_app(late: str) -> None:
    """W40: an app that is left behind hears that its client is gone, and its thread is free."""
    reached, go = threading.Event(), threading.Event()
    asked: list[bool] = []

    def linger(environ: Environ) -> None:
        reached.set()
        assert go.wait(20)
        asked.append(environ["bridge.disconnected"]())

    def app(environ: Environ, start_response: StartResponse) -> Any:
        class Body(list[bytes]):
            def close(self) -> None:
                if late == "close":
                    linger(environ)

        if late == "call":
            linger(environ)
        start_response("200 OK", [])
        return Body([b"x"])

    async def leave() -> None:
        task = Client().ask(adapter)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await until(reached.is_set)
        for _ in range(5):  # the request waits for `close` by now
            await asyncio.sleep(0)

    adapter = WsgiToAsgi(app, propagate_context=True)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    go.set()
    asyncio.run(until(lambda: adapter.stats().served == 1))
    assert asked == [True]
    assert asyncio.run(adapter.runner.stop(10))


def test_disconnected_after_the_request() -> None:
    """W10: asked for the first time when the request is over, it says that the client is gone."""
    asked: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        asked.append(environ["bridge.disconnected"])
        return hello(environ, start_response)

    ask(app)
    assert asked[0]() is True


def test_error_behind_a_piece() -> None:
    """W38: what breaks off is raised to the host, which cuts it."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise LookupError("the other half is missing")

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        with pytest.raises(LookupError):
            await client.ask(adapter)
        assert client.body == b"half"
        assert not client.is_whole

    serve(app, use)


def test_hints_come_first() -> None:
    """W42: hints leave before the response."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", "</a.css>")])
        return hello(environ, start_response)

    client = ask(app, extensions={"http.response.early_hint": {}})
    assert [message["type"] for message in client.sent][:2] == [
        "http.response.early_hint",
        "http.response.start",
    ]


def test_context_of_an_app_that_closes_late() -> None:
    """W50: with propagate_context the request ends when close() has returned."""
    closed = threading.Event()

    class Body(list[bytes]):
        def close(self) -> None:
            closed.set()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return Body([b"x"])

    assert ask(app, propagate_context=True).body == b"x"
    assert closed.is_set()
