"""Histograms, as they are counted and as they stand in a snapshot (O2). Pure, but for the clock.

A `Meter` is what is called on the hot path: with C, one call that reads the clock and counts. The
same in Python is `PythonMeter`, and what it returns is what C returns. Both are called by the loop
and by threads at once, and lose nothing.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter
from typing import Final, Protocol

from bridge import accelerator

#: Upper bounds of the buckets, in seconds: of requests, and of all that is shorter as a rule.
DURATIONS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)

#: The time in seconds, as `time.perf_counter` gives it.
read_clock: Final[Callable[[], float]] = accelerator.read_clock or perf_counter

#: Place of a request that had no whole response in a list by class; that of 2xx is 2.
ABORTED: Final = 0
CLASSES: Final = 6
#: Durations that a `PythonMeter` keeps before it sorts them into buckets.
_MOST_WAITING: Final = 4096


class Meter(Protocol):
    """Counts durations from a time of `time.perf_counter` until now, in seconds."""

    def record(self, started: float, status: int, /) -> None:
        """Count a request that is over: it came at `started`; `status` is 0 if it was aborted."""

    def since(self, started: float, /) -> None:
        """Count what began at `started`, and is over now."""

    def read(self) -> tuple[list[int], float, list[int]]:
        """Return the counts by bucket, the sum in seconds, and the counts by class of status."""


class Histogram:
    """Counts values by bucket; for one thread."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count `value`; one that equals a bound is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class PythonMeter:
    """A `Meter` without C: it keeps what comes, and sorts that in later, many at a time."""

    __slots__ = ("_classes", "_histogram", "_lock", "_waiting")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._histogram = Histogram(bounds)
        self._classes = [0] * CLASSES
        #: Duration and place by class, or None; appended by any thread.
        self._waiting: list[tuple[float, int | None]] = []
        self._lock = threading.Lock()

    def record(self, started: float, status: int, /) -> None:
        """Count a request that is over (`Meter`)."""
        place = min(max(status // 100, 0), CLASSES - 1)
        self._keep(perf_counter() - started, place)

    def since(self, started: float, /) -> None:
        """Count what began at `started` (`Meter`)."""
        self._keep(perf_counter() - started, None)

    def read(self) -> tuple[list[int], float, list[int]]:
        """Return what was counted (`Meter`)."""
        with self._lock:
            self._sort_in()
            return self._histogram.counts[:], self._histogram.sum, self._classes[:]

    def _keep(self, seconds: float, place: int | None) -> None:
        self._waiting.append((seconds, place))
        if len(self._waiting) >= _MOST_WAITING:
            with self._lock:
                self._sort_in()

    def _sort_in(self) -> None:
        """Sort in what waits; the lock is held. Others append meanwhile, behind what is taken."""
        taken = self._waiting[:]
        del self._waiting[: len(taken)]
        for seconds, place in taken:
            self._histogram.add(max(seconds, 0.0))
            if place is not None:
                self._classes[place] += 1


def new_meter(bounds: tuple[float, ...] = DURATIONS) -> Meter:
    """Make a meter: one in C, if that is compiled."""
    return (accelerator.Meter or PythonMeter)(bounds)
