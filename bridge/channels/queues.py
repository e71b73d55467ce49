"""The messages that wait in the channels of one process (rule L6). Not for two threads at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridge.types import Message


class Waiting(NamedTuple):
    """A message in a queue. Times are those of the monotonic clock."""

    sent: float
    channel: str
    message: Message
    #: Whether others wait with the same message, so that each reader gets a copy.
    shared: bool


class Queues:
    """A queue for each name, first in first out; what has waited for `expiry` seconds is dropped.

    A queue without messages takes no memory.
    """

    def __init__(self, expiry: float) -> None:
        self._expiry = expiry
        self._queues: dict[str, deque[Waiting]] = {}
        #: The channels whose messages were dropped since `take_unread`.
        self._unread: set[str] = set()
        self._next_sweep = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._queues

    def put(self, name: str, waiting: Waiting, capacity: int) -> bool:
        """Add a message to the queue `name`; False if that is full."""
        now = waiting.sent
        if now >= self._next_sweep:
            self.drop_expired(now)
        queue = self._queues.get(name)
        if queue is None:
            self._queues[name] = deque((waiting,))
            return True
        if len(queue) >= capacity:
            self._drop_expired_of(queue, now)
            if len(queue) >= capacity:
                return False
        queue.append(waiting)
        return True

    def take(self, names: Sequence[str], now: float) -> Waiting | None:
        """Take the message that has waited longest out of these queues, so that none starves."""
        oldest: deque[Waiting] | None = None
        name_of_oldest = ""
        for name in names:
            queue = self._queues.get(name)
            if queue is None:
                continue
            if queue[0].sent + self._expiry <= now:
                self._drop_expired_of(queue, now)
                if not queue:
                    del self._queues[name]
                    continue
            if oldest is None or queue[0].sent < oldest[0].sent:
                oldest, name_of_oldest = queue, name
        if oldest is None:
            return None
        taken = oldest.popleft()
        if not oldest:
            del self._queues[name_of_oldest]
        return taken

    def drop_expired(self, now: float) -> None:
        """Drop, in all queues, what nobody has read in time. `put` does it now and then."""
        self._next_sweep = now + max(self._expiry, 1.0)
        for name, queue in [*self._queues.items()]:
            if queue[0].sent + self._expiry <= now:
                self._drop_expired_of(queue, now)
                if not queue:
                    del self._queues[name]

    def _drop_expired_of(self, queue: deque[Waiting], now: float) -> None:
        while queue and queue[0].sent + self._expiry <= now:
            self._unread.add(queue.popleft().channel)

    def take_unread(self) -> set[str]:
        """Return the channels that had messages dropped since the last call."""
        unread = self._unread
        if unread:
            self._unread = set()
        return unread

    def pending(self, names: Iterable[str] | None = None) -> tuple[int, float | None]:
        """Return how many messages wait in these queues (all of them), and when the first came."""
        found = self._queues if names is None else self._queues.keys() & set(names)
        queues = [self._queues[name] for name in found]
        oldest = min((queue[0].sent for queue in queues), default=None)
        return sum(map(len, queues)), oldest

    def clear(self) -> None:
        """Forget all messages."""
        self._queues.clear()
