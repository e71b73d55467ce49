"""A WSGI host for one WebSocket, without a server: a thread with a socket pair."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, unix_connect

from bridge.asgi_to_wsgi import AsgiToWsgi
from tests.adapters.asgi_on_wsgi.direct import LIMIT, environ

ACCEPT = {"type": "websocket.accept"}
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class SocketHost:
    """Reads one handshake from its end of a socket pair, and calls the adapter with it."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self.client, self.server = socket.socketpair()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.server.recv(65536)
        lines = head.decode().split("\r\n")[1:-2]
        fields = {
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in (line.split(": ", 1) for line in lines)
        }
        made = environ(**fields, **{"werkzeug.socket": self.server})
        sent: list[Any] = []
        try:
            body = self.adapter(made, lambda *told: sent.append(told))
            status, headers = sent[0][:2]
            lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
            self.server.sendall("\r\n".join(lines).encode() + b"".join(body))
        except BaseException as error:
            self.error = error
        self.blocks = os.get_blocking(self.server.fileno())  # as the host has left it
        self.server.close()

    def end(self) -> None:
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()
        self.client.close()


@contextmanager
def opened(app: Any, client: Any = None, **settings: Any) -> Iterator[ClientConnection]:
    """A client's WebSocket to `app`; at its end the host's thread must have ended, in its way."""
    adapter = AsgiToWsgi(app, lifespan="off", **settings)
    host = SocketHost(adapter)
    try:
        with unix_connect(
            uri="ws://host/", sock=host.client, open_timeout=LIMIT, **(client or {})
        ) as ws:
            yield ws
        host.end()
        assert isinstance(host.error, BrokenPipeError)
        assert host.blocks
    finally:
        assert adapter.close(LIMIT)


def refused(app: Any, **settings: Any) -> tuple[int, bytes, BaseException | None]:
    """Status and body of a refusal; or what was raised to the host."""
    adapter = AsgiToWsgi(app, lifespan="off", **settings)
    host = SocketHost(adapter)
    status, body = 0, b""
    try:
        with unix_connect(uri="ws://host/", sock=host.client, open_timeout=LIMIT):
            pass
    except InvalidStatus as error:
        status, body = error.response.status_code, bytes(error.response.body or b"")
    except Exception:
        pass  # the host raised, and its socket was closed
    host.end()
    assert host.blocks
    assert adapter.close(LIMIT)
    return status, body, host.error


def closed_with(ws: ClientConnection) -> tuple[int, str]:
    try:
        while True:
            ws.recv(LIMIT)
    except ConnectionClosed as closed:
        return (
            (0, "no close frame") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
        )
