"""The counts of the last so many seconds, and those since the share was set. Pure.

The window slides by slices of a fixed length. What is older than the last change of the share is
never in it: if both sides failed more often for a while (their database was away), and one of them
had more of its requests at that time, it would seem to be the worse one.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from bridge.cutover.canary.counts import Sides

#: A window slides by this part of its length.
_SLICES: Final = 60


class Window:
    """Counts of both sides over the last `seconds`, and `since_start`.

    Times are those of any clock that only goes forward, as the caller hands them in.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._slice = seconds / _SLICES
        #: When a slice began, and its counts.
        self._slices: deque[tuple[float, Sides]] = deque()
        self._sum = Sides.empty()
        self.since_start = Sides.empty()
        self.started = now

    def restart(self, now: float) -> None:
        """Forget everything: the share has changed."""
        self._slices.clear()
        self._sum = Sides.empty()
        self.since_start = Sides.empty()
        self.started = now

    def add(self, more: Sides, now: float) -> None:
        """Count what has been answered just now."""
        if not self._slices or now - self._slices[-1][0] >= self._slice:
            self._slices.append((now, Sides.empty()))
        for counts in (self._slices[-1][1], self._sum, self.since_start):
            counts.add(more)

    def latest(self, now: float) -> Sides:
        """Return the counts of the window, and of the slice that is just leaving it.

        They change with the next call.
        """
        longest = self._seconds + self._slice
        while self._slices and now - self._slices[0][0] >= longest:
            self._sum.add(self._slices.popleft()[1], -1)
        return self._sum
