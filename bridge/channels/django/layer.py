"""`RedisChannelLayer`: a channel layer for Django Channels 4, over Redis (rule L14).

    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "bridge.channels.django.RedisChannelLayer",
            "CONFIG": {"url": "redis://localhost:6379/0"},
        },
    }

It has the same store as `bridge.channels.RedisLayer`: what a program of any kind sends to a group
by one of the two, consumers behind the other receive, if address and prefix are the same.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import secrets
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from channels import exceptions
from channels.layers import BaseChannelLayer

from bridge import errors
from bridge.channels.base import Capacities, check_positive
from bridge.channels.django.config import address_from
from bridge.channels.django.inboxes import Inboxes
from bridge.channels.messages import MAX_MESSAGE_SIZE
from bridge.channels.names import queue_of
from bridge.channels.redis.receiver import Taken
from bridge.channels.redis.store import Store
from bridge.channels.redis.threaded import Operation, ThreadedStore
from bridge.loops.waiters import unpatched
from bridge.types import Message

T = TypeVar("T")

#: Seconds after which a task that waits for a message looks whether Redis is back.
LOOK_AGAIN: Final = 0.5


class ChannelFull(exceptions.ChannelFull, errors.ChannelFull):  # type: ignore[misc]
    """A channel has as many messages as its capacity allows; nothing was sent."""


class MessageTooLarge(exceptions.MessageTooLarge, errors.MessageTooLarge):  # type: ignore[misc]
    """A message is larger than the layer takes; nothing was sent."""


class RedisChannelLayer(BaseChannelLayer):  # type: ignore[misc]
    """A channel layer over the Redis at `url`, shared by all processes that use its `prefix`.

    Its methods can be awaited on any event loop, in any thread, and after a fork. `expiry` and
    `group_expiry` are seconds, `capacity` and `channel_capacity` (by pattern) messages in a
    channel, `max_message_size` bytes. Of the keys of channels_redis it knows ``hosts``, with one
    Redis; others are a `ConfigError` that says what to write instead.
    """

    extensions: Final = ["groups", "flush"]

    def __init__(
        self,
        url: str | None = None,
        *,
        prefix: str = "bridge",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
        **others: Any,
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        check_positive({"expiry": expiry, "group_expiry": group_expiry, "capacity": capacity})
        check_positive({"max_message_size": max_message_size})
        self.group_expiry = group_expiry
        self.channel_capacity = self.compile_capacities(channel_capacity or {})
        self.prefix = prefix
        capacities = _Capacities(capacity, self.channel_capacity)
        self._make_store: Callable[..., Store] = functools.partial(
            Store,
            address_from(url, others),
            prefix=prefix,
            expiry=expiry,
            group_expiry=group_expiry,
            capacities=capacities,
            max_message_size=max_message_size,
        )
        self._make_inboxes = functools.partial(Inboxes, expiry, capacities.of, max_message_size)
        #: The address for people, without its password.
        self._shown = self._make_store().link.shown
        #: By process id: a child has its own, and leaves its parent's alone. Nothing in it knows
        #: the layer, so that one that nobody has any more is closed.
        self._processes: dict[int, _Process] = {}
        weakref.finalize(self, _close_here, self._processes).atexit = False

    def __str__(self) -> str:
        return f"{type(self).__name__}({self._shown})"

    @property
    def client_prefix(self) -> str:
        """Return what the names of this process's channels have before their ``!``."""
        return self._here().id

    def _here(self) -> _Process:
        """Return what this layer has in this process."""
        found = self._processes.get(os.getpid())
        if found is None:
            made = _Process(self._make_store, self._make_inboxes())
            found = self._processes.setdefault(os.getpid(), made)
        return found

    # --------------------------------------------------------- messages

    async def send(self, channel: str, message: Message) -> None:
        """Send `message`, a dict, to `channel`.

        Raises `ChannelFull`, `MessageTooLarge`, and TypeError for a name or value that is wrong.
        """
        self.require_valid_channel_name(channel)
        with _channels_errors():
            await self._here().run(lambda store: store.send(channel, message))

    async def receive(self, channel: str) -> Message:
        """Wait for a message to `channel`, and return it. Cancelling it loses no message."""
        self.require_valid_channel_name(channel)
        queue, here = queue_of(channel), self._here()
        if "!" not in channel:
            return await here.receive_shared(channel)
        if queue == channel:
            raise TypeError(f"the channel {channel!r} has no name after its !")
        if not here.owns(queue):
            raise AssertionError(
                f"the channel {channel!r} is not of this process; receive one that new_channel has "
                "made here, of this layer and after the last fork"
            )
        return await here.receive_own(channel)

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return the name of a channel of this process that was never used before."""
        queue = f"{prefix}.{self.client_prefix}!"
        name = queue + secrets.token_hex(8)
        self.require_valid_channel_name(name)
        self._here().add_queue(queue)
        return name

    # --------------------------------------------------------- groups

    async def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`, for `group_expiry` seconds from now."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        await self._here().run(lambda store: store.group_add(group, channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`; harmless if it is not in there."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        await self._here().run(lambda store: store.group_discard(group, channel))

    async def group_send(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group`.

        A channel that is full does not get it: that is counted, and logged. Never `ChannelFull`.
        """
        self.require_valid_group_name(group)
        with _channels_errors():
            await self._here().run(lambda store: store.send_group(group, message))

    # --------------------------------------------------------- the rest

    async def flush(self) -> None:
        """Forget all messages and groups, of all processes with this prefix."""
        await self._here().flush()

    async def close_pools(self) -> None:
        """Give this process's connections back; what comes next opens them again."""
        await self._here().close()

    async def close(self) -> None:
        """Call `close_pools`, as layers in memory name it."""
        await self.close_pools()

    async def wait_received(self) -> None:
        """Return at once: nothing is left to do here after a message was received."""
        return


