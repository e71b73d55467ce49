"""Datagrams and messages in greenlets: `recvfrom`, `sendto`, `recvmsg` and the like (G6)."""

from __future__ import annotations

import _socket
import socket
from typing import Any, Final

from greenlet import getcurrent

from bridge.runners.greenlets.descriptors import READ, WRITE
from bridge.runners.greenlets.worker import current_worker
from bridge.runners.patching.names import resolved
from bridge.runners.patching.sockets.tries import NOW, at_once, family_of, get_timeout, tried

_recvfrom: Final = _socket.socket.recvfrom
_recvfrom_into: Final = _socket.socket.recvfrom_into
_recvmsg: Final = _socket.socket.recvmsg
_recvmsg_into: Final = _socket.socket.recvmsg_into
_sendto: Final = _socket.socket.sendto
_sendmsg: Final = _socket.socket.sendmsg


def recvfrom(self: socket.socket, size: int, flags: int = 0, /) -> Any:
    """As in `_socket.socket`; a greenlet lets the loop run until there is a message."""
    if getcurrent().parent is None:
        return _recvfrom(self, size, flags)
    return tried(self, READ, _recvfrom_now, _recvfrom, size, flags)


def _recvfrom_now(sock: socket.socket, size: int, flags: int) -> Any:
    if get_timeout(sock) is None:
        return _recvfrom(sock, size, flags | NOW)
    return at_once(sock, _recvfrom, size, flags)


def recvfrom_into(self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> Any:
    """As in `_socket.socket`; a greenlet lets the loop run until there is a message."""
    if getcurrent().parent is None:
        return _recvfrom_into(self, buffer, nbytes, flags)
    return tried(self, READ, _recvfrom_into_now, _recvfrom_into, buffer, nbytes, flags)


def _recvfrom_into_now(sock: socket.socket, buffer: Any, nbytes: int, flags: int) -> Any:
    if get_timeout(sock) is None:
        return _recvfrom_into(sock, buffer, nbytes, flags | NOW)
    return at_once(sock, _recvfrom_into, buffer, nbytes, flags)


def recvmsg(self: socket.socket, size: int, ancillary: int = 0, flags: int = 0, /) -> Any:
    """As in `_socket.socket`; a greenlet lets the loop run until there is a message."""
    if getcurrent().parent is None:
        return _recvmsg(self, size, ancillary, flags)
    return tried(self, READ, _recvmsg_now, _recvmsg, size, ancillary, flags)


def _recvmsg_now(sock: socket.socket, size: int, ancillary: int, flags: int) -> Any:
    if get_timeout(sock) is None:
        return _recvmsg(sock, size, ancillary, flags | NOW)
    return at_once(sock, _recvmsg, size, ancillary, flags)


def recvmsg_into(self: socket.socket, buffers: Any, ancillary: int = 0, flags: int = 0, /) -> Any:
    """As in `_socket.socket`; a greenlet lets the loop run until there is a message."""
    if getcurrent().parent is None:
        return _recvmsg_into(self, buffers, ancillary, flags)
    buffers = list(buffers)  # a try may not use up what can be iterated over once
    return tried(self, READ, _recvmsg_into_now, _recvmsg_into, buffers, ancillary, flags)


def _recvmsg_into_now(sock: socket.socket, buffers: Any, ancillary: int, flags: int) -> Any:
    if get_timeout(sock) is None:
        return _recvmsg_into(sock, buffers, ancillary, flags | NOW)
    return at_once(sock, _recvmsg_into, buffers, ancillary, flags)


def sendto(self: socket.socket, data: Any, *arguments: Any) -> int:
    """As in `_socket.socket`: data, flags if any, address; a greenlet waits for the name, too."""
    if getcurrent().parent is None or not 1 <= len(arguments) <= 2:
        return _sendto(self, data, *arguments)
    flags, address = (0, *arguments)[-2:]
    address = resolved(current_worker(), family_of(self), address)
    return tried(self, WRITE, _sendto_now, _sendto, data, flags, address)


def _sendto_now(sock: socket.socket, data: Any, flags: int, address: Any) -> int:
    if get_timeout(sock) is None:
        return _sendto(sock, data, flags | NOW, address)
    return at_once(sock, _sendto, data, flags, address)


def sendmsg(
    self: socket.socket,
    buffers: Any,
    ancillary: Any = (),
    flags: int = 0,
    address: Any = None,
    /,
) -> int:
    """As in `_socket.socket`; a greenlet waits for room and for the name without blocking."""
    if getcurrent().parent is None:
        return _sendmsg(self, buffers, ancillary, flags, address)
    if address is not None:
        address = resolved(current_worker(), family_of(self), address)
    buffers, ancillary = list(buffers), list(ancillary)
    return tried(self, WRITE, _sendmsg_now, _sendmsg, buffers, ancillary, flags, address)


def _sendmsg_now(
    sock: socket.socket, buffers: Any, ancillary: Any, flags: int, address: Any
) -> int:
    if get_timeout(sock) is None:
        return _sendmsg(sock, buffers, ancillary, flags | NOW, address)
    return at_once(sock, _sendmsg, buffers, ancillary, flags, address)
