"""Counters of a channel layer (ASGI 1, the extension ``statistics``; rule L6)."""

from __future__ import annotations

import time
from typing import Final

from bridge.caches import BoundedDict

#: The most channels with counters of their own; when there are more, these begin anew.
MAX_CHANNELS: Final = 4096


class Counter:
    """Counts, in all and in the last second. One thread at a time may use it."""

    __slots__ = ("_before", "_now", "_second", "total")

    def __init__(self) -> None:
        self.total = 0
        self._second = 0
        self._now = 0
        self._before = 0

    def count(self) -> None:
        """Count one."""
        self._turn(int(time.monotonic()))
        self.total += 1
        self._now += 1

    def last_second(self) -> int:
        """Return how many were counted in the last whole second of the clock."""
        self._turn(int(time.monotonic()))
        return self._before

    def _turn(self, second: int) -> None:
        if second != self._second:
            self._before = self._now if second == self._second + 1 else 0
            self._now = 0
            self._second = second


class ChannelCounters:
    """The messages that were sent to a channel, and those that it was too full for."""

    __slots__ = ("full", "messages")

    def __init__(self) -> None:
        self.messages = Counter()
        self.full = Counter()

    def report(self) -> dict[str, int]:
        """Return the counts by the names of the specification."""
        return {
            "messages_count": self.messages.total,
            "messages_count_per_second": self.messages.last_second(),
            "channel_full_count": self.full.total,
            "channel_full_count_per_second": self.full.last_second(),
        }


class LayerCounters:
    """The counters of a layer: of all its channels together, and of each queue."""

    def __init__(self) -> None:
        self.all = ChannelCounters()
        self._by_queue: BoundedDict[str, ChannelCounters] = BoundedDict(MAX_CHANNELS)

    def count_message(self, queue: str) -> None:
        """Count a message that was sent to `queue`."""
        self.all.messages.count()
        self.of(queue).messages.count()

    def count_full(self, queue: str) -> None:
        """Count a message that `queue` was too full for."""
        self.all.full.count()
        self.of(queue).full.count()

    def of(self, queue: str) -> ChannelCounters:
        """Return the counters of `queue`."""
        found = self._by_queue.get(queue)
        if found is None:
            found = ChannelCounters()
            self._by_queue.store(queue, found)
        return found
