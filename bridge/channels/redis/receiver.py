"""Waits for messages from Redis, for all who want some in this process (rule L8).

One task waits for all queues that are wanted, by one command. A message goes to the first that
waits for its queue; one of a client of this process to that client. Nothing is taken out of Redis
that nobody here waits for, but for the queue of this process's own clients.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from bridge.channels.names import queue_of
from bridge.channels.redis.encoding import Element, Unreadable, decode
from bridge.channels.redis.link import Link
from bridge.errors import LayerUnavailable
from bridge.log import logger
from bridge.types import Message

#: The most messages of the process's own clients that are fetched at once.
BATCH: Final = 128
#: Seconds between attempts to have a wait begin anew.
_UNBLOCK_AGAIN: Final = 0.005

#: Takes the messages of the process's own clients: the channel, and the message.
DeliverLocal = Callable[[str, Message], None]


class Receiver:
    """The task that waits. `own_queue` is that of this process's clients."""

    def __init__(
        self, link: Link, key_start: str, own_queue: str, deliver: DeliverLocal, limit: int
    ) -> None:
        self._link = link
        self._key_start = key_start
        self._own_queue = own_queue
        self._deliver = deliver
        self._limit = limit
        #: Whether this process has clients that are waited for.
        self._own = False
        #: queue -> the futures that wait for its next message.
        self._wanted: dict[str, deque[asyncio.Future[tuple[str, Message]]]] = {}
        #: Messages for several channels of a process, of which some were not read yet.
        self._kept: dict[str, deque[tuple[float, str, Message]]] = {}
        self._news = asyncio.Event()
        #: The queues that Redis waits for now; None: for none.
        self._waited_for: list[str] | None = None
        #: Seconds that Redis' clock is ahead of ours.
        self._ahead = 0.0
        self._task: asyncio.Task[None] | None = None
        self._link.on_back.append(self._news.set)

    def start(self) -> None:
        """Begin to wait."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End. The link should be closed after it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def receive_own(self) -> None:
        """Receive the messages of this process's clients from now on."""
        if not self._own:
            self._own = True
            self._look_again(self._own_queue)

    async def receive(self, queues: list[str], timeout: float) -> tuple[str, Message] | None:
        """Return the next message of one of `queues` with its channel; None after `timeout` s."""
        kept = self.take_kept(queues)
        if kept is not None:
            return kept
        future: asyncio.Future[tuple[str, Message]] = asyncio.get_running_loop().create_future()
        for queue in queues:
            self._wanted.setdefault(queue, deque()).append(future)
            self._look_again(queue)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return None
        finally:
            for queue in queues:
                self._wanted[queue].remove(future)
                if not self._wanted[queue]:
                    del self._wanted[queue]
            if future.done() and not future.cancelled() and _interrupted():
                self.keep(*future.result())

    def take_kept(self, queues: list[str]) -> tuple[str, Message] | None:
        """Return a message that is here already; None if there is none."""
        now = self._redis_time()
        for queue in queues:
            kept = self._kept.get(queue)
            while kept:
                expires, channel, message = kept.popleft()
                if not kept:
                    del self._kept[queue]
                if expires > now:
                    return channel, message
        return None

    def forget(self) -> None:
        """Drop what is kept here."""
        self._kept.clear()

    # --------------------------------------------------------- the task

    def _look_again(self, queue: str) -> None:
        """Have Redis wait for `queue`, too."""
        self._news.set()
        if self._waited_for is not None and queue not in self._waited_for:
            self._waited_for = None
            self._unblock()

    def _unblock(self) -> None:
        """End the wait; again, if Redis has not begun it yet."""
        if self._waited_for is None and self._link.up:
            self._link.unblock()
            asyncio.get_running_loop().call_later(_UNBLOCK_AGAIN, self._unblock_again)

    def _unblock_again(self) -> None:
        if self._blocked:
            self._unblock()

    _blocked = False

    async def _run(self) -> None:
        while True:
            self._news.clear()
            queues = [self._own_queue, *self._wanted] if self._own else list(self._wanted)
            if not queues or not self._link.up:
                await self._news.wait()
                continue
            try:
                await self._measure_clock()
                await self._wait(queues)
            except LayerUnavailable:
                continue  # the link has logged it, and tells us when it is back

    _measured = 0.0

    async def _measure_clock(self) -> None:
        """Ask Redis for its time, once a minute."""
        if time.monotonic() - self._measured > 60:
            seconds, micros = await self._link.call("TIME")
            self._ahead = int(seconds) + int(micros) / 1e6 - time.time()
            self._measured = time.monotonic()

    def _redis_time(self) -> float:
        return time.time() + self._ahead

    async def _wait(self, queues: list[str]) -> None:
        self._waited_for = queues
        self._blocked = True
        count = BATCH if queues == [self._own_queue] else 1
        keys = [self._key_start + queue for queue in queues]
        try:
            answer = await self._link.wait("BLMPOP", 0, len(keys), *keys, "LEFT", "COUNT", count)
        finally:
            self._blocked = False
            self._waited_for = None
        if answer is not None:
            key, elements = answer
            for element in elements:
                self._take(key, element)

    def _take(self, key: bytes, element: bytes) -> None:
        try:
            found = decode(element, self._limit)
        except Unreadable as error:
            logger.error("a message in Redis, at %s, was dropped: %s", key.decode(), error)
            return
        if found.expires <= self._redis_time():
            logger.warning("a message to %s came too late, and was dropped", found.channels[:5])
        elif queue_of(found.channels[0]) == self._own_queue:
            for channel in found.channels:
                self._deliver(channel, found.message)
        else:
            self._hand_out(key, element, found)

    def _hand_out(self, key: bytes, element: bytes, found: Element) -> None:
        """Give a message to the first that waits for its queue; put it back if nobody does."""
        queue = queue_of(found.channels[0])
        for future in self._wanted.get(queue, ()):
            if not future.done():
                first, *others = found.channels
                future.set_result((first, found.message))
                for channel in others:
                    self.keep(channel, found.message, found.expires)
                return
        self._link.post("LPUSH", key, element)

    def keep(self, channel: str, message: Message, expires: float = float("inf")) -> None:
        """Keep a message for the next that asks for its queue."""
        queue = queue_of(channel)
        self._kept.setdefault(queue, deque()).append((expires, channel, message))


def _interrupted() -> bool:
    """Whether the current task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
