"""`recv`, `recv_into`, `send` and `sendall` in greenlets: what most requests do (G6).

If the data is there, or there is room for it, each is one call of the system. Outside of greenlets
they cost one look at the current greenlet. `tries.py` says how they are kept from blocking.
"""

from __future__ import annotations

import _socket
import socket
from importlib import import_module
from typing import Any, Final

from greenlet import getcurrent

from bridge.runners.greenlets.descriptors import READ, WRITE
from bridge.runners.greenlets.worker import current_worker
from bridge.runners.patching.sockets.tries import (
    ALL,
    at_once,
    deadline_of,
    get_descriptor,
    get_timeout,
    kind_of,
    refuse_to_wait,
    tried,
    wait_for,
)

try:
    nonblocking: Any = import_module("bridge.runners.greenlets.nonblocking")
except ImportError:  # it is not compiled
    nonblocking = None

_recv: Final = _socket.socket.recv
_recv_into: Final = _socket.socket.recv_into
_send: Final = _socket.socket.send
_sendall: Final = _socket.socket.sendall


def recv(self: socket.socket, size: int, flags: int = 0, /) -> bytes:
    """As in `_socket.socket`; a greenlet lets the loop run until there is data."""
    if getcurrent().parent is None:
        return _recv(self, size, flags)
    if flags & ALL and get_timeout(self) is None:
        buffer = bytearray(size)
        return bytes(buffer[: _recv_whole(self, buffer, flags)])
    return tried(self, READ, _recv_now, _recv, size, flags)


def _recv_now(sock: socket.socket, size: int, flags: int) -> bytes | None:
    if nonblocking is None:
        return at_once(sock, _recv, size, flags)
    received: bytes | None = nonblocking.recv(get_descriptor(sock), size, flags)
    return received


def recv_into(self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    """As in `_socket.socket`; a greenlet lets the loop run until there is data."""
    if getcurrent().parent is None:
        return _recv_into(self, buffer, nbytes, flags)
    if flags & ALL and get_timeout(self) is None:
        return _recv_whole(self, buffer, flags, nbytes)
    return tried(self, READ, _recv_into_now, _recv_into, buffer, nbytes, flags)


def _recv_into_now(sock: socket.socket, buffer: Any, nbytes: int, flags: int) -> int | None:
    if nonblocking is None:
        return at_once(sock, _recv_into, buffer, nbytes, flags)
    received: int | None = nonblocking.recv_into(get_descriptor(sock), buffer, nbytes, flags)
    return received


def _recv_whole(sock: socket.socket, buffer: Any, flags: int, nbytes: int = 0) -> int:
    """Receive until `buffer` is full, with MSG_WAITALL: a try returns what is there."""
    received = 0
    with memoryview(buffer) as view, view.cast("B") as left:
        if not 0 <= nbytes <= len(left):
            return _recv_into(sock, buffer, nbytes, flags)  # it says what is wrong
        while True:
            part = left[received : nbytes or None]
            arrived = tried(sock, READ, _recv_into_now, _recv_into, part, 0, flags)
            received += arrived
            if not arrived or arrived == len(part) or not _goes_on(sock, flags):
                return received


def _goes_on(sock: socket.socket, flags: int) -> bool:
    """Whether the next call returns what comes next, and not another message, or the same."""
    return kind_of(sock) == socket.SOCK_STREAM and not flags & socket.MSG_PEEK


def send(self: socket.socket, data: Any, flags: int = 0, /) -> int:
    """As in `_socket.socket`; a greenlet lets the loop run until there is room for some of it."""
    if getcurrent().parent is None:
        return _send(self, data, flags)
    return tried(self, WRITE, _send_now, _send, data, flags)


def _send_now(sock: socket.socket, data: Any, flags: int) -> int | None:
    if nonblocking is None:
        return at_once(sock, _send, data, flags)
    sent: int | None = nonblocking.send(get_descriptor(sock), data, flags)
    return sent


def _sent_now(sock: socket.socket, data: Any, flags: int) -> int:
    """Send what there is room for, maybe nothing."""
    try:
        return _send_now(sock, data, flags) or 0
    except BlockingIOError:
        return 0


def sendall(self: socket.socket, data: Any, flags: int = 0, /) -> None:
    """As in `_socket.socket`; a greenlet lets the loop run until there is room for all of it."""
    if getcurrent().parent is None or get_timeout(self) == 0:
        return _sendall(self, data, flags)
    sent = _sent_now(self, data, flags)
    if type(data) is bytes and sent == len(data):
        return None
    with memoryview(data) as view, view.cast("B") as left:
        if sent != len(left):
            _send_rest(self, left[sent:], flags)
    return None


def _send_rest(sock: socket.socket, data: memoryview, flags: int) -> None:
    """Wait for room, until all is sent."""
    worker = current_worker()
    if worker is None:
        return _sendall(sock, data, flags)
    timeout = get_timeout(sock)
    refuse_to_wait(sock, timeout)
    deadline = deadline_of(timeout)
    sent = 0
    while True:
        wait_for(worker, sock, WRITE, deadline)
        sent += _sent_now(sock, data[sent:], flags)
        if sent >= len(data):
            return None
