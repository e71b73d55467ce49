"""Waits for messages from Redis, for all tasks that want some in this process (rule L8).

One task waits for all queues that are wanted, by one command, and does nothing while none comes. A
message goes to the first that waits for its queue; one of a client of this process to that client.

Nothing is taken out of Redis that nobody here waits for, but for the queues of this process. If it
happens all the same, because a reader was cancelled while Redis sent it a message, the message goes
to the next reader, or back to where it was.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from bridge.channels.redis import scripts
from bridge.channels.redis.connection import Refused
from bridge.channels.redis.encoding import Element, Unreadable, decode, element_for
from bridge.channels.redis.link import Link
from bridge.errors import LayerUnavailable, pluralize
from bridge.log import logger
from bridge.types import Message

#: The most messages of this process's clients that are fetched at once.
BATCH: Final = 128
#: The bytes that such a batch should have at most. It becomes smaller if it has more.
BATCH_SIZE: Final = 1024 * 1024
#: Seconds after which Redis is told that a queue is not wanted any more. Mostly it is again before.
_LINGER: Final = 0.05
#: Seconds that the last wait may take to end.
_LAST_WAIT: Final = 1.0
#: Seconds before Redis is asked again after it has refused.
_REFUSED_PAUSE: Final = 1.0
#: Seconds after which Redis' clock is looked at again.
_CLOCK_EVERY: Final = 60.0

#: Takes the messages of this process's clients: the channel, and the message.
DeliverLocal = Callable[[str, Message], object]


class Taken(NamedTuple):
    """A message that was taken out of a queue, and what it was there, to be put back."""

    channel: str
    message: Message
    queue: str
    element: bytes


class Receiver:
    """The task that waits. `key_start` is what the keys of queues begin with."""

    def __init__(self, link: Link, key_start: str, expiry: int, deliver: DeliverLocal) -> None:
        self._link = link
        self._key_start = key_start
        self._expiry = expiry
        self._deliver = deliver
        #: The queues of this process that are received.
        self.own: set[str] = set()
        #: queue -> the futures that wait for its next message, as keys, in their order.
        self._wanted: dict[str, dict[asyncio.Future[Taken | None], None]] = {}
        #: The queues that Redis waits for now; empty if for none.
        self._waited_for: frozenset[str] = frozenset()
        self._news = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        #: How many messages of this process's clients are fetched at once.
        self._batch = BATCH
        self._waits = 0
        self._clock = _Clock(link)
        #: The last answer of Redis to something that was put back.
        self._putting_back: asyncio.Future[int] | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        link.on_back.append(self._news.set)

    # --------------------------------------------------------- begin and end

    def start(self) -> None:
        """Begin to wait."""
        self._task = asyncio.create_task(self._run())

    def look(self) -> None:
        """Look whether there is something to wait for, and a connection."""
        self._news.set()

    async def stop(self) -> None:
        """End; what the last wait brings is not lost. The link should be closed after it."""
        self._stopping = True
        for queue in list(self._wanted):
            self._fail_readers(queue, "the channel layer was closed")
        if self._task is None:
            return
        self._news.set()
        self._link.unblock()
        await asyncio.wait([self._task], timeout=_LAST_WAIT)
        self._task.cancel()
        await asyncio.wait([self._task])

    def receive_own(self, queue: str) -> None:
        """Receive the messages of `queue`, one of this process, from now on."""
        if queue not in self.own:
            self.own.add(queue)
            self._look_again(queue)

    # --------------------------------------------------------- readers

    async def take(self, queues: Sequence[str]) -> Taken | None:
        """Return a message that is there, and does not expire before; None if there is none."""
        keys = [self._key_start + each for each in queues]

        def put_back(answer: tuple[int, bytes] | None) -> None:
            if answer is not None:
                self._put_back(queues[answer[0] - 1], [answer[1]])

        while True:
            future = self._link.run(scripts.RECEIVE, keys, [], put_back)
            try:
                answer = await future
            except asyncio.CancelledError:
                if not future.cancelled() and future.exception() is None:
                    put_back(future.result())  # cancelled in the moment in which it came
                raise
            if answer is None:
                return None
            queue, element = queues[answer[0] - 1], answer[1]
            found = self._decode(queue, element)
            if found is not None:
                taken, others = _for_first(queue, element, found)
                if others is not None:
                    self._put_back(queue, [others])
                return taken

    async def receive(self, queues: Sequence[str], timeout: float) -> Taken | None:
        """Return the next message of one of `queues`; None after `timeout` seconds."""
        self._link.check()
        if self._stopping:
            raise LayerUnavailable("the channel layer was closed")
        if self._waited_for and not self._waited_for.issuperset(queues):
            taken = await self.take(queues)  # cheaper than to have Redis wait for others
            if taken is not None:
                return taken
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Taken | None] = loop.create_future()
        timer = loop.call_later(timeout, _give_up, future)
        for queue in queues:
            self._wanted.setdefault(queue, {})[future] = None
            self._look_again(queue)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None:
                self.give_back(future.result())  # cancelled in the moment in which it came
            raise
        finally:
            timer.cancel()
            self._leave(future, queues)

    def _leave(self, future: asyncio.Future[Taken | None], queues: Sequence[str]) -> None:
        for queue in queues:
            waiting = self._wanted.get(queue)
            if waiting is not None:
                waiting.pop(future, None)
                if not waiting:
                    del self._wanted[queue]
        if self._lingering is None and not self._all_wanted():
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(_LINGER, self._end_lingering)

    def _end_lingering(self) -> None:
        """Have Redis wait no more for queues that nobody wants."""
        self._lingering = None
        if not self._all_wanted():
            self._link.unblock()

    def give_back(self, taken: Taken | None) -> None:
        """Give a message that its reader cannot take to the next, or put it back."""
        if taken is not None and not self._hand(taken):
            self._put_back(taken.queue, [taken.element])

    def _hand(self, taken: Taken) -> bool:
        """Give a message to the first that waits for its queue; False if nobody does."""
        for future in self._wanted.get(taken.queue, ()):
            if not future.done():
                future.set_result(taken)
                return True
        return False

    def _put_back(self, queue: str, elements: list[bytes]) -> None:
        def look(answer: asyncio.Future[int]) -> None:
            error = None if answer.cancelled() else answer.exception()
            if error is not None:
                _tell_lost(queue, elements, error)

        args = [self._expiry, *elements]
        try:
            answer = self._link.run(scripts.PUT_BACK, [self._key_start + queue], args)
        except LayerUnavailable as error:
            _tell_lost(queue, elements, error)
        else:
            self._putting_back = answer
            answer.add_done_callback(look)

    # --------------------------------------------------------- the task

    def _queues(self) -> list[str]:
        waiting = self._wanted.items()
        return [*self.own, *(queue for queue, futures in waiting if _count(futures, 1))]

    def _all_wanted(self) -> bool:
        """Whether somebody wants each queue that Redis waits for."""
        return all(each in self.own or each in self._wanted for each in self._waited_for)

    def _look_again(self, queue: str) -> None:
        """Have Redis wait for `queue`, too."""
        self._news.set()
        if self._waited_for and queue not in self._waited_for:
            self._link.unblock()

    async def _run(self) -> None:
        while not self._stopping:
            self._news.clear()
            queues = self._queues()
            if not queues or not self._link.up:
                await self._news.wait()
                continue
            if self._putting_back is not None:
                # Else what stood behind it might be taken before it is back.
                await asyncio.wait([self._putting_back])
                self._putting_back = None
                continue
            try:
                await self._try_to_wait(queues)
            except LayerUnavailable:
                continue  # the link has logged it, and tells us when it is back

    async def _try_to_wait(self, queues: list[str]) -> None:
        try:
            await self._wait(queues)
        except Refused as error:
            await self._refused(error, queues)

    async def _wait(self, queues: list[str]) -> None:
        """Wait for a message of one of `queues`, and hand out what comes."""
        self._waits += 1
        first = self._waits % len(queues)  # so that none starves: Redis looks in this order
        queues = queues[first:] + queues[:first]
        count, batch = min(self._most(queue) for queue in queues), self._batch
        keys = [self._key_start + queue for queue in queues]
        self._waited_for = frozenset(queues)
        try:
            answer = await self._link.wait("BLMPOP", 0, len(keys), *keys, "LEFT", "COUNT", count)
            if answer is not None:
                queue = queues[keys.index(answer[0].decode())]
                if queue not in self.own:
                    await self._hand_out(queue, answer[1])
                    return
                await self._hand_to_clients(queue, answer[1])
                if count < batch:  # others were waited for, too
                    more = await self._link.wait("LPOP", answer[0], batch)
                    await self._hand_to_clients(queue, more or [])
        except LayerUnavailable:
            logger.error(
                "if Redis was just sending to this process, up to %s may be lost, to %s",
                pluralize(count, "message"),
                ", ".join(sorted(queues)[:5]),
            )
            raise
        finally:
            self._waited_for = frozenset()

    def _most(self, queue: str) -> int:
        """Return how many messages of `queue` can be taken now."""
        return self._batch if queue in self.own else _count(self._wanted[queue], BATCH)

    async def _hand_to_clients(self, queue: str, elements: list[bytes]) -> None:
        size = sum(map(len, elements))
        if size > BATCH_SIZE:
            self._batch = max(1, len(elements) * BATCH_SIZE // size)
        elif self._batch < BATCH:
            self._batch = min(2 * self._batch, BATCH)
        for element in elements:
            found = self._decode(queue, element)
            if found is not None and not await self._is_late(found):
                for channel in found.channels:
                    self._deliver(channel, found.message)

    async def _hand_out(self, queue: str, elements: list[bytes]) -> None:
        left = deque(elements)
        while left:
            element = left.popleft()
            found = self._decode(queue, element)
            if found is None or await self._is_late(found):
                continue
            taken, others = _for_first(queue, element, found)
            if not self._hand(taken):
                self._put_back(queue, [element, *left])
                return
            if others is not None:
                left.appendleft(others)

    async def _is_late(self, found: Element) -> bool:
        late = self._clock.may_be_past(found.expires) and await self._clock.is_past(found.expires)
        if late:
            logger.warning(
                "a message to %s was dropped: nothing read it in time",
                ", ".join(found.channels[:5]),
            )
        return late

    def _decode(self, queue: str, element: bytes) -> Element | None:
        try:
            return decode(element, queue)
        except Unreadable as error:
            key = self._key_start + queue
            logger.error("a message in Redis, in the list %s, was dropped: %s", key, error)
            return None

    def _fail_readers(self, queue: str, text: str) -> None:
        for future in [each for each in self._wanted.pop(queue, ()) if not each.done()]:
            future.set_exception(LayerUnavailable(text))

    async def _refused(self, error: Refused, queues: list[str]) -> None:
        """Tell all that wait that Redis refuses, or find the queue that it refuses."""
        wrong = queues
        if error.code == "WRONGTYPE":
            keys = [self._key_start + each for each in queues]
            fits = await self._link.run(scripts.MAY_BE_LISTS, keys, [])
            wrong = [queue for queue, may_be in zip(queues, fits, strict=True) if not may_be]
        for queue in wrong:
            key = self._key_start + queue
            text = f"Redis at {self._link.shown} refuses to give messages of {key}: {error}"
            self._fail_readers(queue, text)
            if queue in self.own:
                logger.error("%s", text)
                if error.code == "WRONGTYPE":
                    self._link.post("UNLINK", key)  # nobody else's name begins with it
        if error.code != "WRONGTYPE":
            await asyncio.sleep(_REFUSED_PAUSE)


class _Clock:
    """Redis' clock, as far as it is known here."""

    def __init__(self, link: Link) -> None:
        self._link = link
        #: Seconds that it is ahead of our monotonic clock.
        self._ahead = 0.0
        self._looked = float("-inf")

    def may_be_past(self, expires: float) -> bool:
        """Whether `is_past` has to be asked."""
        now = time.monotonic()
        return now - self._looked > _CLOCK_EVERY or expires <= now + self._ahead

    async def is_past(self, expires: float) -> bool:
        """Whether a time is past, by the clock as it is now: it, or ours, may have been set."""
        try:
            seconds, micros = await self._link.call("TIME")
        except (LayerUnavailable, Refused):
            return False
        self._looked = time.monotonic()
        self._ahead = int(seconds) + int(micros) / 1e6 - self._looked
        return expires <= self._looked + self._ahead


def _for_first(queue: str, element: bytes, found: Element) -> tuple[Taken, bytes | None]:
    """Return the message for the first of its channels, and the element for the others."""
    first, *others = found.channels
    if not others:
        return Taken(first, found.message, queue, element), None
    alone, rest = (element_for(channels, element, found.message) for channels in ([first], others))
    return Taken(first, found.message, queue, alone), rest


def _count(futures: Iterable[asyncio.Future[Taken | None]], most: int) -> int:
    """Return how many of `futures` are not done, up to `most`."""
    return sum(1 for _ in itertools.islice((each for each in futures if not each.done()), most))


def _tell_lost(queue: str, elements: list[bytes], error: BaseException) -> None:
    number = pluralize(len(elements), "message")
    logger.error("%s to %s could not be put back, and may be lost: %s", number, queue, error)


def _give_up(future: asyncio.Future[Taken | None]) -> None:
    if not future.done():
        future.set_result(None)
