"""A channel layer over Redis, as coroutines on one event loop (rule L8).

`RedisLayer` makes of it a layer that any thread can use; the gateway uses it as it is. All names
are checked here. Errors: those of `ChannelLayer`, and `LayerUnavailable` while Redis cannot be
reached, or if the connection broke before it had answered.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from typing import Any

from bridge.channels.base import Capacities, Deliver, Received, names_to_read
from bridge.channels.names import check_channel, check_group, check_pattern, queue_of
from bridge.channels.redis import scripts
from bridge.channels.redis.encoding import VERSION, decode, encode_message, encode_names
from bridge.channels.redis.link import Link
from bridge.channels.redis.receiver import Receiver
from bridge.channels.statistics import LayerCounters
from bridge.errors import ChannelFull
from bridge.log import logger
from bridge.types import Message

#: How many times the usual capacity the queue of a process's clients has.
CLIENTS_FACTOR = 100


class Store:
    """The operations of a channel layer, over the Redis at `url`; see `ChannelLayer`."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "bridge",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacities: Capacities | None = None,
        max_message_size: int = 4 * 1024 * 1024,
    ) -> None:
        #: The queue of this process's clients.
        self.reply_queue = f"bridge.{secrets.token_hex(8)}!"
        self.link = Link(url, name=self.reply_queue.rstrip("!"))
        self.counters = LayerCounters()
        self.block_timeout = 5.0
        self._prefix = prefix
        self._expiry = round(expiry * 1000)
        self._group_expiry = round(group_expiry * 1000)
        self._capacities = capacities or Capacities()
        self._limit = max_message_size
        self._attached: dict[str, Deliver] = {}
        self._reply_numbers = itertools.count()
        self._receiver = Receiver(
            self.link, self._key(""), self.reply_queue, self._deliver, max_message_size
        )

    async def open(self) -> None:
        """Connect. Raises `LayerUnavailable` if Redis does not answer."""
        await self.link.open()
        self._receiver.start()

    async def close(self) -> None:
        """Give the connections back."""
        await self._receiver.stop()
        await self.link.close()

    def _key(self, queue: str) -> str:
        return f"{self._prefix}:ch:{queue}"

    def _group_key(self, group: str) -> str:
        return f"{self._prefix}:group:{group}"

    def capacity_of(self, channel: str) -> int:
        """Return the most messages that may wait in the queue of `channel`."""
        return self._capacities.of(channel, CLIENTS_FACTOR)

    # --------------------------------------------------------- messages

    async def send(self, channel: str, message: Message) -> None:
        """Send `message` to `channel`."""
        deliver = self._attached.get(channel)
        if deliver is not None:
            deliver(message)
            self.counters.count_message(self.reply_queue)
            return
        queue, capacity = queue_of(check_channel(channel)), self.capacity_of(channel)
        element = VERSION + encode_names([channel]) + encode_message(message, self._limit)
        if not await self.link.run(
            scripts.SEND, [self._key(queue)], [capacity, self._expiry, element]
        ):
            self.counters.count_full(queue)
            raise ChannelFull(
                f"the channel {channel!r} is full: {capacity} messages wait in it, the most that "
                "its capacity allows"
            )
        self.counters.count_message(queue)

    async def receive(self, channels: Sequence[str]) -> Received:
        """Return a message that is there, or ``(None, None)``."""
        queues = names_to_read(channels)
        kept = self._receiver.take_kept(queues)
        if kept is not None or not queues:
            return kept or (None, None)
        secrets.SystemRandom().shuffle(queues)  # so that none starves
        answer = await self.link.run(scripts.RECEIVE, [self._key(each) for each in queues], [])
        if answer is None:
            return None, None
        found = decode(answer[1], self._limit)
        first, *others = found.channels
        for channel in others:
            self._receiver.keep(channel, found.message, found.expires)
        return first, found.message

    async def receive_waiting(self, channels: Sequence[str]) -> Received:
        """Wait for a message, at most `block_timeout` seconds."""
        queues = names_to_read(channels)
        return await self._receiver.receive(queues, self.block_timeout) or (None, None)

    def new_channel(self, pattern: str) -> str:
        """Return the name of a channel that does not exist yet."""
        return check_pattern(pattern) + secrets.token_hex(8)

    # --------------------------------------------------------- groups

    async def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`."""
        key = self._group_key(check_group(group))
        await self.link.run(scripts.GROUP_ADD, [key], [self._group_expiry, check_channel(channel)])

    async def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        await self.link.call("ZREM", self._group_key(check_group(group)), check_channel(channel))

    async def group_channels(self, group: str) -> list[str]:
        """Return the channels that are in `group` now."""
        key = self._group_key(check_group(group))
        found = await self.link.run(scripts.GROUP_CHANNELS, [key], [self._group_expiry])
        return [name.decode() for name in found]

    async def send_group(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group`; those that are full are counted and logged."""
        key, packed = self._group_key(check_group(group)), encode_message(message, self._limit)
        own: list[Any] = []
        if self._capacities.patterns:
            for queue in {queue_of(each) for each in await self.group_channels(group)}:
                own += [queue, self.capacity_of(queue)]
        usual = self._capacities.usual
        full = await self.link.run(
            scripts.SEND_GROUP,
            [key],
            [
                *(self._group_expiry, self._expiry, usual, usual * CLIENTS_FACTOR),
                *(self._key(""), VERSION, packed, *own),
            ],
        )
        self.counters.count_message(group)
        if full:
            self._tell_full(group, full)

    def _tell_full(self, group: str, full: list[tuple[bytes, int]]) -> None:
        for queue, members in full:
            for _ in range(members):
                self.counters.count_full(queue.decode())
        logger.warning(
            "a message to the group %s did not reach %d of its channels, whose queues are full: %s",
            group,
            sum(members for _, members in full),
            ", ".join(queue.decode() for queue, _ in full[:5]),
        )

    # --------------------------------------------------------- the rest of the interface

    async def flush(self) -> None:
        """Forget all messages and groups, of all processes with this prefix."""
        self._receiver.forget()
        for kind in ("ch", "group"):
            async for keys in self._scan(kind):
                await self.link.call("UNLINK", *keys)

    async def statistics(self, channel: str | None) -> dict[str, Any]:
        """Return the figures of a channel; None: of all. Counts are those of this process."""
        if channel is None:
            queues = [key async for keys in self._scan("ch") for key in keys]
            counts = self.counters.all.report()
        else:
            queues = [self._key(queue_of(channel)).encode()]
            counts = self.counters.of(queue_of(channel)).report()
        waiting = [await self.link.run(scripts.PENDING, [key], []) for key in queues]
        ages = [(self._expiry - left) / 1000 for count, left in waiting if count]
        pending = sum(count for count, _ in waiting)
        return {**counts, "messages_pending": pending, "messages_max_age": max(ages, default=0.0)}

    async def _scan(self, kind: str) -> Any:
        """Yield the keys of one kind, in lists."""
        cursor, pattern = b"0", f"{self._prefix}:{kind}:*"
        while True:
            cursor, keys = await self.link.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            if keys:
                yield keys
            if cursor == b"0":
                return

    # --------------------------------------------------------- clients of this process

    def new_reply_channel(self) -> str:
        """Return the name of a channel of this process that was never used before."""
        return f"{self.reply_queue}{next(self._reply_numbers)}"

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel` passed to `deliver`, on this loop."""
        self._attached[channel] = deliver
        self._receiver.receive_own()

    def detach(self, channel: str) -> None:
        """Drop the messages to `channel` from now on."""
        self._attached.pop(channel, None)

    def _deliver(self, channel: str, message: Message) -> None:
        deliver = self._attached.get(channel)
        if deliver is None:
            return  # its client has gone
        try:
            deliver(message)
        except ChannelFull as error:
            self.counters.count_full(self.reply_queue)
            logger.warning("a message to %s was dropped: %s", channel, error)
        except Exception:
            logger.exception("a message to %s failed", channel)
