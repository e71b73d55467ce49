"""The server's clock: read once a second, and by nobody's fault but the loop's."""

from __future__ import annotations

import asyncio

#: Seconds between two looks at the time limits.
TICK = 1.0


class Clock:
    """The time by which clients are judged, in seconds: it stands still while the loop is late.

    A loop that was kept busy for a minute has not listened for a minute: no client pays for that.
    """

    __slots__ = ("_due", "_late", "_loop", "lag")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: When the next tick is due by the loop's own clock, and how late ticks were in all.
        self._due = loop.time()
        self._late = 0.0
        #: How late the last tick was, in seconds.
        self.lag = 0.0

    def time(self) -> float:
        """The time now."""
        return min(self._loop.time(), self._due) - self._late

    def tick(self) -> float:
        """Note how late the loop is; to be called every `TICK` seconds. Returns the time."""
        now = self._loop.time()
        self.lag = max(0.0, now - self._due)
        self._late += self.lag
        self._due = now + TICK
        return now - self._late
