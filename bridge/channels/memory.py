"""A channel layer within one process (rule L6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

from bridge.channels.base import ChannelLayer, Deliver, Received
from bridge.channels.groups import Groups
from bridge.channels.messages import check_message, copy_again, copy_message
from bridge.channels.names import check_channel, check_group, check_queue, queue_of
from bridge.channels.queues import Queues, Waiting
from bridge.channels.statistics import DropLog, LayerCounters
from bridge.channels.waiting import Line, Reader, wait_in_thread, wait_on_loop
from bridge.errors import ChannelFull
from bridge.log import logger
from bridge.loops.by_process import ByProcess
from bridge.loops.waiters import unpatched
from bridge.types import Message

#: How many messages tasks read at most before the loop does something else: if they come as fast as
#: they are read, reading waits for nothing.
_READS_IN_TURN: Final = 64


class MemoryLayer(ChannelLayer):
    """A channel layer whose messages stay in this process; see `ChannelLayer` for its settings."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._contents = ByProcess(self._empty)

    def _empty(self) -> _Contents:
        reply_queue = self.local.get().reply_queue
        return _Contents(reply_queue, self.expiry, self.group_expiry)

    # --------------------------------------------------------- messages

    def send(self, channel: str, message: Message) -> None:
        """Send `message` to `channel` (see `ChannelLayer.send`)."""
        contents = self._contents.get()
        deliver = contents.attached.get(channel)
        if deliver is not None:
            contents.deliver(deliver, check_message(message))
        else:
            queue = queue_of(check_channel(channel))
            copied = copy_message(message, self.max_message_size)
            contents.put(queue, self.capacities.of(queue), channel, copied, shared=False)

    def _receive(self, names: list[str], block: bool) -> Received:
        contents = self._contents.get()
        found = contents.look(names)
        if found is None and block:
            look, leave = partial(contents.look, names), partial(contents.leave, names)
            found = wait_in_thread(look, leave, self.block_timeout)
        return _received(found)

    async def _receive_async(self, names: list[str]) -> Received:
        contents = self._contents.get()
        if contents.is_turn_over():
            await asyncio.sleep(0)
        found = contents.look(names)
        if found is None:
            look, leave = partial(contents.look, names), partial(contents.leave, names)
            found = await wait_on_loop(look, leave, self.block_timeout)
        return _received(found)

    # --------------------------------------------------------- groups

    def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`; nothing happens if it is that of a client that has gone."""
        contents = self._contents.get()
        check_group(group)
        check_channel(channel)
        with contents.lock:
            contents.groups.add(group, channel, time.monotonic())
            if contents.is_gone(channel):  # looked at last: `detach` pops, then looks at the groups
                contents.groups.forget([channel])

    def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        contents = self._contents.get()
        check_group(group)
        check_channel(channel)
        with contents.lock:
            contents.groups.discard(group, channel)

    def group_channels(self, group: str) -> Iterable[str]:
        """Return the channels that are in `group` now."""
        contents = self._contents.get()
        check_group(group)
        with contents.lock:
            return contents.groups.members(group, time.monotonic())

    def send_group(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group` (see `ChannelLayer.send_group`)."""
        contents = self._contents.get()
        members = self.group_channels(group)
        copied = copy_message(message, self.max_message_size)
        full = []
        for channel in members:
            try:
                self._send_shared(contents, channel, copied)
            except ChannelFull:
                full.append(channel)
            except Exception:
                logger.exception("a message to the group %s failed at %s", group, channel)
        if full:
            contents.drops.full(group, full)

    def _send_shared(self, contents: _Contents, channel: str, message: Message) -> None:
        """Send what others get too: it is copied when it is read."""
        deliver = contents.attached.get(channel)
        if deliver is not None:
            contents.deliver(deliver, message)
        else:
            queue = queue_of(channel)
            contents.put(queue, self.capacities.of(queue), channel, message, shared=True)

    # --------------------------------------------------------- the rest of the interface

    def flush(self) -> None:
        """Forget all messages and groups."""
        contents = self._contents.get()
        with contents.lock:
            contents.queues.clear()
            contents.groups.clear()

    def global_statistics(self) -> dict[str, Any]:
        """Return the figures of all channels together."""
        return self._contents.get().statistics(None)

    def channel_statistics(self, channel: str) -> dict[str, Any]:
        """Return the figures of one channel (see `ChannelLayer.channel_statistics`)."""
        return self._contents.get().statistics(check_queue(channel))

    # --------------------------------------------------------- channels of this process

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel` passed to `deliver`."""
        self._contents.get().attached[channel] = deliver

    def detach(self, channel: str) -> None:
        """Drop the messages to `channel` from now on, and its memberships of groups."""
        contents = self._contents.get()
        if contents.attached.pop(channel, None) is not None and contents.groups:
            with contents.lock:
                contents.groups.forget([channel])


