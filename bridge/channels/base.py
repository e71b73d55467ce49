"""What all channel layers share: ASGI 1's interface, capacities and local channels (rule L6).

A layer carries messages between the parts of a program: from a server to consumers, from them to
the clients of the server, from anywhere to groups of clients. Everything may be called from any
thread, loop or greenlet; nothing but `receive` with ``block=True`` and the coroutines waits for a
message. A child that is forked has a layer of its own in it, without messages, groups or clients.

Only what interrupts a thread at any moment, a signal handler or a ``__del__``, must not call a
layer: it would wait for the call that it has interrupted.
"""

from __future__ import annotations

import abc
import asyncio
import fnmatch
import re
import secrets
import warnings
from asyncio.events import _get_running_loop
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from bridge.channels.messages import MAX_MESSAGE_SIZE
from bridge.channels.names import RANDOM_LENGTH, check_pattern, check_readable, queue_of
from bridge.channels.sources import LocalChannels, Source, Take
from bridge.errors import ChannelFull, ConfigError, MessageTooLarge, WaitNotPossible
from bridge.loops.by_process import ByProcess
from bridge.loops.hidden import hidden_loop
from bridge.runners.base import current_runner
from bridge.types import Message

#: What `receive` returns: the channel and its message, or None twice.
Received: TypeAlias = tuple[str, Message] | tuple[None, None]
#: Takes a message for a channel of this process, see `ChannelLayer.attach`.
Deliver: TypeAlias = Callable[[Message], None]


#: What the names of a process's own queues, see `LocalChannels`, have before their channels.
_OF_PROCESS = re.compile(r"\.[0-9a-f]{16}!")


class Capacities:
    """How many messages may wait in each channel: a usual number, and others by pattern."""

    def __init__(self, usual: int = 100, by_pattern: Mapping[str, int] | None = None) -> None:
        self.usual = usual
        self.patterns = [
            (re.compile(fnmatch.translate(pattern)), most)
            for pattern, most in (by_pattern or {}).items()
        ]

    def of(self, channel: str, clients_factor: int = 1) -> int:
        """Return the most messages in the queue of `channel`: the first pattern that matches it.

        A queue of a process's own (``NAME.<id>!``) has `clients_factor` times the usual number.
        """
        if self.patterns:
            queue = queue_of(channel)
            for pattern, most in self.patterns:
                if pattern.match(queue):
                    return most
        return self.usual * (clients_factor if _OF_PROCESS.search(channel) else 1)


