"""What is counted of a channel layer, and what its log says of messages that were dropped (L6)."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from bridge.caches import BoundedDict
from bridge.channels.names import kind_of
from bridge.errors import pluralize
from bridge.log import logger

#: The most queues with counters of their own; when there are more, these begin anew.
MAX_QUEUES: Final = 4096
#: Seconds between two lines of one kind in the log.
PAUSE: Final = 5.0
#: The most names in a line.
_MOST_NAMES: Final = 5


class Counter:
    """Counts, in all and in the last second. One thread at a time may use it."""

    __slots__ = ("_before", "_now", "_second", "total")

    def __init__(self) -> None:
        self.total = 0
        self._second = 0
        self._now = 0
        self._before = 0

    def count(self, second: int) -> None:
        """Count one, in that `second` of the monotonic clock."""
        if second != self._second:
            self._turn(second)
        self.total += 1
        self._now += 1

    def in_last_second(self, second: int) -> int:
        """Return how many were counted in the whole second before `second`."""
        if second != self._second:
            self._turn(second)
        return self._before

    def _turn(self, second: int) -> None:
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
        second = int(time.monotonic())
        return {
            "messages_count": self.messages.total,
            "messages_count_per_second": self.messages.in_last_second(second),
            "channel_full_count": self.full.total,
            "channel_full_count_per_second": self.full.in_last_second(second),
        }


class LayerCounters:
    """The counters of a layer: of all its channels together, and of each queue.

    Single-reader channels come and go, so those of one beginning (``http.request.body?``) share
    their counters. One thread at a time may use it.
    """

    def __init__(self) -> None:
        self.all = ChannelCounters()
        self._by_kind: BoundedDict[str, ChannelCounters] = BoundedDict(MAX_QUEUES)

    def count_message(self, queue: str) -> None:
        """Count a message that was sent to `queue`."""
        second = int(time.monotonic())
        self.all.messages.count(second)
        self.of(queue).messages.count(second)

    def count_full(self, queue: str) -> None:
        """Count a message that `queue` was too full for."""
        second = int(time.monotonic())
        self.all.full.count(second)
        self.of(queue).full.count(second)

    def of(self, queue: str) -> ChannelCounters:
        """Return the counters of `queue`."""
        kind = kind_of(queue)
        found = self._by_kind.get(kind)
        if found is None:
            found = ChannelCounters()
            self._by_kind.store(kind, found)
        return found


class DropLog:
    """Says in the log which messages were dropped: at most one line of a kind in `pause` seconds.

    What happens between two lines is counted, and told by the next.
    """

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        #: Kind -> when its next line may come, by the monotonic clock.
        self._due: dict[str, float] = {}
        #: Kind -> how many were dropped since the last line.
        self._untold: dict[str, int] = {}

    def full(self, group: str, channels: Collection[str]) -> None:
        """Say that a message to `group` did not reach these channels, because they are full."""
        self._tell(
            "full",
            len(channels),
            f"a message to the group {group} did not reach {pluralize(len(channels), 'channel')} "
            f"whose capacity is used up: {_some(channels)}",
        )

    def unread(self, channels: Collection[str], expiry: float) -> None:
        """Say that messages to these channels were dropped, because nothing has read them."""
        self._tell(
            "unread",
            len(channels),
            f"messages to {pluralize(len(channels), 'channel')} were dropped, because nothing "
            f"read them within {expiry:g} s: {_some(channels)}",
        )

    def refused(self, channel: str, error: Exception) -> None:
        """Say that a message was dropped, because its reader in this process had no room for it."""
        self._tell("refused", 1, f"a message to {channel} was dropped: {error}")

    def _tell(self, kind: str, dropped: int, text: str) -> None:
        now = time.monotonic()
        if now < self._due.get(kind, 0):
            self._untold[kind] = self._untold.get(kind, 0) + dropped
            return
        self._due[kind] = now + self._pause  # first: a handler may send to the layer
        untold = self._untold.pop(kind, 0)
        more = f"; {untold} more were dropped since the last such line" if untold else ""
        logger.warning("%s%s", text, more)


def _some(names: Collection[str]) -> str:
    """Return the first of `names` for people."""
    shown = ", ".join(sorted(names)[:_MOST_NAMES])
    return f"{shown}, ..." if len(names) > _MOST_NAMES else shown
