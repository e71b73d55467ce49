"""Pings, and the client that answers none (RFC 6455 §5.5.2)."""

from __future__ import annotations

from typing import Final

# What is to be done now.
NOTHING: Final = 0
PING: Final = 1
GIVE_UP: Final = 2

#: The reason in the close frame, 1011, for a client that is given up.
TIMED_OUT: Final = "keepalive ping timeout"


class KeepAlive:
    """When to ping the client of one WebSocket, and when to give it up.

    `interval` is the seconds between pings, `timeout` how long the client may stay silent after
    one; 0: no pings, or any time. `now` is in seconds of any clock, here and in `check`.
    """

    __slots__ = ("_interval", "_pinged_at", "_timeout", "received")

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._pinged_at = now
        #: Something came since the last ping. Whatever comes is a sign of life: a pong cannot come
        #: in the middle of a long frame. Set by the connection.
        self.received = True

    def check(self, now: float, *, excused: bool) -> int:
        """`NOTHING`, `PING` or `GIVE_UP`.

        A client is `excused` if we do not read what it sends, or if our ping may not have left: it
        may well be there.
        """
        silent = now - self._pinged_at
        if not (self.received or excused):
            return GIVE_UP if self._timeout and silent >= self._timeout else NOTHING
        if self._interval and silent >= self._interval:
            self._pinged_at = now
            self.received = excused
            return PING
        return NOTHING
