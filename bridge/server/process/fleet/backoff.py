"""How long to wait before a worker is started again whose predecessors have failed (P1)."""

from __future__ import annotations

from typing import Final

#: Seconds before the first retry, and the most.
FIRST: Final = 0.5
MOST: Final = 30.0


class Backoff:
    """Doubles the pause with each failure: 0.5 s, 1 s, 2 s ... 30 s. Times are the caller's."""

    def __init__(self) -> None:
        self._pause = 0.0
        #: Nothing is started before this time.
        self.until = 0.0

    def is_over(self, now: float) -> bool:
        """Return whether a worker may be started."""
        return now >= self.until

    def note_failure(self, now: float) -> float:
        """Note a failure; return the seconds to wait. Several within one pause count as one."""
        if now >= self.until:
            self._pause = min(2 * self._pause, MOST) if self._pause else FIRST
            self.until = now + self._pause
        return self.until - now

    def reset(self) -> None:
        """Forget all failures: a worker has served for long enough, or somebody orders a try."""
        self._pause = self.until = 0.0
