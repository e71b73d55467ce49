"""The access log of a running server: each line is written in the context of its own request."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.types import Receive, Scope, Send
from tests.support.raw import Client, request
from tests.support.serving import served
from tests.support.waiting import eventually
from tests.support.websocket import handshake

user: ContextVar[str] = ContextVar("user", default="nobody")


class Seen(logging.Filter):
    """Notes each line with the context variable that a filter of an app would add to it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.lines.append((record.getMessage(), user.get()))
        return False


@pytest.fixture
def seen() -> Iterator[Seen]:
    logger, seen = logging.getLogger("bridge.access"), Seen()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addFilter(seen)
    yield seen
    logger.removeFilter(seen)
    logger.setLevel(level)


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    user.set(scope["query_string"].decode())
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/raises":
            await asyncio.sleep(0)
            raise ValueError
        refused = scope["path"] == "/refused"
        await send({"type": "websocket.close" if refused else "websocket.accept"})
        return
    if scope["path"] != "/at-once":
        await asyncio.sleep(0)
    if scope["path"].startswith("/raises"):
        raise ValueError
    if scope["path"] == "/nothing":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": b"x" * 9999, "more_body": True})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"b"})


def wsgi(environ: Any, start_response: Any) -> Any:
    user.set(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/raises":
        raise ValueError
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/endless":
        return itertools.repeat(b"x" * 9999)
    return iter([b"a", b"b"]) if environ["PATH_INFO"] == "/stream" else [b"ab"]


APPS: dict[str, Callable[[], Any]] = {
    "asgi": lambda: asgi,
    "thread": lambda: WsgiToAsgi(wsgi),
    "greenlet": lambda: WsgiToAsgi(wsgi, runner="greenlet"),
    "inline": lambda: WsgiToAsgi(wsgi, runner="inline"),
    "thread, wrapped": lambda: wrapped(WsgiToAsgi(wsgi)),
}


def wrapped(app: Any) -> Any:
    """`app` in a middleware, so that our server does not take it apart."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        user.set(scope["query_string"].decode())
        await app(scope, receive, send)

    return middleware


def check(seen: Seen, count: int) -> None:
    """Each line was written in the context of the request that it tells of."""
    eventually(lambda: len(seen.lines) == count)
    for line, who in seen.lines:
        assert f"?{who} " in line


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind in APPS for path in ("/", "/at-once", "/stream")]
    + [(kind, "/raises") for kind in APPS]
    + [("asgi", "/nothing")],
)
def test_each_in_its_own(kind: str, path: str, seen: Seen) -> None:
    """S50: a filter that adds a user from a context variable adds the request's own."""
    with served(APPS[kind](), access_log=True) as server:
        for name in ("alice", "bob", "carol"):
            with server.connect() as client:
                client.get(f"{path}?{name}")
        check(seen, 3)


@pytest.mark.parametrize("kind", APPS)
def test_cut(kind: str, seen: Seen) -> None:
    """S50: a response whose client leaves in the middle, too."""
    with served(APPS[kind](), access_log=True) as server:
        for name in ("alice", "bob", "carol"):
            client = server.connect()
            client.send(request(f"/endless?{name}"))
            client.exactly(100_000)
            client.reset()
        check(seen, 3)


@pytest.mark.parametrize("kind", APPS)
def test_pipelined(kind: str, seen: Seen) -> None:
    """S50: requests behind one another on one connection, too."""
    names = [f"user{number}" for number in range(8)]
    with served(APPS[kind](), access_log=True) as server, server.connect() as client:
        client.send(b"".join(request(f"/?{name}") for name in names))
        for _ in names:
            assert client.response().status == 200
        check(seen, len(names))


def test_many_at_once(seen: Seen) -> None:
    """S50: responses that threads leave to the loop, while more requests wait, too."""
    gate = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        assert gate.wait(20)
        return wsgi(environ, start_response)

    with served(WsgiToAsgi(app, threads=2), access_log=True) as server:
        clients: list[Client] = [server.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(request(f"/?user{number}"))
        gate.set()
        for client in clients:
            assert client.response().status == 200
            client.sock.close()
        check(seen, 20)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 101), ("/refused", 403), ("/raises", 500)],
)
def test_websockets(path: str, status: int, seen: Seen) -> None:
    """S50: a WebSocket's line, too, accepted or refused."""
    with served(asgi, access_log=True) as server:
        for name in ("alice", "bob", "carol"):
            with server.connect() as client:
                client.send(handshake(f"{path}?{name}"))
                assert client.response().status == status
        check(seen, 3)
