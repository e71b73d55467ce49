"""Calls of sockets in C, which never block."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

nonblocking: Any = pytest.importorskip("bridge.runners.greenlets.nonblocking")


@pytest.fixture(params=[None, 5.0, 0.0])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected; the first blocks, has a timeout, or does not block."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(request.param)
        yield left, right


def test_reading(pair: tuple[socket.socket, socket.socket]) -> None:
    """G6: a read returns what there is, nothing at the end, and None while nothing is there."""
    left, right = pair
    buffer = bytearray(4)
    descriptor = left.fileno()
    assert nonblocking.recv(descriptor, 4, 0) is None
    assert nonblocking.recv_into(descriptor, buffer, 0, 0) is None
    assert nonblocking.recv(descriptor, 0, 0) == b""
    assert nonblocking.recv_into(descriptor, bytearray(), 0, 0) == 0
    right.send(b"abcdefghijkl")
    assert nonblocking.recv(descriptor, 4, socket.MSG_PEEK) == b"abcd"
    assert nonblocking.recv(descriptor, 4, 0) == b"abcd"
    assert nonblocking.recv_into(descriptor, buffer, 0, 0) == 4
    assert buffer == b"efgh"
    assert nonblocking.recv_into(descriptor, buffer, 2, 0) == 2
    assert buffer == b"ijgh"
    assert nonblocking.recv(descriptor, 100, 0) == b"kl"
    right.close()
    assert nonblocking.recv(descriptor, 4, 0) == b""
    assert nonblocking.recv_into(descriptor, buffer, 0, 0) == 0


def test_writing(pair: tuple[socket.socket, socket.socket]) -> None:
    """G6: a write sends what there is room for, and returns None when there is none."""
    left, right = pair
    sent = 0
    while (count := nonblocking.send(left.fileno(), memoryview(bytes(1 << 20)), 0)) is not None:
        sent += count
    received = 0
    while received < sent:
        received += len(right.recv(1 << 20))
    assert nonblocking.send(left.fileno(), b"", 0) == 0
    assert nonblocking.send(left.fileno(), bytearray(b"abc"), 0) == 3
    assert right.recv(10) == b"abc"
    right.close()
    with pytest.raises(BrokenPipeError):
        nonblocking.send(left.fileno(), b"abc", 0)


def test_errors(pair: tuple[socket.socket, socket.socket]) -> None:
    """G6: errors are those of the methods of sockets."""
    left, _ = pair
    descriptor = left.fileno()
    left.close()
    for arguments, error in (
        (("recv", descriptor, 1, 0), OSError),
        (("recv_into", -1, bytearray(1), 0, 0), OSError),
        (("send", -1, b"x", 0), OSError),
        (("recv", descriptor, -1, 0), ValueError),
        (("recv", descriptor, 1 << 70, 0), OverflowError),
        (("recv", descriptor, "1", 0), TypeError),
        (("recv", descriptor, 1, "0"), TypeError),
        (("recv", "1", 1, 0), TypeError),
        (("recv", descriptor, 1), TypeError),
        (("recv_into", descriptor, bytearray(1), 2, 0), ValueError),
        (("recv_into", descriptor, bytearray(1), -1, 0), ValueError),
        (("recv_into", descriptor, bytearray(1), None, 0), TypeError),
        (("recv_into", descriptor, b"x", 0, 0), (TypeError, BufferError)),
        (("recv_into", descriptor), TypeError),
        (("send", descriptor, "x", 0), TypeError),
        (("send", descriptor), TypeError),
    ):
        name, *values = arguments
        with pytest.raises(error):
            getattr(nonblocking, str(name))(*values)


def test_signals() -> None:
    """G6: a call that does not block is not interrupted by a signal, either."""
    left, right = socket.socketpair()
    former = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        with left, right:
            for _ in range(2_000):
                assert nonblocking.recv(left.fileno(), 1, 0) is None
                assert nonblocking.send(right.fileno(), b"x", 0) == 1
                assert nonblocking.recv(left.fileno(), 1, 0) == b"x"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
