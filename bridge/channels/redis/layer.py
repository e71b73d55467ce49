"""`RedisLayer`: a channel layer over Redis for any thread, loop and process (rule L8)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from bridge.channels.base import ChannelLayer, Deliver, Received
from bridge.channels.names import queue_of
from bridge.channels.redis.receiver import Taken
from bridge.channels.redis.store import Store
from bridge.channels.redis.threaded import ThreadedStore
from bridge.loops.waiters import unpatched
from bridge.types import Message


class RedisLayer(ChannelLayer):
    """A channel layer over the Redis at `url`, shared by all processes that use its `prefix`.

    It connects when it is first used, in each process by itself; after `close`, too. While Redis
    cannot be reached, everything raises `LayerUnavailable`. The other settings are those of
    `ChannelLayer`.
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
            id=self.local.get().id,
        )
        self._make()  # raises for a wrong address now
        #: By process id: a child opens its own, and leaves its parent's alone.
        self._stores: dict[int, ThreadedStore] = {}
        self._locks: dict[int, Any] = {}

    def _here(self) -> ThreadedStore:
        """Return the store of this process."""
        pid = os.getpid()
        found = self._stores.get(pid)
        if found is None:
            with self._locks.setdefault(pid, unpatched("allocate_lock")()):
                found = self._stores.get(pid)
                if found is None:
                    found = self._stores[pid] = ThreadedStore(self._make())
        return found

    def close(self) -> None:
        """Give this process's connections back; waits for it."""
        here = self._stores.get(os.getpid())
        if here is not None:
            here.check_can_wait()
            self._stores.pop(os.getpid(), None)
            here.close()

    # --------------------------------------------------------- messages

    def send(self, channel: str, message: Message) -> None:
        """Send `message` to `channel`."""
        here = self._here()
        if not here.store.clients.send_now(channel, message):
            here.call(lambda store: store.send(channel, message))

    def _receive(self, names: list[str], block: bool) -> Received:
        here, limit = self._here(), self.block_timeout
        if block:
            return _received(here.call(lambda s: s.take_waiting(names, limit), _give_back))
        return _received(here.call(lambda s: s.take(names), _give_back))

    async def _receive_async(self, names: list[str]) -> Received:
        here, limit = self._here(), self.block_timeout
        taken = await here.call_async(lambda s: s.take_waiting(names, limit), _give_back)
        return _received(taken)

    # --------------------------------------------------------- groups

    def group_add(self, group: str, channel: str) -> None:
        """Add `channel` to `group`."""
        self._here().call(lambda store: store.group_add(group, channel))

    def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        self._here().call(lambda store: store.group_discard(group, channel))

    def group_channels(self, group: str) -> Iterable[str]:
        """Return the channels that are in `group` now."""
        return self._here().call(lambda store: store.group_channels(group))

    def send_group(self, group: str, message: Message) -> None:
        """Send `message` to all channels of `group`."""
        self._here().call(lambda store: store.send_group(group, message))

    # --------------------------------------------------------- the rest of the interface

    def flush(self) -> None:
        """Forget all messages and groups, of all processes with this prefix."""
        self._here().call(lambda store: store.flush())

    def global_statistics(self) -> dict[str, Any]:
        """Return the figures of all channels; counts are those of this process."""
        return self._here().call(lambda store: store.statistics(None))

    def channel_statistics(self, channel: str) -> dict[str, Any]:
        """Return the figures of one channel; counts are those of this process."""
        return self._here().call(lambda store: store.statistics(channel))

    # --------------------------------------------------------- channels of this process

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel`, a reply channel of this process, passed to `deliver`.

        Messages from other processes are delivered on the loop thread of the channel layers.
        """
        here = self._here()
        here.store.clients.attach(channel, deliver)
        here.submit(here.open)
        here.submit(lambda: here.store.receive_own(queue_of(channel)))

    def detach(self, channel: str) -> None:
        """Drop the messages to `channel` from now on."""
        self._here().store.clients.detach(channel)


def _received(taken: Taken | None) -> Received:
    return (None, None) if taken is None else (taken.channel, taken.message)


def _give_back(store: Store, taken: Taken | None) -> None:
    """Give back what was taken for a reader that has gone."""
    store.give_back(taken)