class ChannelLayer(abc.ABC):
    """Base of all layers. Times are in seconds, sizes in bytes, capacities in messages.

    `expiry`: how long a message waits for a reader; `group_expiry`: how long a membership lasts;
    `capacity`: the most messages that wait in a channel; `channel_capacity`: the same for channels
    whose name matches a pattern (``{"http.*": 200}``; the first that matches). The channels of a
    process, ``name!``, are one queue, and its name is ``name!`` for both.
    """

    extensions: ClassVar[Sequence[str]] = ["groups", "flush", "statistics", "asyncio"]
    #: The errors, where code for ASGI 1 looks for them.
    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge

    #: Seconds that `receive` with ``block=True`` and `receive_async` wait for a message.
    block_timeout = 5.0

    def __init__(
        self,
        *,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str, int] | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
    ) -> None:
        check_positive({"expiry": expiry, "group_expiry": group_expiry, "capacity": capacity})
        check_positive({"max_message_size": max_message_size})
        own = (channel_capacity or {}).items()
        check_positive({f"channel_capacity[{pattern!r}]": most for pattern, most in own})
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.capacity = capacity
        self.channel_capacity = dict(channel_capacity or {})
        self.max_message_size = max_message_size
        self.capacities = Capacities(capacity, channel_capacity)
        self.local: ByProcess[LocalChannels] = ByProcess(LocalChannels)

    # --------------------------------------------------------- messages

    @abc.abstractmethod
    def send(self, channel: str, message: Message) -> None:
        """Send `message`, a dict, to `channel`; it is copied.

        Raises `ChannelFull`, `MessageTooLarge`, TypeError for a name or value that is wrong, and
        AssertionError for a message that is no dict.
        """

    def receive(self, channels: Sequence[str], block: bool = False) -> Received:
        """Return a message of one of `channels` and its channel, or ``(None, None)``.

        ``name!`` stands for all channels of this beginning. With `block` it waits for a message, at
        most `block_timeout` seconds; in a coroutine, where it would stop the loop, that raises
        `WaitNotPossible`. The body of a request (``body_channel``) must be read alone.
        """
        names = names_to_read(channels)
        if not names:
            return None, None
        if block:
            runner = current_runner()
            if runner is not None and runner.in_greenlet():
                return runner.wait(self.receive_async(names))
            _check_no_loop(names)
        source = self.local.get().find(names)
        if source is None:
            return self._receive(names, block)
        return _received(source, source.receive(self.block_timeout if block else 0))

    @abc.abstractmethod
    def _receive(self, names: list[str], block: bool) -> Received:
        """Do what `receive` does, for names that are checked, and not those of sources."""

    def receive_many(self, channels: Sequence[str], block: bool = False) -> Received:
        """Call `receive`, as code for early versions of ASGI 1 names it."""
        warnings.warn("receive_many is deprecated; use receive", DeprecationWarning, stacklevel=2)
        return self.receive(channels, block)

    async def receive_async(self, channels: Sequence[str]) -> Received:
        """Wait as `receive` does with `block`; on any loop, in any number of tasks."""
        names = names_to_read(channels)
        if not names:
            return None, None
        source = self.local.get().find(names)
        if source is None:
            return await self._receive_async(names)
        return _received(source, await source.receive_async(self.block_timeout))

    @abc.abstractmethod
    async def _receive_async(self, names: list[str]) -> Received:
        """Do what `receive_async` does, for names that are checked, and not those of sources."""

    async def receive_asyncio(self, channels: Sequence[str]) -> Received:
        """Call `receive_async`, as the extension ``asyncio`` names it."""
        return await self.receive_async(channels)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop for tasks of the caller: the running one, or its server's.

        A consumer that is no coroutine finds the loop of the server here: in a thread for
        ``asyncio.run_coroutine_threadsafe``, and with ``--runner inline`` or ``greenlet`` for
        ``loop.create_task``. Raises RuntimeError if there is none.
        """
        runner = current_runner()
        loop = _get_running_loop() or (runner and runner.app_loop()) or hidden_loop()
        return loop or asyncio.get_running_loop()  # which raises

    def new_channel(self, pattern: str) -> str:
        """Return the name of a channel that does not exist yet; `pattern` ends with ``?``."""
        return check_pattern(pattern) + secrets.token_hex(RANDOM_LENGTH // 2)

    # --------------------------------------------------------- groups

    @abc.abstractmethod
    def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`, for `group_expiry` seconds from now."""

    @abc.abstractmethod
    def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`; harmless if it is not in there."""

    @abc.abstractmethod
    def group_channels(self, group: str) -> Iterable[str]:
        """Return the channels that are in `group` now."""

    @abc.abstractmethod
    def send_group(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group`.

        A channel that is full does not get it: that is counted, and logged. Never `ChannelFull`.
        """

    # --------------------------------------------------------- the rest of the interface

    @abc.abstractmethod
    def flush(self) -> None:
        """Forget all messages and groups. Channels that are attached stay attached."""

    @abc.abstractmethod
    def global_statistics(self) -> dict[str, Any]:
        """Return the figures of all channels together (ASGI 1, ``statistics``)."""

    @abc.abstractmethod
    def channel_statistics(self, channel: str) -> dict[str, Any]:
        """Return the figures of one channel; those of one beginning (``a!``) share counts."""

    def close(self) -> None:
        """Give back what the layer holds open; it can be called again."""
        return

    # --------------------------------------------------------- channels of this process

    def new_reply_channel(self) -> str:
        """Return the name of a channel of this process that was never used before."""
        return self.local.get().new_reply_channel()

    @abc.abstractmethod
    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel`, a reply channel of this layer, passed to `deliver`.

        It is called in the thread that sends, with the message of the sender, and takes what it
        needs before it returns; it does not block, and may raise `ChannelFull`. Other errors reach
        the sender too; those of a group's member are logged instead.
        """

    @abc.abstractmethod
    def detach(self, channel: str) -> None:
        """End this: from now on messages to `channel` are dropped, because its client has gone."""

    def attach_source(self, channel: str, take: Take) -> Source:
        """Have the messages of `channel`, as `new_channel` names one, made when they are read.

        Call it on the event loop that `take`, a coroutine function, shall run on; it returns the
        next message. Whoever in this process reads the channel, by whatever method, has it called:
        once at a time, and never ahead. Hold the source that is returned as long as it shall be
        read, and close it when nothing will come any more. Raises `ConfigError` if the channel has
        one already.
        """
        return self.local.get().attach(channel, take)


def names_to_read(channels: Any) -> list[str]:
    """Return the names in `channels` if all can be read; raises TypeError as `receive` does."""
    if isinstance(channels, str | bytes) or not isinstance(channels, Iterable):
        raise TypeError(f"channels are {channels!r:.120}, and must be a list of names")
    return [check_readable(name) for name in channels]


def _received(source: Source, message: Message | None) -> Received:
    return (None, None) if message is None else (source.channel, message)


def _check_no_loop(names: list[str]) -> None:
    """Raise `WaitNotPossible` if the caller is a coroutine."""
    if _get_running_loop() is not None:
        raise WaitNotPossible(
            f"receive({names!r:.120}, block=True) was called in a coroutine, and would stop its "
            "event loop: use `await layer.receive_async(...)`"
        )


def check_positive(values: Mapping[str, object]) -> None:
    """Raise `ConfigError` if a setting, by its name, is not a number above 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigError(f"{name} is {value!r}, and must be a number above 0")
