"""`RedisLayer`: a channel layer over Redis for any thread, loop and process (rule L8)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from bridge.channels.base import ChannelLayer, Deliver, Received
from bridge.channels.redis.store import Store
from bridge.loops.thread import LoopThread, lease, release
from bridge.loops.waiters import FOREVER, waiter
from bridge.types import Message

T = TypeVar("T")


class RedisLayer(ChannelLayer):
    """A channel layer over the Redis at `url`, shared by all processes that use its `prefix`.

    It connects when it is first used, in each process by itself, and works on the process's event
    loop thread. The other settings are those of `ChannelLayer`.
    """

    def __init__(self, url: str, *, prefix: str = "bridge", **settings: Any) -> None:
        super().__init__(**settings)
        self._make: Callable[[], Store] = lambda: Store(
            url,
            prefix=prefix,
            expiry=self.expiry,
            group_expiry=self.group_expiry,
            capacities=self.capacities,
            max_message_size=self.max_message_size,
        )
        self._make()  # raises for a wrong address now
        #: By process id: a child opens its own, and leaves its parent's alone.
        self._opened: dict[int, _Opened] = {}

    # --------------------------------------------------------- the store of this process

    def _call(self, operation: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
        """Run an operation on the loop thread, and wait for it in this thread or greenlet."""
        opened = self._open()
        done = waiter()

        async def run() -> T:
            await opened.ready()
            return await operation(opened.store)

        future = asyncio.run_coroutine_threadsafe(run(), opened.thread.loop)
        future.add_done_callback(lambda _: done.wake())
        while not future.done():
            done.wait(FOREVER)
        return future.result()

    def _open(self) -> _Opened:
        opened = self._opened.get(os.getpid())
        if opened is None:
            opened = self._opened.setdefault(os.getpid(), _Opened(self._make()))
        return opened

    def close(self) -> None:
        """Give this process's connections back."""
        opened = self._opened.pop(os.getpid(), None)
        if opened is not None:
            opened.close()

    # --------------------------------------------------------- the interface

    def send(self, channel: str, message: Message) -> None:
        """Send `message` to `channel`."""
        self._call(lambda store: store.send(channel, message))

    def _receive(self, names: list[str], block: bool) -> Received:
        if block:
            return self._call(lambda store: store.receive_waiting(names))
        return self._call(lambda store: store.receive(names))

    async def _receive_async(self, names: list[str]) -> Received:
        opened = self._open()

        async def run() -> Received:
            await opened.ready()
            return await opened.store.receive_waiting(names)

        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(run(), opened.thread.loop)
        )

    def new_channel(self, pattern: str) -> str:
        """Return the name of a channel that does not exist yet."""
        return self._open().store.new_channel(pattern)

    def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`."""
        self._call(lambda store: store.group_add(group, channel))

    def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        self._call(lambda store: store.group_discard(group, channel))

    def group_channels(self, group: str) -> Iterable[str]:
        """Return the channels that are in `group` now."""
        return self._call(lambda store: store.group_channels(group))

    def send_group(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group`."""
        self._call(lambda store: store.send_group(group, message))

    def flush(self) -> None:
        """Forget all messages and groups, of all processes with this prefix."""
        self._call(lambda store: store.flush())

    def global_statistics(self) -> dict[str, Any]:
        """Return the figures of all channels; counts are those of this process."""
        return self._call(lambda store: store.statistics(None))

    def channel_statistics(self, channel: str) -> dict[str, Any]:
        """Return the figures of one channel; counts are those of this process."""
        return self._call(lambda store: store.statistics(channel))

    def new_reply_channel(self) -> str:
        """Return the name of a channel of this process that was never used before."""
        return self._open().store.new_reply_channel()

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel` passed to `deliver`, on the loop thread."""
        opened = self._open()
        opened.thread.loop.call_soon_threadsafe(opened.store.attach, channel, deliver)

    def detach(self, channel: str) -> None:
        """Drop the messages to `channel` from now on."""
        self._open().store.detach(channel)


class _Opened:
    """The store of one process, and the loop that it runs on."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.thread: LoopThread = lease()
        self._opening: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Wait until it is connected; raises `LayerUnavailable`, and tries again the next time."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self.store.open())
        await asyncio.shield(self._opening)

    def close(self) -> None:
        """Close the connections, and give the loop back."""
        asyncio.run_coroutine_threadsafe(self.store.close(), self.thread.loop).result()
        release(self.thread)
