"""How a socket is connected, accepts, and is closed, in greenlets (G6)."""

from __future__ import annotations

import _socket
import errno
import os
import socket
from typing import Any, Final

from greenlet import getcurrent

from bridge.runners.greenlets.descriptors import READ, WRITE, tell_closing
from bridge.runners.greenlets.waiting import sleep
from bridge.runners.greenlets.worker import Worker, current_worker
from bridge.runners.patching.names import resolved
from bridge.runners.patching.sockets.tries import (
    at_once,
    deadline_of,
    family_of,
    get_descriptor,
    get_timeout,
    is_ready,
    tried,
    wait_for,
)

_connect: Final = _socket.socket.connect
_connect_ex: Final = _socket.socket.connect_ex
_getpeername: Final = _socket.socket.getpeername
_bind: Final = _socket.socket.bind
_class: Final[Any] = socket.socket
_accept: Final = _class._accept
_real_close: Final = _class._real_close
_use_sendfile: Final = _class._sendfile_use_sendfile

#: Seconds between two looks at a Unix socket whose queue of connections is full: nothing tells.
_PAUSE: Final = 0.005


def connect(self: socket.socket, address: Any, /) -> None:
    """As in `_socket.socket`; a greenlet lets the loop run until there is a connection."""
    if getcurrent().parent is None or (worker := current_worker()) is None:
        return _connect(self, address)
    if get_timeout(self) == 0:
        return _connect(self, resolved(worker, family_of(self), address))
    failure = _connect_in_greenlet(worker, self, address)
    if failure:
        raise OSError(failure, os.strerror(failure))
    return None


def connect_ex(self: socket.socket, address: Any, /) -> int:
    """As in `_socket.socket`; a greenlet lets the loop run until there is a connection."""
    if getcurrent().parent is None or (worker := current_worker()) is None:
        return _connect_ex(self, address)
    if get_timeout(self) == 0:
        return _connect_ex(self, resolved(worker, family_of(self), address))
    try:
        return _connect_in_greenlet(worker, self, address)
    except TimeoutError:
        return errno.EAGAIN


def _connect_in_greenlet(worker: Worker, sock: socket.socket, address: Any) -> int:
    """Return 0, or the number of the error. Raises TimeoutError if that is the socket's own."""
    address = resolved(worker, family_of(sock), address)
    timeout = get_timeout(sock)
    deadline = deadline_of(timeout)
    failure = at_once(sock, _connect_ex, address)
    while failure == errno.EAGAIN and timeout is None and family_of(sock) == socket.AF_UNIX:
        sleep(worker, _PAUSE)
        failure = at_once(sock, _connect_ex, address)
    if failure != errno.EINPROGRESS:
        return failure
    if not _is_connected(sock):
        wait_for(worker, sock, WRITE, deadline)
        while not is_ready(sock, WRITE):
            wait_for(worker, sock, WRITE, deadline)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _is_connected(sock: socket.socket) -> bool:
    """Whether there is a connection already, as there mostly is to this machine itself."""
    try:
        _getpeername(sock)
    except OSError:
        return False
    return True


def bind(self: socket.socket, address: Any, /) -> None:
    """As in `_socket.socket`; a greenlet waits for the name without blocking."""
    if getcurrent().parent is not None:
        address = resolved(current_worker(), family_of(self), address)
    return _bind(self, address)


def accept(self: socket.socket) -> Any:
    """As `_socket.socket._accept`; a greenlet lets the loop run until there is a connection."""
    if getcurrent().parent is None:
        return _accept(self)
    return tried(self, READ, _accept_now, _accept)


def _accept_now(sock: socket.socket) -> Any:
    return at_once(sock, _accept)


def real_close(self: socket.socket) -> None:
    """As in `socket.socket`; greenlets that wait for the socket get an error, in any thread."""
    descriptor = get_descriptor(self)
    if descriptor >= 0:
        tell_closing(descriptor)
    _real_close(self)


def use_sendfile(self: Any, *arguments: Any) -> Any:
    """As in `socket.socket`; a greenlet reads the file and sends it, as without `os.sendfile`."""
    if getcurrent().parent is None or current_worker() is None:
        return _use_sendfile(self, *arguments)
    return self._sendfile_use_send(*arguments)
