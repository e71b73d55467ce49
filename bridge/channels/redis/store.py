"""A channel layer over Redis, as coroutines on one event loop (rule L8).

`RedisLayer` makes of it a layer that any thread can use; the gateway uses it as it is. All names
are checked here. Errors: those of `ChannelLayer`, and `LayerUnavailable` while Redis cannot be
reached, if it refuses, or if the connection broke before it had answered.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

from bridge.channels.base import Capacities, Deliver, Received, names_to_read
from bridge.channels.names import check_channel, check_group, queue_of
from bridge.channels.redis import scripts
from bridge.channels.redis.clients import Clients, DeliverAny
from bridge.channels.redis.connection import Refused
from bridge.channels.redis.encoding import START, decode_message, encode_message, encode_names
from bridge.channels.redis.link import Link
from bridge.channels.redis.receiver import Receiver, Taken
from bridge.channels.statistics import DropLog
from bridge.errors import ChannelFull, LayerUnavailable
from bridge.types import Message

T = TypeVar("T")

#: How many times the usual capacity the queue of a process's clients has.
CLIENTS_FACTOR: Final = 100
#: Seconds that Redis may take to answer before the last connections are closed.
_LAST_ANSWER: Final = 1.0


class Store:
    """The operations of a channel layer, over the Redis at `url`; see `ChannelLayer`.

    `id`, 16 hexadecimal digits, are in the names of this process's queues, ``NAME.<id>!``. Their
    channels are not received, but attached, one by one or a whole queue at once; they are fetched
    from Redis in batches.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "bridge",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacities: Capacities | None = None,
        max_message_size: int = 4 * 1024 * 1024,
        id: str | None = None,
    ) -> None:
        self.id = id or secrets.token_hex(8)
        #: The queue of this process's clients.
        self.reply_queue = self.own_queue("bridge")
        self.link = Link(url, name=self.reply_queue.rstrip("!"))
        self.clients = Clients(self.id)
        self.block_timeout = 5.0
        self.counters = self.clients.counters
        #: What the keys of queues, and of groups, begin with.
        self._queues = f"{prefix}:ch:"
        self._groups = f"{prefix}:group:"
        self._expiry = round(expiry * 1000)
        self._group_expiry = round(group_expiry * 1000)
        self._capacities = capacities or Capacities()
        self._limit = max_message_size
        self._reply_numbers = itertools.count()
        self._drops = DropLog()
        self._receiver = Receiver(self.link, self._queues, self._expiry, self.clients.deliver)

    async def open(self, *, insist: bool = False) -> None:
        """Connect. Raises `LayerUnavailable` if Redis does not answer; see `Link.open`."""
        self._receiver.start()
        await self.link.open(insist=insist)
        self._receiver.look()

    async def close(self) -> None:
        """Give the connections back. Who waits for a message gets `LayerUnavailable`."""
        await self._receiver.stop()
        if self.link.up:
            own = [self._queues + queue for queue in self._receiver.own]
            # When this is answered, what was put back before is in Redis again.
            last = self.link.call("UNLINK", *own) if own else self.link.call("PING")
            await asyncio.wait([last], timeout=_LAST_ANSWER)
            if last.done():
                last.exception()  # seen
        await self.link.close()

    def capacity_of(self, channel: str) -> int:
        """Return the most messages that may wait in the queue of `channel`."""
        return self._capacities.of(channel, CLIENTS_FACTOR)

    async def _answer(self, future: Awaitable[T]) -> T:
        """Return Redis' answer to an operation; `LayerUnavailable` if it refuses."""
        try:
            return await future
        except Refused as error:
            text = f"Redis at {self.link.shown} refuses this: {error}"
            raise LayerUnavailable(text) from error

    # --------------------------------------------------------- messages

    async def send(self, channel: str, message: Message) -> None:
        """Send `message` to `channel`."""
        if self.clients.send_now(channel, message):
            return
        queue = queue_of(check_channel(channel))
        if self.clients.owns(queue):
            await self.clients.send_in_turn(channel, message, self._limit)
            return
        element = START + encode_names([channel]) + encode_message(message, self._limit)
        capacity = self.capacity_of(channel)
        sent = self.link.run(
            scripts.SEND, [self._queues + queue], [capacity, self._expiry, element]
        )
        if not await self._answer(sent):
            self.clients.count_full(queue)
            raise ChannelFull(
                f"the channel {channel!r} is full: {capacity} messages wait in it, the most that "
                "its capacity allows"
            )
        self.clients.count_message(queue)

    async def receive(self, channels: Sequence[str]) -> Received:
        """Return a message that is there, or ``(None, None)``."""
        taken = await self.take(channels)
        return (taken.channel, taken.message) if taken else (None, None)

    async def receive_waiting(self, channels: Sequence[str]) -> Received:
        """Wait for a message, at most `block_timeout` seconds."""
        taken = await self.take_waiting(channels)
        return (taken.channel, taken.message) if taken else (None, None)

    async def take(self, channels: Sequence[str]) -> Taken | None:
        """Take a message that is there; `give_back` undoes it."""
        queues = _different(channels)
        secrets.SystemRandom().shuffle(queues)  # so that none starves
        return await self._answer(self._receiver.take(queues)) if queues else None

    async def take_waiting(
        self, channels: Sequence[str], timeout: float | None = None
    ) -> Taken | None:
        """Wait for a message, `block_timeout` seconds if not `timeout`; `give_back` undoes it."""
        queues = _different(channels)
        if not queues:
            return None
        limit = self.block_timeout if timeout is None else timeout
        return await self._answer(self._receiver.receive(queues, limit))

    def give_back(self, taken: Taken | None) -> None:
        """Give what `take` has returned, and cannot be used, to the next that waits for it."""
        self._receiver.give_back(taken)

    # --------------------------------------------------------- groups

    async def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`; nothing happens if it is that of a client that has gone."""
        key, args = (
            self._groups + check_group(group),
            [self._group_expiry, check_channel(channel)],
        )
        if not self.clients.is_gone(channel):
            await self._answer(self.link.run(scripts.GROUP_ADD, [key], args))

    async def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        key = self._groups + check_group(group)
        await self._answer(self.link.call("ZREM", key, check_channel(channel)))

    async def group_channels(self, group: str) -> list[str]:
        """Return the channels that are in `group` now."""
        key = self._groups + check_group(group)
        found = self.link.run(scripts.GROUP_CHANNELS, [key], [self._group_expiry])
        return [name.decode() for name in await self._answer(found)]

    async def send_group(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group`; those that are full are counted and logged."""
        key, packed = self._groups + check_group(group), encode_message(message, self._limit)
        turn, own = self.clients.take_turn(), []
        try:
            capacities: list[Any] = []
            if self._capacities.patterns:
                for queue in {queue_of(each) for each in await self.group_channels(group)}:
                    capacities += [queue, self.capacity_of(queue)]
            usual = self._capacities.usual
            args = [
                *(self._group_expiry, self._expiry, usual, usual * CLIENTS_FACTOR),
                *(self._queues, START, packed, self.clients.own_end, *capacities),
            ]
            answer = await self._answer(self.link.run(scripts.SEND_GROUP, [key], args))
            reached, full, own = answer
        finally:
            names = [name.decode() for name in own]
            self.clients.end_turn(turn, names, decode_message(packed) if names else {})
        for queue, members in reached:
            self.clients.count_message(queue.decode(), members)
        if full:
            for queue, members in full:
                self.clients.count_full(queue.decode(), members)
            self._drops.full(group, [q.decode() for q, members in full for _ in range(members)])
        gone = [name for name in names if self.clients.is_gone(name)]
        if gone:
            self.link.post("ZREM", key, *gone)

    # --------------------------------------------------------- the rest of the interface

    async def flush(self) -> None:
        """Forget all messages and groups, of all processes with this prefix."""
        for start in (self._queues, self._groups):
            async for keys in self._scan(start):
                await self._answer(self.link.call("UNLINK", *keys))

    async def statistics(self, channel: str | None) -> dict[str, Any]:
        """Return the figures of a channel; None: of all. Counts are those of this process."""
        if channel is None:
            keys = {key async for keys in self._scan(self._queues) for key in keys}
            counters = self.clients.counters.all
        else:
            keys = {(self._queues + queue_of(channel)).encode()}
            counters = self.clients.counters.of(queue_of(channel))
        asked = [self._answer(self.link.run(scripts.PENDING, [key], [])) for key in keys]
        waiting = await asyncio.gather(*asked)
        ages = [(self._expiry - left) / 1000 for count, left in waiting if count]
        pending = sum(count for count, _ in waiting)
        with self.clients.counting:
            counts = counters.report()
        return {**counts, "messages_pending": pending, "messages_max_age": max(ages, default=0.0)}

    async def _scan(self, start: str) -> Any:
        """Yield the keys that begin with `start`, in lists."""
        cursor, pattern = b"0", _literally(start) + "*"
        while True:
            found = self.link.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            cursor, keys = await self._answer(found)
            if keys:
                yield keys
            if cursor == b"0":
                return

    # --------------------------------------------------------- channels of this process

    def own_queue(self, name: str) -> str:
        """Return the name of a queue of this process: ``NAME.<id>!``."""
        return f"{name}.{self.id}!"

    def new_reply_channel(self) -> str:
        """Return the name of a channel of this process that was never used before."""
        return f"{self.reply_queue}{next(self._reply_numbers)}"

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel`, one of this process, passed to `deliver`, on this loop.

        Raises TypeError for a channel that is not of this process.
        """
        self.clients.attach(channel, deliver)
        self.receive_own(queue_of(channel))

    def attach_queue(self, queue: str, deliver: DeliverAny) -> None:
        """Have each message to any channel of `queue` passed to ``deliver(channel, message)``.

        `queue` is one of this process; its channels that are attached themselves are left out.
        """
        self.clients.attach_queue(queue, deliver)
        self.receive_own(queue)

    def receive_own(self, queue: str) -> None:
        """Receive the messages of `queue`, one of this process, from now on."""
        self._receiver.receive_own(queue)

    def detach(self, channel: str) -> None:
        """Drop the messages to `channel` from now on."""
        self.clients.detach(channel)


def _different(channels: Sequence[str]) -> list[str]:
    """Return the names to read, each once."""
    return list(dict.fromkeys(names_to_read(channels)))


def _literally(text: str) -> str:
    """Return the pattern that matches `text` alone."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
