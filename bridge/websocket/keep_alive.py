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

    __slots__ = ("_interval", "_pinged_at", "_received_since_ping", "_timeout")

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._pinged_at = now
        #: Or it was excused then.
        self._received_since_ping = True

    def check(self, now: float, *, received: bool, excused: bool) -> int:
        """Say what is to be done: `NOTHING`, `PING` or `GIVE_UP`.

        `received`: something came since the last check. Whatever comes is a sign of life: a pong
        cannot come in the middle of a long frame. A client is `excused` if we do not read what it
        sends, or if our ping may not have left: it may well be there.
        """
        if received:
            self._received_since_ping = True
        silent = now - self._pinged_at
        if not (self._received_since_ping or excused):
            return GIVE_UP if self._timeout and silent >= self._timeout else NOTHING
        if self._interval and silent >= self._interval:
            self._pinged_at = now
            self._received_since_ping = excused
            return PING
        return NOTHING
