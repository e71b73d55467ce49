"""A channel layer within one process (rule L6)."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from bridge.channels.base import ChannelLayer, Deliver, Received, names_to_read
from bridge.channels.messages import copy_message
from bridge.channels.names import check_channel, check_group, check_pattern, queue_of
from bridge.channels.statistics import LayerCounters
from bridge.errors import ChannelFull
from bridge.log import logger
from bridge.loops.waiters import waiter
from bridge.types import Message

#: Called, with the lock held, when a queue that is waited for has a message.
Wake = Callable[[], None]


class _Waiting(NamedTuple):
    """A message in a queue."""

    expires: float  #: by the monotonic clock
    sent: float
    channel: str
    message: Message


class MemoryLayer(ChannelLayer):
    """A channel layer whose messages stay in this process; see `ChannelLayer` for its settings."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._lock = threading.Lock()
        self._queues: dict[str, deque[_Waiting]] = {}
        #: group -> channel -> when its membership ends.
        self._groups: dict[str, dict[str, float]] = {}
        self._attached: dict[str, Deliver] = {}
        #: queue -> who waits for a message in it.
        self._wakes: dict[str, list[Wake]] = {}
        self._counters = LayerCounters()

    # --------------------------------------------------------- messages

    def send(self, channel: str, message: Message) -> None:
        """Send `message` to `channel` (see `ChannelLayer.send`)."""
        deliver = self._attached.get(channel)
        if deliver is None:
            check_channel(channel)
            self._put(channel, copy_message(message, self.max_message_size))
        else:
            self._deliver(deliver, message)

    def _deliver(self, deliver: Deliver, message: Message) -> None:
        """Pass `message` to a client of this process."""
        try:
            deliver(message)
        except ChannelFull:
            with self._lock:
                self._counters.count_full(self.reply_queue)
            raise
        with self._lock:
            self._counters.count_message(self.reply_queue)

    def _put(self, channel: str, message: Message) -> None:
        """Queue a `message` that is ours alone."""
        queue_name, now = queue_of(channel), time.monotonic()
        if queue_name == self.reply_queue:
            return  # its client has gone
        with self._lock:
            queue = self._queues.get(queue_name)
            if queue is None:
                queue = self._queues[queue_name] = deque()
            elif queue[0].expires <= now:
                self._drop_expired(queue_name, queue, now)
                self._queues[queue_name] = queue
            if len(queue) >= self.capacity_of(channel):
                self._counters.count_full(queue_name)
                raise ChannelFull(
                    f"the channel {channel!r} is full: {len(queue)} messages wait in it, the most "
                    "that its capacity allows"
                )
            queue.append(_Waiting(now + self.expiry, now, channel, message))
            self._counters.count_message(queue_name)
            for wake in self._wakes.get(queue_name, ()):
                wake()

    def receive(self, channels: Sequence[str], block: bool = False) -> Received:
        """Return a message of one of `channels` (see `ChannelLayer.receive`)."""
        names = names_to_read(channels)
        if not block:
            with self._lock:
                return self._take(names)
        flag = waiter()
        deadline = time.monotonic() + self.block_timeout
        with self._watched(names, flag.wake):
            while True:
                with self._lock:
                    found = self._take(names)
                left = deadline - time.monotonic()
                if found[0] is not None or left <= 0:
                    return found
                flag.wait(left)

    async def receive_async(self, channels: Sequence[str]) -> Received:
        """Wait for a message of one of `channels` (see `ChannelLayer.receive_async`)."""
        names = names_to_read(channels)
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(news.set)
            except RuntimeError:
                pass  # the loop was closed while its task waited

        deadline = loop.time() + self.block_timeout
        with self._watched(names, wake):
            while True:
                news.clear()
                with self._lock:
                    found = self._take(names)
                if found[0] is not None:
                    return found
                try:
                    async with asyncio.timeout_at(deadline):
                        await news.wait()
                except TimeoutError:
                    return None, None

    def _take(self, names: list[str]) -> Received:
        """Take the message that has waited longest out of the queues, so that none starves."""
        now = time.monotonic()
        oldest: deque[_Waiting] | None = None
        name_of_oldest = ""
        for name in names:
            queue = self._queues.get(name)
            if queue is None:
                continue
            if queue[0].expires <= now:
                self._drop_expired(name, queue, now)
            if queue and (oldest is None or queue[0].sent < oldest[0].sent):
                oldest, name_of_oldest = queue, name
        if oldest is None:
            return None, None
        taken = oldest.popleft()
        if not oldest:
            del self._queues[name_of_oldest]
        return taken.channel, taken.message

    def _drop_expired(self, name: str, queue: deque[_Waiting], now: float) -> None:
        """Drop what nobody has read in time, and its channels' memberships: nobody reads them."""
        unread = set()
        while queue and queue[0].expires <= now:
            unread.add(queue.popleft().channel)
        if not queue:
            del self._queues[name]
        for group, members in list(self._groups.items()):
            for channel in unread & members.keys():
                del members[channel]
            if not members:
                del self._groups[group]
        logger.warning(
            "messages to %s were dropped: nothing read them within %s s",
            ", ".join(sorted(unread)[:5]),
            self.expiry,
        )

    @contextmanager
    def _watched(self, names: list[str], wake: Wake) -> Iterator[None]:
        """Have `wake` called when there is news of one of the queues `names`, meanwhile."""
        with self._lock:
            for name in names:
                self._wakes.setdefault(name, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                for name in names:
                    self._wakes[name].remove(wake)
                    if not self._wakes[name]:
                        del self._wakes[name]

    def new_channel(self, pattern: str) -> str:
        """Return the name of a channel that does not exist yet."""
        return check_pattern(pattern) + secrets.token_hex(8)

    # --------------------------------------------------------- groups

    def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`."""
        check_group(group)
        check_channel(channel)
        with self._lock:
            members = self._groups.setdefault(group, {})
            members[channel] = time.monotonic() + self.group_expiry

    def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        check_group(group)
        check_channel(channel)
        with self._lock:
            members = self._groups.get(group, {})
            members.pop(channel, None)
            if not members:
                self._groups.pop(group, None)

    def group_channels(self, group: str) -> Iterable[str]:
        """Return the channels that are in `group` now."""
        check_group(group)
        with self._lock:
            members, now = self._groups.get(group, {}), time.monotonic()
            for channel in [name for name, ends in members.items() if ends <= now]:
                del members[channel]
            if not members:
                self._groups.pop(group, None)
            return list(members)

    def send_group(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group` (see `ChannelLayer.send_group`)."""
        full = []
        copied = copy_message(message, self.max_message_size)
        for channel in self.group_channels(group):
            try:
                self.send(channel, copied)
            except ChannelFull:
                full.append(channel)
        if full:
            logger.warning(
                "a message to the group %s did not reach %d of its channels, which are full: %s",
                group,
                len(full),
                ", ".join(full[:5]),
            )

    # --------------------------------------------------------- the rest of the interface

    def flush(self) -> None:
        """Forget all messages and groups."""
        with self._lock:
            self._queues.clear()
            self._groups.clear()

    def global_statistics(self) -> dict[str, Any]:
        """Return the figures of all channels together."""
        with self._lock:
            return {**self._counters.all.report(), **_pending(self._queues.values())}

    def channel_statistics(self, channel: str) -> dict[str, Any]:
        """Return the figures of one channel; those of a process share theirs."""
        name = queue_of(channel)
        with self._lock:
            queue = self._queues.get(name)
            waiting = _pending([] if queue is None else [queue])
            return {**self._counters.of(name).report(), **waiting}

    # --------------------------------------------------------- clients of this process

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel` passed to `deliver`."""
        self._attached[channel] = deliver

    def detach(self, channel: str) -> None:
        """Drop the messages to `channel` from now on."""
        self._attached.pop(channel, None)


def _pending(queues: Iterable[deque[_Waiting]]) -> dict[str, float]:
    """Return how many messages wait, and for how many seconds the oldest of them has."""
    waiting = list(queues)
    oldest = min((queue[0].sent for queue in waiting), default=None)
    return {
        "messages_pending": sum(map(len, waiting)),
        "messages_max_age": 0.0 if oldest is None else time.monotonic() - oldest,
    }
