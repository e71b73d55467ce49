"""What apps give and what they get, where it is not the usual: iterators, contexts, refusals."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import WsgiToAsgi, await_
from bridge.types import Receive, Scope, Send
from tests.support.raw import request
from tests.support.serving import Served, served
from tests.support.waiting import eventually
from tests.support.websocket import handshake

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


@pytest.mark.parametrize("pair", [list, tuple])
def test_fields_from_an_iterator(pair: Any) -> None:
    """S10: fields may come from any iterable, and each may be any pair; none is lost."""

    def fields() -> Iterator[Any]:
        yield pair([b"set-cookie", b"a=b"])
        yield pair([b"x-two", b"2"])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields()})
        await send({"type": "http.response.body", "body": b"ok"})

    with served(app) as server, server.connect() as client:
        response = client.get()
        assert response.value(b"set-cookie") == b"a=b"
        assert response.value(b"x-two") == b"2"


def test_wsgi_fields_from_an_iterator() -> None:
    """W34: fields may come from any iterable, and be lists; none is lost."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        pair = tuple if environ["PATH_INFO"] == "/tuples" else list
        start_response("200 OK", (pair(each) for each in [("X-One", "1"), ("X-Two", "2")]))
        return [b"ok"]

    with served(WsgiToAsgi(app)) as server, server.connect() as client:
        assert client.get("/tuples").value(b"x-two") == b"2"
        assert client.get("/lists").value(b"x-two") == b"2"


async def tells_what_it_saw(scope: Scope, receive: Receive, send: Send) -> None:
    body = seen.get().encode()
    seen.set(scope["path"])
    await asyncio.sleep(0.05)
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi_tells_what_it_saw(environ: Any, start_response: Any) -> list[bytes]:
    body = seen.get().encode()
    seen.set(environ["PATH_INFO"])
    await_(asyncio.sleep(0.05))
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


@pytest.mark.parametrize(
    "app",
    [
        tells_what_it_saw,
        WsgiToAsgi(wsgi_tells_what_it_saw, runner="greenlet"),
        WsgiToAsgi(wsgi_tells_what_it_saw, runner="thread"),
    ],
    ids=["asgi", "greenlet", "thread"],
)
@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
def test_contexts_of_one_connection(app: Any, kind: str) -> None:
    """S12, W50: a request sees no variable of the one before it, on any event loop."""
    server = Served(app, {}) if kind == "uvloop" else Served(app, {}, asyncio.SelectorEventLoop)
    server.start()
    try:
        with server.connect() as client:
            head = request("/first", "Content-Length: 200000", method="POST")
            client.send_pieces([head + b"x" * 70_000, b"x" * 70_000, b"x" * 60_000], pause=0.05)
            assert client.response().body == b"nothing"
            assert client.get("/second").body == b"nothing"
            assert client.get("/third").body == b"nothing"
    finally:
        server.stop()


@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
def test_large_pieces_wait_for_a_slow_client(kind: str) -> None:
    """S12: pieces that leave without a copy wait as others do, on any event loop."""
    sent = 0
    stopped = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        try:
            for _ in range(2000):
                await send({"type": "http.response.body", "body": bytes(50_000), "more_body": True})
                sent += 1
        finally:
            stopped.set()

    server = Served(app, {}) if kind == "uvloop" else Served(app, {}, asyncio.SelectorEventLoop)
    server.start()
    try:
        with server.connect() as client:
            client.send(request("/"))
            still: list[int] = []

            def waits() -> bool:
                still.append(sent)
                return len(still) > 1 and still[-1] == still[-2] > 0

            eventually(waits, pause=0.2)
            assert sent < 2000
        assert stopped.wait(10)
    finally:
        server.stop()


def test_a_refused_websocket_ends_its_connection() -> None:
    """S21, S1: a refusal of the app's own says that the connection ends, and ends it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        fields = [(b"content-length", b"2")]
        kind = "websocket.http.response"
        await send({"type": f"{kind}.start", "status": 404, "headers": fields})
        await send({"type": f"{kind}.body", "body": b"no"})

    with served(app) as server, server.connect() as client:
        client.send(handshake())
        response = client.response()
        assert (response.status, response.body) == (404, b"no")
        assert response.closes
        assert client.is_closed()