class _Capacities(Capacities):
    """How many messages may wait in each channel; a pattern is matched with its whole name.

    For channels of a process that is so in the process. In Redis they are one queue, which has
    room for those of many clients.
    """

    def __init__(self, usual: int, patterns: list[tuple[re.Pattern[str], int]]) -> None:
        super().__init__(usual)
        self.patterns = patterns

    def of(self, channel: str, clients_factor: int = 1) -> int:
        """Return the most messages in `channel`; with `clients_factor`, in its queue in Redis."""
        if clients_factor > 1 and "!" in channel:
            return self.usual * clients_factor
        for pattern, most in self.patterns:
            if pattern.match(channel):
                return most
        return self.usual


@contextmanager
def _channels_errors() -> Iterator[None]:
    """Raise errors of the store as those that code for Channels catches."""
    try:
        yield
    except errors.ChannelFull as error:
        raise ChannelFull(str(error)) from None
    except errors.MessageTooLarge as error:
        raise MessageTooLarge(str(error)) from None


def _close_here(processes: dict[int, _Process]) -> None:
    """Close what a layer that nobody has any more had in this process."""
    here = processes.get(os.getpid())
    if here is not None:
        here.close_soon()


# ------------------------------------------------------------- what a layer has in a process


class _Process:
    """What a layer has in one process: the inboxes of its channels, and the store if it is open."""

    def __init__(self, make_store: Callable[..., Store], inboxes: Inboxes) -> None:
        #: Stands in the names of this process's queues.
        self.id = secrets.token_hex(8)
        self._inboxes = inboxes
        self._make_store = make_store
        self._lock = unpatched("allocate_lock")()
        #: The names of its channels up to the ``!``; their messages go to the inboxes.
        self._queues: set[str] = set()
        self._opened: ThreadedStore | None = None
        #: The store of which Redis has answered.
        self._answered: ThreadedStore | None = None

    def owns(self, queue: str) -> bool:
        """Whether `add_queue` was called with it."""
        return queue in self._queues

    def add_queue(self, queue: str) -> None:
        """Have the messages of a queue of this process put into the inboxes."""
        with self._lock:
            if queue not in self._queues:
                self._queues.add(queue)
                if self._opened is not None:
                    self._attach(self._opened, queue)

    def _attach(self, opened: ThreadedStore, queue: str) -> None:
        opened.submit(functools.partial(opened.store.attach_queue, queue, self._inboxes.put))

    def _open(self) -> ThreadedStore:
        with self._lock:
            if self._opened is None:
                self._opened = ThreadedStore(self._make_store(id=self.id))
                for queue in self._queues:
                    self._attach(self._opened, queue)
            return self._opened

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation of the store."""
        return await self._open().call_async(operation)

    async def _open_for_reading(self) -> ThreadedStore:
        """Return the store; raises `LayerUnavailable` if Redis has never answered it."""
        opened = self._open()
        if opened is not self._answered:
            await opened.call_async(_ask)
            self._answered = opened
        return opened

    async def receive_own(self, channel: str) -> Message:
        """Wait for a message to a channel of this process."""
        message = None
        while message is None:
            opened = await self._open_for_reading()
            filling = functools.partial(self._is_open, opened)
            message = await self._inboxes.take(channel, filling)
        return message

    def _is_open(self, opened: ThreadedStore) -> bool:
        return self._opened is opened

    async def receive_shared(self, channel: str) -> Message:
        """Wait for a message to a channel that other processes may read, too."""

        async def take(store: Store) -> Taken:
            taken = None
            while taken is None:
                taken = await store.take_waiting([channel])
            return taken

        refusals = 0
        while True:
            opened = await self._open_for_reading()
            try:
                return (await opened.call_async(take, Store.give_back)).message
            except errors.LayerUnavailable:
                # Redis is away, or the store was closed; or Redis refuses, for the second time.
                refusals = refusals + 1 if opened.store.link.up else 0
                if refusals > 1 and self._is_open(opened):
                    raise
                await asyncio.sleep(LOOK_AGAIN)

    async def flush(self) -> None:
        """Forget all messages and groups."""
        await self.run(lambda store: store.flush())
        self._inboxes.clear()

    def _take_opened(self) -> ThreadedStore | None:
        """Return the store, which is to be closed. Who waits for a message opens another."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.submit(self._inboxes.wake_all)
        return opened

    async def close(self) -> None:
        """Close the connections."""
        opened = self._take_opened()
        if opened is not None:
            await asyncio.to_thread(opened.close)

    def close_soon(self) -> None:
        """Have them closed; from any thread, without waiting."""
        opened = self._take_opened()
        if opened is not None:
            opened.close_soon()


async def _ask(store: Store) -> None:
    """Raise `LayerUnavailable` if Redis does not answer."""
    await store.link.call("PING")
