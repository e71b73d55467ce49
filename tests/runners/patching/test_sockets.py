"""`socket.socket` as a whole, changed in place."""

from __future__ import annotations

import _socket
import inspect
import socket
from typing import Any

from bridge.runners.patching import sockets


class Early(socket.socket):
    """A class that was derived before the patch."""


def test_in_place() -> None:
    """G6: classes derived before the patch have it, too; a second patch changes nothing."""
    first: Any = Early.recv
    assert first is not _socket.socket.recv
    assert sockets.patch() == []
    assert Early.recv is first is socket.socket.recv


def test_they_look_the_same() -> None:
    """G6: the methods keep their names, what is written about them, and how they are called."""
    for name in ("recv", "recv_into", "send", "sendall", "recvfrom", "sendto", "connect"):
        method, original = getattr(socket.socket, name), getattr(_socket.socket, name)
        assert inspect.isfunction(method)
        assert (method.__name__, method.__doc__) == (name, original.__doc__)
