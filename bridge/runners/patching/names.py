"""Names of hosts that are looked up while the loop runs on (G6).

The system has no look-up that does not block: it is made in a thread, for which the greenlet waits.
What needs no look-up, since it is a number already, is done at once.
"""

from __future__ import annotations

import _socket
import socket
from functools import update_wrapper
from typing import Any, Final

from bridge.runners.greenlets.in_thread import run_in_thread
from bridge.runners.greenlets.worker import Worker, current_worker

_getaddrinfo: Final = _socket.getaddrinfo
_gethostbyname: Final = _socket.gethostbyname
_gethostbyname_ex: Final = _socket.gethostbyname_ex
_gethostbyaddr: Final = _socket.gethostbyaddr
_getnameinfo: Final = _socket.getnameinfo

#: Hosts that `_socket` understands itself.
_NO_NAMES: Final = (None, "", b"", "<broadcast>")


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    """As in `_socket`; a greenlet lets the loop run during a look-up."""
    worker = current_worker()
    if worker is None or host is None:
        return _getaddrinfo(host, port, family, type, proto, flags)
    try:
        return _getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # most often a name
    return run_in_thread(worker, _getaddrinfo, host, port, family, type, proto, flags)


def gethostbyname(host: Any, /) -> Any:
    """As in `_socket`; a greenlet lets the loop run during a look-up."""
    worker = current_worker()
    if worker is None or host in _NO_NAMES or _is_number(host, socket.AF_INET):
        return _gethostbyname(host)
    return run_in_thread(worker, _gethostbyname, host)


def gethostbyname_ex(host: Any, /) -> Any:
    """As in `_socket`; a greenlet lets the loop run during a look-up."""
    worker = current_worker()
    if worker is None:
        return _gethostbyname_ex(host)
    return run_in_thread(worker, _gethostbyname_ex, host)


def gethostbyaddr(host: Any, /) -> Any:
    """As in `_socket`; a greenlet lets the loop run during a look-up."""
    worker = current_worker()
    if worker is None:
        return _gethostbyaddr(host)
    return run_in_thread(worker, _gethostbyaddr, host)


def getnameinfo(address: Any, flags: int, /) -> Any:
    """As in `_socket`; a greenlet lets the loop run during a look-up."""
    worker = current_worker()
    if worker is None or flags & socket.NI_NUMERICHOST:
        return _getnameinfo(address, flags)
    return run_in_thread(worker, _getnameinfo, address, flags)


def _is_number(host: Any, family: int) -> bool:
    try:
        _getaddrinfo(host, None, family, 0, 0, socket.AI_NUMERICHOST)
    except (socket.gaierror, TypeError, ValueError):
        return False
    return True


def resolved(worker: Worker | None, family: int, address: Any) -> Any:
    """Return `address`, for a method of a socket, with the number of its host instead of a name.

    Whatever is not right with it, the method says.
    """
    if worker is None or family not in (socket.AF_INET, socket.AF_INET6):
        return address
    if not isinstance(address, tuple) or not address:
        return address
    host = address[0]
    if not isinstance(host, (str, bytes, bytearray)) or host in _NO_NAMES:
        return address
    try:
        if isinstance(host, str) and _socket.inet_pton(family, host):
            return address
    except OSError:
        pass  # most often a name
    found = run_in_thread(worker, _getaddrinfo, host, None, family)
    return (found[0][4][0], *address[1:])


_FUNCTIONS: Final[dict[Any, Any]] = {
    _getaddrinfo: getaddrinfo,
    _gethostbyname: gethostbyname,
    _gethostbyname_ex: gethostbyname_ex,
    _gethostbyaddr: gethostbyaddr,
    _getnameinfo: getnameinfo,
}


def patch() -> list[tuple[object, object]]:
    """Return the functions of `_socket` and `socket` to replace.

    `socket.getaddrinfo` calls that of `_socket`, and stays.
    """
    for original, replacement in _FUNCTIONS.items():
        update_wrapper(replacement, original)
        setattr(_socket, original.__name__, replacement)
    return [*_FUNCTIONS.items()]
