"""A WebSocket as the thread of a WSGI host sees it: refused, given up, over."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from typing import Any

import pytest
from websockets.sync.client import unix_connect

from bridge.adapters.asgi_on_wsgi.websocket import WebSocketExchange
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.errors import AppError, ClientDisconnected
from tests.adapters.asgi_on_wsgi.direct import LIMIT, call, environ
from tests.adapters.asgi_on_wsgi.socket_host import (
    ACCEPT,
    HANDSHAKE,
    SocketHost,
    closed_with,
    opened,
    refused,
)
from tests.support.websocket import BINARY, frame


def test_open_until_the_client_closes() -> None:
    """A40: the host's thread waits, and then ends in a way that makes the host close."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["subprotocols"] == []
        await receive()
        await send(ACCEPT)
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    with opened(app) as ws:
        ws.send("text")
        assert ws.recv(LIMIT) == "text"


@pytest.mark.parametrize("how", ["refuses", "fails"])
def test_app_that_does_not_open_it(how: str) -> None:
    """A23 A40: the host gets a response, or the app's error to make a 500 of."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if how == "fails":
            raise ValueError("mine")
        await send({"type": "websocket.close"})

    status, body, error = refused(app)
    if how == "fails":
        assert isinstance(error, AppError)
    else:
        assert (status, body, error) == (403, b"Forbidden\n", None)


@pytest.mark.parametrize("tls", [False, True])
def test_refused_by_the_host(tls: bool) -> None:
    """A40: without a socket, or with TLS on it, the answer is a 501 that says why."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    adapter = AsgiToWsgi(app, lifespan="off")
    with socket.socket() as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrapped = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        made = environ(
            HTTP_UPGRADE="websocket",
            HTTP_CONNECTION="Upgrade",
            wsgi_url_scheme="https" if tls else "http",
            **({"gunicorn.socket": wrapped} if tls else {}),
        )
        answer = call(adapter, made, validate=False)
        wrapped.close()
    assert answer.code == 501
    assert (b"end TLS" in answer.body) is tls
    assert (b"gunicorn (gthread" in answer.body) is not tls
    assert adapter.close(LIMIT)


def test_refused_by_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A22 A40: an app that does not answer the handshake in time is cancelled."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.TICK", 0.02)
    cancelled = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    error = refused(app, response_timeout=0.05)[2]
    assert isinstance(error, AppError)
    assert cancelled.wait(LIMIT)


@pytest.mark.parametrize("early", [b"", frame(BINARY, b"too early")], ids=["silent", "early"])
def test_client_that_leaves_before_the_answer(
    early: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A26 A40: a client that leaves before the app has answered frees the thread.

    Also one that leaves bytes behind, which nobody reads before the answer.
    """
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.TICK", 0.02)
    heard: list[Any] = []
    begun, cancelled = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        heard.append(await receive())
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    adapter = AsgiToWsgi(app, lifespan="off", response_timeout=None, disconnect_grace=0.02)
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    assert begun.wait(LIMIT)  # the host has read no more than the handshake
    host.client.sendall(early)
    host.client.shutdown(socket.SHUT_WR)
    host.thread.join(LIMIT)
    assert isinstance(host.error, BrokenPipeError)
    assert cancelled.wait(LIMIT)
    assert [message["type"] for message in heard] == ["websocket.disconnect"]
    assert adapter.close(LIMIT)
    host.end()


def test_host_that_ends_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A26 A40: what the app accepts after that never opens, and the app is cancelled."""
    raised: list[BaseException] = []
    cancelled, left = threading.Event(), threading.Event()

    def killed(self: WebSocketExchange, given: Any, app: Any, duplicate: Any) -> None:
        raise SystemExit

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.to_thread(left.wait, LIMIT)
            with pytest.raises(ClientDisconnected) as caught:
                await send(ACCEPT)
            raised.append(caught.value)
            await asyncio.Event().wait()
        finally:
            cancelled.set()  # while it waits for the host, if that takes long

    monkeypatch.setattr(WebSocketExchange, "_wait", killed)
    adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=0.01)
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    host.thread.join(LIMIT)
    assert isinstance(host.error, SystemExit)
    assert host.client.recv(100) == b""
    left.set()
    assert cancelled.wait(LIMIT)
    assert [type(error) for error in raised] in ([ClientDisconnected], [])
    assert adapter.close(LIMIT)
    host.end()


def test_host_that_ends_while_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: the client is told 1001, and the app that nothing is sent any more."""
    raised: list[BaseException] = []

    def killed(self: WebSocketExchange, given: Any, app: Any, duplicate: Any) -> None:
        while app.connection is None:
            assert self._waiter.wait(LIMIT)
        raise SystemExit

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError as error:
            raised.append(error)

    monkeypatch.setattr(WebSocketExchange, "_wait", killed)
    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    with unix_connect(uri="ws://host/", sock=host.client, open_timeout=LIMIT) as ws:
        assert closed_with(ws) == (1001, "")
    host.thread.join(LIMIT)
    assert isinstance(host.error, SystemExit)
    assert adapter.close(LIMIT)
    assert isinstance(raised[0], ClientDisconnected)
    host.end()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 426),
        ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400),
        ({"CONTENT_LENGTH": "5"}, 400),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 400),
    ],
)
def test_handshake_that_is_wrong(changed: dict[str, str], code: int) -> None:
    """A40 S21: 400, or 426 with the version that is spoken; the app is not asked."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    adapter = AsgiToWsgi(app, lifespan="off")
    ours, theirs = socket.socketpair()
    made = environ(
        HTTP_UPGRADE="websocket",
        HTTP_CONNECTION="Upgrade",
        **{
            "HTTP_SEC_WEBSOCKET_VERSION": "13",
            "HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAA==",
            "werkzeug.socket": theirs,
            **changed,
        },
    )
    answer = call(adapter, made, validate=False)
    assert answer.code == code
    assert (("sec-websocket-version", "13") in answer.headers) is (code == 426)
    ours.close()
    theirs.close()
    assert adapter.close(LIMIT)
