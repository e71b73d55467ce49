"""TLS whose calls let the loop run while a greenlet waits (G6).

The methods of `ssl.SSLSocket` are changed in place. In a greenlet each is called with a timeout of
0 on the socket, and OpenSSL says what it waits for, which may be the other direction: to read may
need a write. That is waited for, and the method is called again. What needs the handshake
(`wrap_socket`, `connect`) calls these methods, too.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Final, TypeVar

from greenlet import getcurrent

from bridge.runners.greenlets.descriptors import READ, WRITE
from bridge.runners.greenlets.worker import current_worker
from bridge.runners.patching.sockets.tries import (
    at_once,
    deadline_of,
    get_timeout,
    wait_for,
)

T = TypeVar("T")

_class: Final[Any] = ssl.SSLSocket
_read: Final = _class.read
_write: Final = _class.write
_send: Final = _class.send
_do_handshake: Final = _class.do_handshake
_unwrap: Final = _class.unwrap


def _tried(
    sock: Any, what: str, timeout: float | None, function: Callable[..., T], *arguments: Any
) -> T:
    """Return what ``function(sock, *arguments)`` does, and wait whenever OpenSSL has to."""
    worker = current_worker()
    if worker is None:
        return function(sock, *arguments)
    deadline = deadline_of(timeout)
    while True:
        try:
            return at_once(sock, function, *arguments)
        except ssl.SSLWantReadError:
            events = READ
        except ssl.SSLWantWriteError:
            events = WRITE
        try:
            wait_for(worker, sock, events, deadline)
        except TimeoutError:
            raise TimeoutError(f"The {what} operation timed out") from None


def _waits(sock: Any) -> bool:
    """Whether a call may have to wait in a greenlet."""
    return getcurrent().parent is not None and sock._sslobj is not None and get_timeout(sock) != 0


def read(self: Any, len: int = 1024, buffer: Any = None) -> Any:
    """As in `ssl.SSLSocket`; a greenlet lets the loop run until there is data."""
    if not _waits(self):
        return _read(self, len, buffer)
    return _tried(self, "read", get_timeout(self), _read, len, buffer)


def write(self: Any, data: Any) -> int:
    """As in `ssl.SSLSocket`; a greenlet lets the loop run until there is room."""
    if not _waits(self):
        return _write(self, data)  # type: ignore[no-any-return]
    return _tried(self, "write", get_timeout(self), _write, data)  # type: ignore[no-any-return]


def send(self: Any, data: Any, flags: int = 0) -> int:
    """As in `ssl.SSLSocket`; a greenlet lets the loop run until there is room."""
    if not _waits(self):
        return _send(self, data, flags)  # type: ignore[no-any-return]
    return _tried(self, "write", get_timeout(self), _send, data, flags)  # type: ignore[no-any-return]


def do_handshake(self: Any, block: bool = False) -> None:
    """As in `ssl.SSLSocket`; a greenlet lets the loop run while the other side answers."""
    if getcurrent().parent is None or self._sslobj is None:
        return _do_handshake(self, block)  # type: ignore[no-any-return]
    timeout = get_timeout(self)
    if timeout == 0:
        if not block:
            return _do_handshake(self)  # type: ignore[no-any-return]
        timeout = None
    _tried(self, "handshake", timeout, _do_handshake)
    return None


def unwrap(self: Any) -> Any:
    """As in `ssl.SSLSocket`; a greenlet lets the loop run until the other side ends TLS, too."""
    if not _waits(self):
        return _unwrap(self)
    return _tried(self, "read", get_timeout(self), _unwrap)


_METHODS: Final[dict[str, Any]] = {
    "read": read,
    "write": write,
    "send": send,
    "do_handshake": do_handshake,
    "unwrap": unwrap,
}


def patch() -> list[tuple[object, object]]:
    """Change the methods of `ssl.SSLSocket`; there is nothing to replace elsewhere."""
    for name, method in _METHODS.items():
        original = getattr(ssl.SSLSocket, name)
        if original is not method:
            setattr(ssl.SSLSocket, name, update_wrapper(method, original))
    return []
