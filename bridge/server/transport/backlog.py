"""Measure how fast a client takes what waits for it (S2).

Once a second what the client has taken is compared with what it had taken before. Only bytes that
the kernel holds count against the client: if the kernel holds none, the client has taken all that
it could, and the server itself is late with the rest.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import Any

from bridge.server.config.config import Config

#: In Linux's ``struct tcp_info``, ``tcpi_bytes_acked``: what the client has acknowledged so far.
_ACKED = struct.Struct("=120xQ")


class Backlog:
    """The pace of one client; made when a check finds that bytes wait, dropped when none do."""

    __slots__ = ("_taken", "_took_at", "_window_since", "_window_taken")

    def __init__(self, now: float, taken: object) -> None:
        """`now`: seconds. `taken`: bytes taken so far, or what changes when some are taken."""
        self._taken = self._window_taken = taken
        self._took_at = self._window_since = now

    def look(self, now: float, taken: object, config: Config) -> str:
        """Return why the client is too slow, and which setting allows it; empty if it is not."""
        limit, pace = config.timeout_write, config.limit_write_pace
        if not limit:
            return ""
        if taken != self._taken:
            self._taken, self._took_at = taken, now
        elif now - self._took_at > limit:
            silent = now - self._took_at
            return f"it took nothing for {silent:.0f} s; raise --timeout-write to allow that"
        lasted = now - self._window_since
        if lasted > limit:
            if isinstance(taken, int) and isinstance(self._window_taken, int):
                took = taken - self._window_taken
                if took < pace * lasted:
                    return (
                        f"it took {took} bytes in {lasted:.0f} s; lower --limit-write-pace to "
                        "allow that"
                    )
            self._window_since, self._window_taken = now, taken
        return ""


def in_kernel(sock: Any) -> int | None:
    """Return how many bytes the kernel holds that the client of `sock` has not acknowledged.

    They can be megabytes. None if the system does not tell.
    """
    try:
        told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return None
    return int.from_bytes(told, sys.byteorder)


def acknowledged(sock: Any) -> int | None:
    """Return how many bytes the client of `sock` has acknowledged since it connected.

    None if the system does not tell: on Unix sockets, and on systems other than Linux.
    """
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return None
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size)
        return int(_ACKED.unpack(told)[0])
    except (OSError, ValueError, struct.error):
        return None
