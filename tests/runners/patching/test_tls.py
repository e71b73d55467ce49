"""TLS of greenlets, whose other side is a thread."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from tests.runners.patching.sockets.jobs import pair, paused, run_jobs

TIMEOUTS = [None, 60.0]
LARGE = bytes(range(256)) * 16384  # 4 MB, more than a socket takes


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a client and of a server that it trusts."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return client, server


class Sides:
    """Both sides of a connection: the client's is for greenlets, the server's for threads."""

    def __init__(self, contexts: Any, left: socket.socket, right: socket.socket) -> None:
        self.client_context, self.server_context = contexts
        self.left, self.right = left, right
        right.settimeout(30)

    async def shake_hands(self, begin: Any) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
        call = begin(self.wrap_left)
        await paused(call)
        server = await asyncio.to_thread(self.wrap_right)
        return await call.done, server

    def wrap_left(self, **settings: Any) -> ssl.SSLSocket:
        return self.client_context.wrap_socket(self.left, server_hostname="localhost", **settings)

    def wrap_right(self) -> ssl.SSLSocket:
        return self.server_context.wrap_socket(self.right, server_side=True)


@pytest.fixture
def sides(request: pytest.FixtureRequest, contexts: Any) -> Iterator[Sides]:
    timeout = getattr(request, "param", None)
    with pair(timeout, socket.AF_UNIX) as (left, right):
        yield Sides(contexts, left, right)


both_timeouts = pytest.mark.parametrize("sides", TIMEOUTS, indirect=True)


@both_timeouts
def test_reading_and_writing(sides: Sides) -> None:
    """G6: a handshake, reading, writing and the end of TLS let the loop run while they wait."""
    timeout = sides.left.gettimeout()

    async def main(begin: Any) -> None:
        client, server = await sides.shake_hands(begin)
        assert client.gettimeout() == timeout
        with client, server:
            buffer = bytearray(100)
            for work in (
                lambda: client.recv(100),
                lambda: client.read(),
                lambda: bytes(buffer[: client.recv_into(buffer)]),
                lambda: client.makefile("rb").readline(),
            ):
                call = begin(work)
                await paused(call)
                server.sendall(b"hello\n")
                assert await call.done == b"hello\n"
            assert client.gettimeout() == timeout

            sent = begin(lambda: client.sendall(LARGE))
            await paused(sent)
            assert await asyncio.to_thread(whole, server, len(LARGE)) == LARGE
            await sent.done

            end = begin(client.unwrap)
            await paused(end)
            await asyncio.to_thread(server.unwrap)
            assert isinstance(await end.done, ssl.SSLSocket)
            with pytest.raises(ValueError, match="closed or unwrapped"):
                await begin(client.read).done
            with pytest.raises(ValueError, match="closed or unwrapped"):
                await begin(lambda: client.write(b"x")).done

    run_jobs(main)


def whole(sock: ssl.SSLSocket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += sock.recv(1 << 20)
    return bytes(data)


@pytest.mark.parametrize("sides", [0.1], indirect=True)
def test_time_is_up(sides: Sides) -> None:
    """G6: the socket's timeout holds, with the usual errors, for the handshake and after it."""

    async def main(begin: Any) -> None:
        with pytest.raises(TimeoutError, match="The handshake operation timed out"):
            await begin(sides.wrap_left).done

    run_jobs(main)


@both_timeouts
def test_time_is_up_later(sides: Sides) -> None:
    """G6: a read and a write that nobody answers time out with the usual errors."""

    async def main(begin: Any) -> None:
        client, server = await sides.shake_hands(begin)
        with client, server:
            client.settimeout(0.1)
            with pytest.raises(TimeoutError, match="The read operation timed out"):
                await begin(client.read).done
            with pytest.raises(TimeoutError, match="The write operation timed out"):
                await begin(lambda: [client.write(LARGE) for _ in range(10)]).done
            with pytest.raises(TimeoutError, match="The read operation timed out"):
                await begin(client.unwrap).done
            client.settimeout(0)
            with pytest.raises(ssl.SSLWantReadError):
                await begin(client.read).done

    run_jobs(main)


@both_timeouts
def test_connecting(sides: Sides, contexts: Any) -> None:
    """G6: a TLS socket connects and shakes hands, and a listening one accepts, in greenlets."""
    timeout = sides.left.gettimeout()

    async def main(begin: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as plain:
            listener = sides.server_context.wrap_socket(plain, server_side=True)

            def connect() -> bytes:
                with sides.client_context.wrap_socket(
                    socket.socket(), server_hostname="localhost"
                ) as sock:
                    sock.settimeout(timeout)
                    sock.connect(listener.getsockname())
                    return sock.recv(5)

            def answer() -> None:
                sock, _ = listener.accept()
                with sock:
                    sock.sendall(b"hello")

            calls = [begin(work) for work in (answer, connect)]
            assert await calls[1].done == b"hello"
            await calls[0].done
            listener.close()

    run_jobs(main)


def test_without_waiting(sides: Sides) -> None:
    """G6: a handshake of a socket that does not wait is made step by step, or waits if told so."""
    sides.left.settimeout(0)

    async def main(begin: Any) -> None:
        client = sides.wrap_left(do_handshake_on_connect=False)
        with client:
            with pytest.raises(ssl.SSLWantReadError):
                await begin(client.do_handshake).done
            call = begin(lambda: client.do_handshake(block=True))
            await paused(call)
            server = await asyncio.to_thread(sides.wrap_right)
            await call.done
            assert client.gettimeout() == 0
            server.close()

    run_jobs(main)


def test_failures(sides: Sides) -> None:
    """G6: what goes wrong is told as ever: no TLS, an end without warning, a closed socket."""

    async def main(begin: Any) -> None:
        client, server = await sides.shake_hands(begin)
        with client:
            call = begin(client.read)
            await paused(call)
            server.detach()
            sides.right = server
            client.close()
            with pytest.raises(OSError, match="Errno 9"):
                await call.done
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def connect() -> None:
                with socket.create_connection(listener.getsockname()) as sock:
                    sides.client_context.wrap_socket(sock, server_hostname="localhost")

            call = begin(connect)
            peer, _ = await asyncio.to_thread(listener.accept)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(ssl.SSLError):
                await call.done
            peer.close()

    run_jobs(main)


def test_in_threads(sides: Sides) -> None:
    """G6: in threads TLS does what it always did."""

    def answer() -> None:
        with sides.wrap_right() as server:
            server.sendall(b"hello")

    thread = threading.Thread(target=answer)
    thread.start()
    client = sides.wrap_left()
    assert client.recv(100) == b"hello"
    client.do_handshake()
    thread.join()
    client.close()
