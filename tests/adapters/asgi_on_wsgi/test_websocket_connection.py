"""An open WebSocket behind a WSGI host: messages, pressure, pings and ends."""

from __future__ import annotations

import asyncio
import socket
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.adapters.asgi_on_wsgi.websocket_connection import Connection
from bridge.asgi.receive_queue import ReceiveQueue
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.errors import ClientDisconnected
from bridge.limits import HIGH_WATER
from bridge.websocket.frames import Frames
from tests.adapters.asgi_on_wsgi.direct import LIMIT
from tests.adapters.asgi_on_wsgi.socket_host import (
    ACCEPT,
    HANDSHAKE,
    SocketHost,
    closed_with,
    opened,
)
from tests.runners.jobs import until
from tests.support.websocket import BINARY, CONTINUATION, PING, close_frame, frame


def test_echo() -> None:
    """A40: text and bytes go both ways; the close is the client's."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send(ACCEPT)
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        assert message == {"type": "websocket.disconnect", "code": 1000, "reason": "bye"}

    with opened(app) as ws:
        for said in ("text", b"bytes", "x" * 300_000):
            ws.send(said)
            assert ws.recv(LIMIT) == said
        ws.close(1000, "bye")


def test_slow_app() -> None:
    """A40: an app that does not receive stops the client, and loses nothing."""
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.to_thread(go.wait, LIMIT)
        total = 0
        while (message := await receive()).get("text") != "end":
            total += len(message["bytes"])
        await send({"type": "websocket.send", "text": str(total)})

    with opened(app, {"compression": None}) as ws:
        stopped = threading.Event()

        def push() -> None:
            for _ in range(200):
                ws.send(b"x" * 65536)
            stopped.set()
            ws.send("end")

        pusher = threading.Thread(target=push)
        pusher.start()
        assert not stopped.wait(0.3)
        go.set()
        assert ws.recv(LIMIT) == str(200 * 65536)
        pusher.join()


def test_message_that_is_too_big(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: a message over the limit ends the connection with 1009, compressed or not."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.MAX_SIZE", 1000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await receive()
        assert (await receive())["code"] == 1009

    with opened(app) as ws:
        ws.send("x" * 2000)
        assert closed_with(ws)[0] == 1009


@pytest.mark.parametrize("takes", [True, False], ids=["quick", "slow"])
def test_very_many_messages_at_once(takes: bool) -> None:
    """A40: what comes at once is taken in turns, in its order, and no more than may wait."""
    number, most = 5000, 0
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most
        await receive()
        await send(ACCEPT)
        if not takes:
            await asyncio.to_thread(go.wait, LIMIT)
        for expected in range(number):
            assert (await receive())["bytes"] == str(expected).encode()
            most = max(most, len(receive.__self__.events))
        await send({"type": "websocket.send", "text": "all"})

    with opened(app, {"compression": None}) as ws:
        ws.socket.sendall(b"".join(frame(BINARY, str(each).encode()) for each in range(number)))
        ws.ping().wait(0.1)
        go.set()
        assert ws.recv(LIMIT) == "all"
    assert most < 1000


def test_a_close_behind_messages_that_nobody_takes() -> None:
    """A40: when the app has closed, the client's close frame is found behind any messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        while not receive.__self__.full:
            await asyncio.sleep(0.01)
        await send({"type": "websocket.close", "code": 3000})

    with opened(app, {"compression": None}) as ws:
        ws.socket.sendall(frame(BINARY, b"x") * 5000)
        assert closed_with(ws) == (3000, "")


