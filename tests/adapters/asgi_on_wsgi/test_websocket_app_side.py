"""The app of a WebSocket behind a WSGI host: what it may send, how it ends, what it hears."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from websockets.sync.client import unix_connect

from bridge.adapters.asgi_on_wsgi.websocket import WebSocketExchange
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.errors import AppError, ClientDisconnected, IllegalMessage, UnsupportedScope
from tests.adapters.asgi_on_wsgi.direct import LIMIT
from tests.adapters.asgi_on_wsgi.socket_host import (
    ACCEPT,
    HANDSHAKE,
    SocketHost,
    closed_with,
    opened,
    refused,
)


def test_receive_before_accept() -> None:
    """A40: an app may wait for messages before it has answered the handshake."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        early = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": (await early)["text"]})

    with opened(app) as ws:
        ws.send("early")
        assert ws.recv(LIMIT) == "early"
        assert closed_with(ws) == (1000, "")


def test_illegal_messages() -> None:
    """A21 A40: what may not be sent raises in the app, which can go on."""
    wrong = [
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": "a", "bytes": b"b"},
        {"type": "websocket.send", "text": 5},
        {"type": "websocket.send", "bytes": "text"},
        {"type": "websocket.accept"},
        {"type": "websocket.close", "code": 5},
        {"type": "websocket.close", "code": 1000, "reason": "x" * 200},
        {"type": "websocket.http.response.start", "status": 200},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for early in (
            {"type": "websocket.send", "text": "early"},
            {**ACCEPT, "subprotocol": "not offered"},
            {**ACCEPT, "headers": [(b"sec-websocket-accept", b"mine")]},
        ):
            with pytest.raises(IllegalMessage):
                await send(early)
        await send(ACCEPT)
        for message in wrong:
            with pytest.raises(IllegalMessage):
                await send(message)
        await send({"type": "websocket.close", "code": 3000, "reason": "all were refused"})
        with pytest.raises(IllegalMessage):
            await send({"type": "websocket.send", "text": "late"})

    with opened(app) as ws:
        assert closed_with(ws) == (3000, "all were refused")


def test_app_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A40: an app that fails is logged, and closes with 1011."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise ValueError("mine")

    with opened(app) as ws:
        assert closed_with(ws) == (1011, "")
    assert "the app failed in a WebSocket" in caplog.text


@pytest.mark.parametrize("swallowed", [0, 3])
def test_app_that_does_not_notice(swallowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A26 A40: the thread goes when the connection does; the app is cancelled after that."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.instance.FIRST_PAUSE", 0.01)
    cancelled = 0
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal cancelled
        await receive()
        await send(ACCEPT)
        while cancelled <= swallowed:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})
        ended.set()

    with opened(app, disconnect_grace=0.05) as ws:
        ws.socket.shutdown(socket.SHUT_RDWR)
    assert ended.wait(LIMIT)


def test_thread_does_not_wait_for_the_grace() -> None:
    """A40: the thread is free before the app has ended."""
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.to_thread(go.wait, LIMIT)

    adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=LIMIT)
    host = SocketHost(adapter)
    with unix_connect(uri="ws://host/", sock=host.client) as ws:
        ws.socket.shutdown(socket.SHUT_RDWR)
    host.end()  # while the app still waits
    go.set()
    assert adapter.close(LIMIT)


def test_error_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A26 A40: what an app raises later is logged, if it does not come of the leaving."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert (await receive())["type"] == "websocket.disconnect"
        raise ValueError("mine")

    with opened(app) as ws:
        ws.socket.shutdown(socket.SHUT_RDWR)
    assert "the app raised after its WebSocket was over" in caplog.text
    assert "mine" in caplog.text


def test_late_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: a WebSocket accepted when the host has let go never opens, on nobody's socket."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.TICK", 0.02)
    raised: list[BaseException] = []
    go, done = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.to_thread(go.wait, LIMIT)
        for late in (ACCEPT, {"type": "websocket.send", "text": "secret"}):
            try:
                await send(late)
            except OSError as error:
                raised.append(error)
        done.set()

    adapter = AsgiToWsgi(app, lifespan="off", response_timeout=0.02)
    host = SocketHost(adapter)
    number = host.server.fileno()
    host.client.sendall(HANDSHAKE)
    host.thread.join(LIMIT)
    pairs = [socket.socketpair() for _ in range(8)]  # the next clients get the number
    assert number in [end.fileno() for pair in pairs for end in pair]
    go.set()
    assert done.wait(LIMIT)
    assert [type(error) for error in raised] == [ClientDisconnected] * 2
    ends = [end for pair in pairs for end in pair]
    for end in ends:
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(1)
    for end in ends:
        end.close()
    assert adapter.close(LIMIT)
    host.end()


