"""Datagrams and messages of greenlets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.runners.patching.sockets.jobs import pair, paused, run_jobs

TIMEOUTS = [None, 60.0]


def from_into(sock: socket.socket) -> bytes:
    """What `recvfrom_into` receives."""
    buffer = bytearray(100)
    return bytes(buffer[: sock.recvfrom_into(buffer)[0]])


def message_into(sock: socket.socket) -> bytes:
    """What `recvmsg_into` receives, in two buffers."""
    first, second = bytearray(2), bytearray(100)
    size = sock.recvmsg_into(iter([first, second]))[0]
    return bytes((first + second)[:size])


READERS: dict[str, Callable[[socket.socket], bytes]] = {
    "recvfrom": lambda sock: bytes(sock.recvfrom(100)[0]),
    "recvfrom_into": from_into,
    "recvmsg": lambda sock: bytes(sock.recvmsg(100)[0]),
    "recvmsg_into": message_into,
}
WRITERS: dict[str, Callable[[socket.socket, bytes, Any], int]] = {
    "sendto": lambda sock, data, address: sock.sendto(data, address),
    "sendto with flags": lambda sock, data, address: sock.sendto(data, 0, address),
    "sendmsg": lambda sock, data, address: sock.sendmsg(iter([data]), [], 0, address),
}


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("reader", READERS)
def test_receiving(reader: str, timeout: float | None) -> None:
    """G6: a greenlet that waits for a message lets the loop run."""
    receive = READERS[reader]
    with pair(timeout, kind=socket.SOCK_DGRAM) as (left, right):

        async def main(begin: Any) -> None:
            call = begin(lambda: receive(left))
            await paused(call)
            right.send(b"hello")
            assert await call.done == b"hello"
            right.send(b"there")
            assert await begin(lambda: receive(left)).done == b"there"
            assert left.gettimeout() == timeout

        run_jobs(main)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_sending(writer: str, timeout: float | None) -> None:
    """G6: messages are sent to a host by its name; the look-up does not block the loop."""
    send = WRITERS[writer]
    with (
        socket.socket(type=socket.SOCK_DGRAM) as left,
        socket.socket(type=socket.SOCK_DGRAM) as right,
    ):
        left.settimeout(timeout)
        right.bind(("127.0.0.1", 0))
        port = right.getsockname()[1]

        async def main(begin: Any) -> None:
            for host in ("127.0.0.1", "localhost"):
                assert await begin(lambda h=host: send(left, b"hello", (h, port))).done == 5
                assert right.recv(100) == b"hello"
            with pytest.raises(socket.gaierror):
                await begin(lambda: send(left, b"hello", ("no.such.host.invalid", port))).done

        run_jobs(main)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_no_room(timeout: float | None) -> None:
    """G6: a greenlet that sends a message waits for room."""
    with pair(timeout, kind=socket.SOCK_DGRAM) as (left, right):
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

        async def main(begin: Any) -> None:
            sent = 0

            def job() -> None:
                nonlocal sent
                for _ in range(1000):
                    left.sendmsg([bytes(1000)])
                    sent += 1

            call = begin(job)
            await paused(call)
            while not call.done.done():
                assert len(right.recv(2000)) == 1000
                await paused()
                if sent == 1000:
                    break
                if sent > 50:
                    right.close()
                    with pytest.raises(OSError):
                        await call.done
            assert sent > 50

        run_jobs(main)


@pytest.mark.parametrize("reader", READERS)
def test_time_is_up(reader: str) -> None:
    """G6: the socket's timeout ends a wait for a message, with the usual error."""
    with pair(0.05, kind=socket.SOCK_DGRAM) as (left, _):

        async def main(begin: Any) -> None:
            with pytest.raises(TimeoutError, match=r"^timed out$"):
                await begin(lambda: READERS[reader](left)).done
            left.settimeout(0)
            with pytest.raises(BlockingIOError):
                await begin(lambda: READERS[reader](left)).done

        run_jobs(main)


def test_outside_of_greenlets() -> None:
    """G6: outside of greenlets the methods take the same arguments, and do what they did."""
    for reader in READERS:
        with pair(None, kind=socket.SOCK_DGRAM) as (left, right):
            right.sendmsg([b"hel", b"lo"])
            assert READERS[reader](left) == b"hello"
    with socket.socket(type=socket.SOCK_DGRAM) as left, socket.socket(type=socket.SOCK_DGRAM) as to:
        to.bind(("127.0.0.1", 0))
        for writer in WRITERS:
            assert WRITERS[writer](left, b"x", to.getsockname()) == 1
        with pytest.raises(TypeError):
            left.sendto(b"x")  # type: ignore[call-overload]