class _Contents:
    """What a layer has in one process. The lock is held for moments, and nothing is logged then."""

    def __init__(self, reply_queue: str, expiry: float, group_expiry: float) -> None:
        self._expiry = expiry
        self._reply_queue = reply_queue
        self.lock = unpatched("allocate_lock")()
        self.queues = Queues(expiry)
        self.groups = Groups(group_expiry)
        self.attached: dict[str, Deliver] = {}
        #: queue -> what waits for a message in it.
        self._lines: dict[str, Line] = {}
        self._counters = LayerCounters()
        self.drops = DropLog()
        #: How often tasks have read; a thread may overwrite another's count.
        self._reads = 0

    def is_turn_over(self) -> bool:
        """Whether tasks have read so much that those that read nothing must have their turn."""
        self._reads += 1
        return self._reads % _READS_IN_TURN == 0

    def is_gone(self, channel: str) -> bool:
        """Whether `channel` is that of a client of this process that is not here."""
        return queue_of(channel) == self._reply_queue and channel not in self.attached

    def deliver(self, deliver: Deliver, message: Message) -> None:
        """Pass `message` to a client of this process."""
        try:
            deliver(message)
        except ChannelFull:
            with self.lock:
                self._counters.count_full(self._reply_queue)
            raise
        with self.lock:
            self._counters.count_message(self._reply_queue)

    def put(
        self, queue: str, capacity: int, channel: str, message: Message, *, shared: bool
    ) -> None:
        """Queue `message`, which is ours, and wake a reader. Raises `ChannelFull`."""
        if queue == self._reply_queue:
            return  # its client has gone
        with self.lock:
            waiting = Waiting(time.monotonic(), channel, message, shared)
            done = self.queues.put(queue, waiting, capacity)
            if done:
                self._counters.count_message(queue)
            else:
                self._counters.count_full(queue)
            unread = self._take_unread()
            reader = self._first_reader(queue) if done else None
        self._wake(queue, reader)
        self._tell_unread(unread)
        if not done:
            raise ChannelFull(
                f"the channel {channel!r} is full: {capacity} messages wait in it, the most that "
                "its capacity allows"
            )

    def look(self, names: Sequence[str], reader: Reader | None = None) -> Waiting | None:
        """Take a message out of one of these queues; if there is none, have `reader` stand in line.

        See `bridge.channels.waiting`.
        """
        with self.lock:
            found = self.queues.take(names, time.monotonic())
            if found is None and reader is not None:
                for name in names:
                    self._lines.setdefault(name, Line()).stand(reader)
            unread = self._take_unread()
        self._tell_unread(unread)
        return found

    def leave(self, names: Sequence[str], reader: Reader) -> None:
        """Take `reader` out of the lines, and wake the next if there is something left."""
        news = []
        with self.lock:
            for name in names:
                line = self._lines.get(name)
                if line is None:
                    continue
                line.leave(reader)
                if not line:
                    del self._lines[name]
                elif name in self.queues:
                    news.append((name, self._first_reader(name)))
        for name, following in news:
            self._wake(name, following)

    def _first_reader(self, queue: str) -> Reader | None:
        """Return what is to be woken for a message in `queue`; with the lock held."""
        line = self._lines.get(queue)
        if line is None:
            return None
        reader = line.first()
        if not line:
            del self._lines[queue]
        return reader

    def _wake(self, queue: str, reader: Reader | None) -> None:
        while reader is not None and not reader.wake():
            with self.lock:
                reader = self._first_reader(queue)

    def _take_unread(self) -> set[str]:
        """Return the channels whose messages have expired, which ends their memberships too."""
        unread = self.queues.take_unread()
        if unread:
            self.groups.forget(unread)
        return unread

    def _tell_unread(self, unread: set[str]) -> None:
        if unread:
            self.drops.unread(unread, self._expiry)

    def statistics(self, queue: str | None) -> dict[str, Any]:
        """Return the figures of `queue`; None: of all."""
        now = time.monotonic()
        with self.lock:
            self.queues.drop_expired(now)
            unread = self._take_unread()
            counters = self._counters.all if queue is None else self._counters.of(queue)
            count, oldest = self.queues.pending(None if queue is None else [queue])
            figures: dict[str, Any] = counters.report()
        self._tell_unread(unread)
        age = 0.0 if oldest is None else now - oldest
        return {**figures, "messages_pending": count, "messages_max_age": age}


def _received(found: Waiting | None) -> Received:
    if found is None:
        return None, None
    return found.channel, copy_again(found.message) if found.shared else found.message
