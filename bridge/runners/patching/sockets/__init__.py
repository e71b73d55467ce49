"""Sockets whose calls let the loop run while a greenlet waits (G6).

The methods of `socket.socket` are changed in place: what has imported the class before, and the
classes that are derived from it, have them, too.
"""

from __future__ import annotations

import socket
from functools import update_wrapper
from typing import Any, Final

from bridge.runners.patching.sockets import connections, messages, streams

_METHODS: Final[dict[str, Any]] = {
    "connect": connections.connect,
    "connect_ex": connections.connect_ex,
    "bind": connections.bind,
    "_accept": connections.accept,
    "_real_close": connections.real_close,
    "_sendfile_use_sendfile": connections.use_sendfile,
    "recv": streams.recv,
    "recv_into": streams.recv_into,
    "send": streams.send,
    "sendall": streams.sendall,
    "recvfrom": messages.recvfrom,
    "recvfrom_into": messages.recvfrom_into,
    "recvmsg": messages.recvmsg,
    "recvmsg_into": messages.recvmsg_into,
    "sendto": messages.sendto,
    "sendmsg": messages.sendmsg,
}


def patch() -> list[tuple[object, object]]:
    """Change the methods of `socket.socket`; there is nothing to replace elsewhere."""
    for name, method in _METHODS.items():
        original = getattr(socket.socket, name)
        if original is not method:
            setattr(socket.socket, name, update_wrapper(method, original))
    return []
