"""What all channel layers share: ASGI 1's interface, capacities and reply channels (rule L6).

A layer carries messages between the parts of a program: from a server to consumers, from them to
the clients of the server, from anywhere to groups of clients. Everything may be called from any
thread; nothing but `receive` with ``block=True`` and the coroutines waits for a message.
"""

from __future__ import annotations

import abc
import asyncio
import fnmatch
import itertools
import re
import secrets
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from bridge.channels.messages import MAX_MESSAGE_SIZE
from bridge.channels.names import check_readable
from bridge.errors import ChannelFull, ConfigError, MessageTooLarge
from bridge.types import Message

#: What `receive` returns: the channel and its message, or None twice.
Received: TypeAlias = tuple[str, Message] | tuple[None, None]
#: Takes a message for a channel of this process, see `ChannelLayer.attach`.
Deliver: TypeAlias = Callable[[Message], None]


class Capacities:
    """How many messages may wait in each channel: a usual number, and others by pattern."""

    def __init__(self, usual: int = 100, by_pattern: Mapping[str, int] | None = None) -> None:
        self.usual = usual
        self.patterns = [
            (re.compile(fnmatch.translate(pattern)), most)
            for pattern, most in (by_pattern or {}).items()
        ]

    def of(self, channel: str, clients_factor: int = 1) -> int:
        """Return the most messages in `channel`: what the first pattern that matches says.

        The queue of a process's clients has `clients_factor` times the usual number.
        """
        for pattern, most in self.patterns:
            if pattern.match(channel):
                return most
        return self.usual * (clients_factor if channel.startswith("bridge.") else 1)


class ChannelLayer(abc.ABC):
    """Base of all layers. Times are in seconds, sizes in bytes, capacities in messages.

    `expiry`: how long a message waits for a reader; `group_expiry`: how long a membership lasts;
    `capacity`: the most messages that wait in a channel; `channel_capacity`: the same for channels
    whose name matches a pattern (``{"http.*": 200}``; the first that matches).
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
        _check_positive(expiry=expiry, group_expiry=group_expiry, capacity=capacity)
        _check_positive(max_message_size=max_message_size, **(channel_capacity or {}))
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.capacity = capacity
        self.max_message_size = max_message_size
        self.capacities = Capacities(capacity, channel_capacity)
        #: The queue of this layer's own reply channels.
        self.reply_queue = f"bridge.{secrets.token_hex(8)}!"
        self._reply_numbers = itertools.count()

    def capacity_of(self, channel: str) -> int:
        """Return the most messages that may wait in `channel`."""
        return self.capacities.of(channel)

    # --------------------------------------------------------- messages

    @abc.abstractmethod
    def send(self, channel: str, message: Message) -> None:
        """Send `message`, a dict, to `channel`; it is copied.

        Raises `ChannelFull`, `MessageTooLarge`, and TypeError for a name or value that is wrong.
        """

    @abc.abstractmethod
    def receive(self, channels: Sequence[str], block: bool = False) -> Received:
        """Return a message of one of `channels` and its channel, or ``(None, None)``.

        ``name!`` stands for all channels of this beginning. With `block` it waits for a message, at
        most `block_timeout` seconds.
        """

    def receive_many(self, channels: Sequence[str], block: bool = False) -> Received:
        """Call `receive`, as code for early versions of ASGI 1 names it."""
        warnings.warn("receive_many is deprecated; use receive", DeprecationWarning, stacklevel=2)
        return self.receive(channels, block)

    @abc.abstractmethod
    async def receive_async(self, channels: Sequence[str]) -> Received:
        """Wait as `receive` does with `block`; on any loop, in any number of tasks."""

    async def receive_asyncio(self, channels: Sequence[str]) -> Received:
        """Call `receive_async`, as the extension ``asyncio`` names it."""
        return await self.receive_async(channels)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop on which the caller can await `receive_async`: the running one.

        Raises RuntimeError if none runs in this thread.
        """
        return asyncio.get_running_loop()

    @abc.abstractmethod
    def new_channel(self, pattern: str) -> str:
        """Return the name of a channel that does not exist yet; `pattern` ends with ``?``."""

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
        """Return the figures of one channel."""

    def close(self) -> None:
        """Give back what the layer holds open; it can be called again."""
        return

    # --------------------------------------------------------- clients of this process

    def new_reply_channel(self) -> str:
        """Return the name of a channel of this process that was never used before."""
        return f"{self.reply_queue}{next(self._reply_numbers)}"

    @abc.abstractmethod
    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel`, a reply channel of this layer, passed to `deliver`.

        It is called in the thread that sends, with the message of the sender, and takes what it
        needs before it returns; it does not block, and may raise `ChannelFull`.
        """

    @abc.abstractmethod
    def detach(self, channel: str) -> None:
        """End this: from now on messages to `channel` are dropped, because its client has gone."""


def names_to_read(channels: Any) -> list[str]:
    """Return the names in `channels` if all can be read; raises TypeError as `receive` does."""
    if isinstance(channels, str | bytes) or not isinstance(channels, Iterable):
        raise TypeError(f"channels are {channels!r:.120}, and must be a list of names")
    return [check_readable(name) for name in channels]


def _check_positive(**values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigError(f"{name} is {value!r}, and must be a number above 0")