def test_socket_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: if the loop cannot take the socket, the app and the host hear of it."""
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(ACCEPT)
        except OSError as error:
            raised.append(error)
            await asyncio.Event().wait()

    class Failing(asyncio.SelectorEventLoop):
        async def connect_accepted_socket(*_: Any, **__: Any) -> Any:
            raise OSError("no room")

    monkeypatch.setattr("bridge.loops.factory._make_loop", Failing)
    assert isinstance(refused(app, disconnect_grace=0.01, shutdown_timeout=0.1)[2], OSError)
    assert str(raised[0]) == "no room"


def test_shutdown() -> None:
    """A27 A40: at shutdown open WebSockets are closed with 1012."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    with unix_connect(uri="ws://host/", sock=host.client) as ws:
        closer = threading.Thread(target=adapter.close, args=(LIMIT,))
        closer.start()
        assert closed_with(ws) == (1012, "")
        closer.join(LIMIT)
    host.end()


def test_refused_by_the_app() -> None:
    """A40: a close instead of an accept is a 403; receive() says that it is over."""
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})
        heard.append(await receive())

    assert refused(app)[:2] == (403, b"Forbidden\n")
    assert heard[0]["type"] == "websocket.disconnect"


def test_refused_by_an_error() -> None:
    """A23 A40: an app that ends without an answer is an error for the host, with its cause."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("mine")

    status, _, error = refused(app)
    assert status == 0
    assert isinstance(error, AppError)
    assert isinstance(error.__cause__, ValueError)


def test_app_without_websockets(caplog: pytest.LogCaptureFixture) -> None:
    """A40 W60: an app that knows no WebSockets refuses with 403, and one line in the log."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise UnsupportedScope("no WebSockets here")

    assert refused(app)[:2] == (403, b"Forbidden\n")
    assert "no WebSockets here" in caplog.text
    assert "Traceback" not in caplog.text


def test_refused_with_a_response_of_its_own() -> None:
    """A40: status and body of `websocket.http.response`, in pieces."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = "websocket.http.response.body"
        await send({"type": "websocket.http.response.start", "status": 418})
        await send({"type": body, "body": b"no ", "more_body": True})
        await send({"type": body, "body": b"coffee"})

    assert refused(app)[:2] == (418, b"no coffee")


def test_accept_when_the_host_has_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: the side that takes the socket first has decided, even if the app is not told yet."""
    raised: list[BaseException] = []
    taken = threading.Event()

    def take(self: WebSocketExchange, given: Any, app: Any, duplicate: Any) -> None:
        assert duplicate.close()
        taken.set()
        while not app.over:
            self._waiter.wait(LIMIT)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(taken.wait, LIMIT)
        try:
            await send(ACCEPT)
        except OSError as error:
            raised.append(error)
            raise

    monkeypatch.setattr(WebSocketExchange, "_wait", take)
    assert isinstance(refused(app)[2], AppError)
    assert isinstance(raised[0], ClientDisconnected)


def test_host_that_leaves_while_the_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: the client is told 1001 at once."""
    opening, left = threading.Event(), threading.Event()

    class Slow(asyncio.SelectorEventLoop):
        async def connect_accepted_socket(self, *args: Any, **more: Any) -> Any:
            made = await super().connect_accepted_socket(*args, **more)
            opening.set()
            await asyncio.to_thread(left.wait, LIMIT)
            return made

    def killed(self: WebSocketExchange, given: Any, app: Any, duplicate: Any) -> None:
        assert opening.wait(LIMIT)
        app.host_left = True  # which `leave` does first
        left.set()
        while app.connection is None:
            self._waiter.wait(LIMIT)
        raise SystemExit

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await receive()

    monkeypatch.setattr("bridge.loops.factory._make_loop", Slow)
    monkeypatch.setattr(WebSocketExchange, "_wait", killed)
    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    with unix_connect(uri="ws://host/", sock=host.client) as ws:
        assert closed_with(ws) == (1001, "")
    host.thread.join(LIMIT)
    assert adapter.close(LIMIT)
    host.end()


def test_host_that_leaves_when_the_loop_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A26 A40: there is nothing left to be told."""

    def late(self: WebSocketExchange, given: Any, app: Any, duplicate: Any) -> None:
        while not app.over:
            self._waiter.wait(LIMIT)
        assert adapter.close(LIMIT)
        self._instance.thread.join(LIMIT)
        raise SystemExit

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    monkeypatch.setattr(WebSocketExchange, "_wait", late)
    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    host.end()
    assert isinstance(host.error, SystemExit)
