"""Bytes of a connection, from the kernel or counted on their way (O2)."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.server.transport import counted
from bridge.server.transport.counted import kernel_counts, tcp_source
from tests.support.in_loop import InLoop, in_loop, tcp_pair
from tests.support.raw import request

BIG = b"x" * 300_000
RESET = struct.pack("ii", 1, 0)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await send({"type": "websocket.close"})
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": BIG[:1000], "more_body": True})
    await send({"type": "http.response.body", "body": BIG})


def wsgi_file(path: Path) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(path.stat().st_size))])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    return app


async def exchange(server: InLoop, ours: socket.socket, theirs: socket.socket, data: bytes) -> int:
    """Send `data` and FIN through the loop itself; the number of bytes that come back."""
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    with ours:
        await loop.connect_accepted_socket(server._connection, theirs)
        await loop.sock_sendall(ours, data)
        ours.shutdown(socket.SHUT_WR)
        size = 0
        while more := await loop.sock_recv(ours, 1 << 20):
            size += len(more)
    while server.state.connections:
        await asyncio.sleep(0)
    return size


@pytest.mark.parametrize("family", ["tcp", "tcp, not told", "unix"])
@pytest.mark.parametrize("kind", ["asgi", "file in a thread", "file in a greenlet"])
def test_bytes_in_and_out(
    family: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O2: each byte counts, by the loop, by a thread and by the kernel; FIN is none."""
    if family == "tcp, not told":
        monkeypatch.setattr(counted, "kernel_counts", lambda: False)
    app: Any = asgi
    if kind != "asgi":
        path = tmp_path / "big"
        path.write_bytes(BIG)
        app = WsgiToAsgi(wsgi_file(path), runner=kind.rpartition(" ")[2])
    message = request("/", method="POST", body=BIG[:100_000]) + request("/")
    with in_loop(app) as server:
        figures = server.count()
        if kind != "asgi":
            app.runner.start(server.loop)
        pair = socket.socketpair() if family == "unix" else tcp_pair()
        size = server.run(exchange(server, *pair, message))
        assert size > 2 * len(BIG)
        assert (figures.traffic.received, figures.traffic.sent) == (len(message), size)
        assert figures.traffic.opened == 1
        if kind != "asgi":
            server.run(app.runner.stop())


@pytest.mark.skipif(not kernel_counts(), reason="the kernel does not tell")
def test_what_the_kernel_tells() -> None:
    """O2: also of what has not left yet, and after FIN or a reset."""
    ours, theirs = tcp_pair()
    with theirs:
        ask = tcp_source(theirs)
        assert ask() == (0, 0)
        ours.sendall(b"12345")
        assert theirs.recv(9) == b"12345"
        theirs.setblocking(False)
        size = 0
        while True:  # more than the client can take
            try:
                size += theirs.send(BIG)
            except BlockingIOError:
                break
        assert ask() == (5, size)
        while size:
            size -= len(ours.recv(1 << 20))
        ours.shutdown(socket.SHUT_WR)
        theirs.setblocking(True)
        assert theirs.recv(9) == b""
        before = ask()
        assert before is not None
        assert before[0] == 5
        theirs.shutdown(socket.SHUT_WR)
        assert ours.recv(9) == b""
        assert ask() == before
        ours.close()
    assert ask() is None
    ours, theirs = tcp_pair()
    with theirs:
        ours.sendall(b"123")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        ours.close()
        poll = select.poll()
        poll.register(theirs, 0)
        assert poll.poll(20_000)  # the reset has come
        assert tcp_source(theirs)() == (3, 0)


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """O2: only Linux is asked."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert kernel_counts.__wrapped__() is False


def test_a_websocket_goes_on_being_counted() -> None:
    """O2: a connection that becomes a WebSocket is the same connection."""
    from tests.support.websocket import TEXT, close_frame, frame, handshake

    async def talk(server: InLoop) -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        await loop.connect_accepted_socket(server._connection, theirs)
        sent, size = handshake(), 0
        await loop.sock_sendall(ours, sent)
        while not size:
            size += len(await loop.sock_recv(ours, 1 << 16))
        more = frame(TEXT, b"hello") + close_frame(1000)
        await loop.sock_sendall(ours, more)
        while data := await loop.sock_recv(ours, 1 << 16):
            size += len(data)
        ours.close()
        while server.state.connections:
            await asyncio.sleep(0)
        return len(sent + more), size

    with in_loop(asgi) as server:
        figures = server.count()
        assert server.run(talk(server)) == (figures.traffic.received, figures.traffic.sent)
        assert figures.traffic.opened == 1


def test_writer_in_a_thread() -> None:
    """O2: what a thread writes itself counts as it is taken."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        counts = counted.Counts()
        writer = counted.CountedWriter(theirs.fileno(), counts)
        thread = threading.Thread(target=writer.send, args=(b"abc", b"de"))
        thread.start()
        thread.join()
        assert ours.recv(9) == b"abcde"
        file = os.memfd_create("file") if hasattr(os, "memfd_create") else -1
        if file >= 0:
            os.write(file, b"12345678")
            assert writer.send_file(file, 1, 5) == 5
            os.close(file)
            assert counts() == (0, 10)