def test_tiny_fragments() -> None:
    """A40: fragments of two bytes are kept as bytes, not as an object each."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": str(len((await receive())["bytes"]))})

    number, kept = 20_000, 0
    with opened(app, {"compression": None}) as ws:
        ws.socket.sendall(frame(BINARY, b"xy", fin=False))
        tracemalloc.start()
        try:
            ws.socket.sendall(frame(CONTINUATION, b"xy", fin=False) * (number - 2))
            ws.ping().wait(LIMIT)  # they were all taken
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        ws.socket.sendall(frame(CONTINUATION, b"xy"))
        assert ws.recv(LIMIT) == str(2 * number)
    assert 2 * number <= kept < 10 * 2 * number


def test_send_after_the_client_left() -> None:
    """A40: sending to a client that is gone raises ClientDisconnected, an OSError."""
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        heard.extend([await receive(), await receive()])
        try:
            await send({"type": "websocket.send", "text": "anybody there?"})
        except ClientDisconnected as error:
            heard.append(error)
            raise

    with opened(app) as ws:
        ws.socket.shutdown(socket.SHUT_RDWR)
    assert [message["code"] for message in heard[:2]] == [1006, 1006]
    assert isinstance(heard[2], OSError)


@pytest.mark.parametrize("how", ["reset", "half-closed"])
def test_app_that_does_not_read(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: a client that leaves behind messages that nobody takes frees the thread as well."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.PING_INTERVAL", 0.05)
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.instance.FIRST_PAUSE", 0.01)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.Event().wait()

    adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=0.01)
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    assert host.client.recv(12) == b"HTTP/1.1 101"
    for _ in range(20):
        host.client.sendall(frame(BINARY, b"x" * 8192))
    if how == "reset":
        host.client.close()
    else:
        host.client.shutdown(socket.SHUT_WR)
    host.end()
    assert adapter.close(LIMIT)


def test_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: nor does one hold it that has stopped sending, and takes nothing."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.CLOSE_TIMEOUT", 0.05)
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 65536})
        except OSError as error:
            raised.append(error)

    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    assert host.client.recv(12) == b"HTTP/1.1 101"
    host.client.shutdown(socket.SHUT_WR)
    host.end()
    assert adapter.close(LIMIT)
    assert isinstance(raised[0], ClientDisconnected)


def test_silent_client_is_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: a client that answers pings is kept, however silent it is."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.PING_INTERVAL", 1.0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await asyncio.sleep(2.5)
        await send({"type": "websocket.send", "text": "still here"})

    with opened(app) as ws:
        assert ws.recv(LIMIT) == "still here"


@pytest.mark.parametrize("closes", [False, True])
def test_dead_client_is_given_up(closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: a client that answers neither pings nor a close frame does not hold the thread."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.PING_INTERVAL", 0.05)
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.CLOSE_TIMEOUT", 0.05)
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if closes:
            await send({"type": "websocket.close"})
        else:
            heard.append(await receive())

    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    host.end()
    assert adapter.close(LIMIT)
    assert closes or (heard[0]["code"], heard[0]["reason"]) == (1011, "keepalive ping timeout")


def linked(use: Callable[[Connection, asyncio.Transport, socket.socket], Any]) -> None:
    """Run ``use(connection, transport, client)``: `client` is the other end of an open one."""

    async def run() -> None:
        ours, client = socket.socketpair()
        for end in (ours, client):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            end.setblocking(False)
        frames = Frames(ServerProtocol(state=State.OPEN), 1 << 20, 0)
        connection = Connection(frames, ReceiveQueue(32), b"101")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: connection, ours)
        try:
            await asyncio.wait_for(use(connection, transport, client), LIMIT)
        finally:
            connection.abort()
            await connection.gone
            client.close()

    asyncio.run(run())


def test_pings_without_end() -> None:
    """A40: a client that takes no pongs is not read from, until it takes them."""

    async def use(_: Connection, transport: asyncio.Transport, client: socket.socket) -> None:
        loop, count = asyncio.get_running_loop(), 100_000
        pings = frame(PING, b"") * count
        sending = loop.create_task(loop.sock_sendall(client, pings))
        await until(lambda: transport.get_write_buffer_size() > HIGH_WATER)
        for _turn in range(10):
            await asyncio.sleep(0)
            assert not transport.is_reading()
        assert not sending.done()
        received = b""
        while len(received) < 3 + 2 * count:
            received += await loop.sock_recv(client, 65536)
        await sending
        assert received == b"101" + b"\x8a\x00" * count
        assert transport.is_reading()

    linked(use)


def test_send_waits_for_a_slow_client() -> None:
    """A40: while more than 64 KiB are on their way."""

    async def use(connection: Connection, _: asyncio.Transport, client: socket.socket) -> None:
        loop, size = asyncio.get_running_loop(), 1 << 20
        message = {"type": "websocket.send", "bytes": bytes(size)}
        sending = loop.create_task(connection.send(message))
        for _turn in range(10):
            await asyncio.sleep(0)
        assert not sending.done()
        received = 0
        while received < size:
            received += len(await loop.sock_recv(client, 65536))
        await sending

    linked(use)


def test_send_after_our_close() -> None:
    """A40: nothing goes out behind a close frame."""

    async def use(connection: Connection, _: asyncio.Transport, client: socket.socket) -> None:
        connection.close(1000)
        connection.close(1001)
        with pytest.raises(ClientDisconnected):
            await connection.send({"type": "websocket.send", "text": "late"})
        received = await asyncio.get_running_loop().sock_recv(client, 100)
        assert received == b"101\x88\x02\x03\xe8"

    linked(use)


@pytest.mark.parametrize("how", ["answers", "closes", "returns"])
def test_message_and_close_in_one_packet(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """A40: the app gets to answer the message; the client's close is what counts."""
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        message = await receive()
        if how == "answers":
            await send({**message, "type": "websocket.send"})
        elif how == "closes":
            await send({"type": "websocket.close", "code": 4000})
        if how != "returns":
            heard.append(await receive())

    with opened(app) as ws:
        ws.protocol.send_text(b"Hello")
        ws.protocol.send_close(3000, "bye")
        ws.socket.sendall(b"".join(ws.protocol.data_to_send()))
        if how == "answers":
            assert ws.recv(LIMIT) == "Hello"
        assert closed_with(ws) == (3000, "bye")
    for message in heard:
        assert message == {"type": "websocket.disconnect", "code": 3000, "reason": "bye"}
    assert "Traceback" not in caplog.text


def test_send_after_the_client_has_closed() -> None:
    """A40: after its close frame the client reads nothing more; `send` says so."""
    raised: list[BaseException] = []
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert (await receive())["code"] == 3000
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as error:
            raised.append(error)
        done.set()

    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    assert host.client.recv(12) == b"HTTP/1.1 101"
    host.client.sendall(close_frame(3000))
    assert done.wait(LIMIT)
    assert isinstance(raised[0], ClientDisconnected)
    host.client.shutdown(socket.SHUT_WR)
    host.end()
    assert adapter.close(LIMIT)


def test_client_that_does_not_close_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A40: when the app has ended, a client that answers no close frame holds nothing for long."""
    monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_app_side.CLOSE_TIMEOUT", 0.05)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

    adapter = AsgiToWsgi(app, lifespan="off")
    host = SocketHost(adapter)
    host.client.sendall(HANDSHAKE)
    host.end()
    assert isinstance(host.error, BrokenPipeError)
    assert adapter.close(LIMIT)
