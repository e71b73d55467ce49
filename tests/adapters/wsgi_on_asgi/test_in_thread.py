"""An exchange whose app runs in a thread: queued, left alone, answered late."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import bridge
from bridge.types import Environ, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import (
    POST,
    Client,
    ask,
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
