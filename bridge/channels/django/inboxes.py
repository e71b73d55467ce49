"""Messages that have come for channels of this process, until somebody takes them (rule L14).

One event loop puts messages in, that of the store. Tasks of any other loop, in any
thread, take them. A task that is cancelled while it waits has taken nothing, so nothing is lost
with it, and a message for one channel is never seen by a task that waits for another.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from bridge.channels.messages import copy_message
from bridge.errors import ChannelFull, pluralize
from bridge.loops.waiters import unpatched
from bridge.types import Message

#: A task that waits: its loop, and the future that wakes it.
_Reader: TypeAlias = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class _Inbox:
    """The messages of one channel, with the times when they expire, and what waits for more."""

    __slots__ = ("messages", "readers")

    def __init__(self) -> None:
        self.messages: deque[tuple[float, Message]] = deque()
        self.readers: list[_Reader] = []

    def drop_expired(self, now: float) -> None:
        while self.messages and self.messages[0][0] <= now:
            self.messages.popleft()


class Inboxes:
    """The inboxes of one process; one that is empty, and that nobody waits for, takes no memory.

    `expiry` is in seconds; `capacity_of` says how many messages may wait in a channel;
    `limit` is the most bytes of one.
    """

    def __init__(self, expiry: float, capacity_of: Callable[[str], int], limit: int) -> None:
        self._expiry = expiry
        self._capacity_of = capacity_of
        self._limit = limit
        #: Held for moments, by threads of all kinds.
        self._lock = unpatched("allocate_lock")()
        self._inboxes: dict[str, _Inbox] = {}
        self._next_sweep = time.monotonic() + expiry
        #: The tasks to wake soon, by their loops: one call wakes all of a loop.
        self._waking: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """Return how many channels have messages, or a task that waits for them."""
        return len(self._inboxes)

    def put(self, channel: str, message: Message) -> None:
        """Put a copy of `message` in. Raises as `ChannelLayer.send`. On the loop of the store."""
        copied, now = copy_message(message, self._limit), time.monotonic()
        with self._lock:
            if now >= self._next_sweep:
                self._sweep(now)
            inbox = self._inbox(channel)
            inbox.drop_expired(now)
            if len(inbox.messages) >= (capacity := self._capacity_of(channel)):
                raise ChannelFull(
                    f"the channel {channel!r} is full: {pluralize(capacity, 'message')}, the most "
                    "that its capacity allows, wait in it for its consumer"
                )
            inbox.messages.append((now + self._expiry, copied))
            readers, inbox.readers = inbox.readers, []
        for reader in readers:
            self._wake_soon(*reader)

    async def take(self, channel: str, filling: Callable[[], bool]) -> Message | None:
        """Wait for a message to `channel`, and take it out.

        Returns None if none can come because nothing is `filling` the inboxes (any more), or if
        another reader was quicker: then begin again.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            message = self._take_out(channel)
            if message is not None or not filling():
                return message
            reader = (loop, loop.create_future())
            self._inbox(channel).readers.append(reader)
        try:
            await reader[1]
        finally:
            with self._lock:
                self._leave(channel, reader)
        with self._lock:
            return self._take_out(channel)

    def wake_all(self) -> None:
        """Have `take` return for all that wait, since nothing fills the inboxes any more.

        Called on the same loop as `put`.
        """
        with self._lock:
            readers = [each for inbox in self._inboxes.values() for each in inbox.readers]
        for reader in readers:
            self._wake_soon(*reader)

    def clear(self) -> None:
        """Drop all messages; what waits goes on waiting."""
        with self._lock:
            for channel, inbox in list(self._inboxes.items()):
                inbox.messages.clear()
                self._forget_idle(channel, inbox)

    # --------------------------------------------------------- with the lock held

    def _inbox(self, channel: str) -> _Inbox:
        inbox = self._inboxes.get(channel)
        if inbox is None:
            inbox = self._inboxes[channel] = _Inbox()
        return inbox

    def _take_out(self, channel: str) -> Message | None:
        inbox = self._inboxes.get(channel)
        if inbox is None:
            return None
        inbox.drop_expired(time.monotonic())
        message = inbox.messages.popleft()[1] if inbox.messages else None
        self._forget_idle(channel, inbox)
        return message

    def _leave(self, channel: str, reader: _Reader) -> None:
        inbox = self._inboxes.get(channel)
        if inbox is not None and reader in inbox.readers:
            inbox.readers.remove(reader)
            self._forget_idle(channel, inbox)

    def _forget_idle(self, channel: str, inbox: _Inbox) -> None:
        if not inbox.messages and not inbox.readers:
            del self._inboxes[channel]

    def _sweep(self, now: float) -> None:
        """Drop what has expired in channels that nobody reads any more."""
        self._next_sweep = now + self._expiry
        for channel, inbox in list(self._inboxes.items()):
            inbox.drop_expired(now)
            self._forget_idle(channel, inbox)

    # --------------------------------------------------------- waking

    def _wake_soon(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        if not self._waking:
            asyncio.get_running_loop().call_soon(self._wake)
        self._waking.setdefault(loop, []).append(future)

    def _wake(self) -> None:
        waking, self._waking = self._waking, {}
        for loop, futures in waking.items():
            try:
                loop.call_soon_threadsafe(_resolve, futures)
            except RuntimeError:
                pass  # the loop was closed, and its tasks with it


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
