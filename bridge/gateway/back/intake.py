"""How a worker takes requests from the queue of all workers: each once, whoever dies (rule L10).

`keys.py` says in which steps. A worker reads as many requests as it has places, and not more than
`BATCH` at a time, so that other workers get some of a burst. If its app answers all of them without
waiting for anything, or in threads in a moment, it reads more at a time: then there is nothing to
share, and a step of Redis for many requests costs little more than one for a few. While requests
wait for its threads, it does not hurry to read more, for the same reason.

The wait for requests has a connection of its own. Redis can wait for a stream or for a list, not
for both, and the queue of this process, a list, is waited for by the `Bus`; to have one wait cut
short for news of the other would cost a command for each packet. A connection that only waits
costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from bridge.channels.redis.connection import Refused
from bridge.channels.redis.link import Link
from bridge.errors import LayerUnavailable
from bridge.gateway import protocol, scripts
from bridge.gateway.bus import Bus
from bridge.gateway.keys import GROUP
from bridge.gateway.protocol import (
    Request,
    UnreadablePacket,
    UnreadableRequest,
    decode_request,
)
from bridge.log import logger

#: The most requests that are read at once; and from an app that has answered all at once.
BATCH: Final = 8
LARGEST_BATCH: Final = 64
#: Seconds in which an app must have answered all of a batch, or the next is not larger.
_QUICK: Final = 0.002
#: Seconds that one wait for requests lasts, and after which Redis must have answered at the latest.
_WAIT: Final = 5
_ANSWER_LIMIT: Final = 10.0
#: Seconds until the next attempt if Redis was lost, and if it refuses.
_PAUSE: Final = 0.1
_REFUSED_PAUSE: Final = 2.0
#: The longest pause, in seconds, before more is read while the app's threads have enough to do.
_BUSY_PAUSE: Final = 0.001
#: Seconds between attempts to end a wait.
_UNBLOCK_AGAIN: Final = 0.02


class Intake:
    """What takes requests for one worker, while `free` says that it has places.

    `waiter` is a connection of its own; the requests that are this worker's are given to `start`.
    `queued` says how many of them wait for a thread, if the app runs in threads.
    """

    def __init__(
        self,
        bus: Bus,
        waiter: Link,
        free: Callable[[], int],
        start: Callable[[Request], None],
        queued: Callable[[], int] | None = None,
    ) -> None:
        self._bus = bus
        self._waiter = waiter
        self._free = free
        self._start = start
        self._queued = queued
        #: Requests that were read, and whose claim Redis has not answered yet.
        self._claims = 0
        #: The most that are read at once now.
        self._batch = BATCH
        #: Requests may have been read by a wait that broke: they are read again first.
        self._look_back = False
        #: Whether the group of all workers was there when Redis was last asked.
        self._has_group = False
        self._stopping = False
        #: A place is free, Redis is back, a claim was answered, or the end is near.
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and take requests from now on. Raises `LayerUnavailable`."""
        await self._waiter.open()
        self._waiter.on_back.append(self._on_back)
        self._bus.on_back.append(self._on_back)
        self._bus.on_lost.append(self._leave)
        try:
            await self._create_group()
        except Refused as error:
            raise LayerUnavailable(f"Redis refuses to give us requests: {error}") from error
        self._has_group = True
        self._task = asyncio.create_task(self._run())

    def _on_back(self) -> None:
        self._look_back = True
        self._news.set()

    def note_place(self) -> None:
        """Take note that there is a place again."""
        if not self._news.is_set():
            self._news.set()

    def note_slow(self) -> None:
        """Take note that the app takes its time: other workers are to get some of a burst."""
        self._batch = BATCH

    async def stop(self) -> None:
        """Take no more; returns when all that was read was given to `start`, or is not ours."""
        self._stopping = True
        self._news.set()
        if self._task is None:
            return
        while not self._task.done():
            self._waiter.unblock()
            await asyncio.wait([self._task], timeout=_UNBLOCK_AGAIN)
        await self._answered()

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._waiter.close()

    # --------------------------------------------------------- reading

    async def _run(self) -> None:
        while not self._stopping:
            self._news.clear()
            count = min(self._free() - self._claims, self._batch)
            if count <= 0 or not (self._bus.up and self._waiter.up):
                await self._news.wait()
                continue
            if self._queued is not None and self._queued():
                timer = asyncio.get_running_loop().call_later(_BUSY_PAUSE, self._news.set)
                await self._news.wait()
                timer.cancel()
            try:
                await self._read(count)
            except LayerUnavailable:
                self._look_back = True
                await asyncio.sleep(_PAUSE)  # the link has logged it
            except Refused as error:
                if self._has_group:
                    self._has_group = False  # it may be gone, as after a FLUSHALL
                    continue
                logger.error("Redis refuses to give requests to %s: %s", self._bus.name, error)
                await asyncio.sleep(_REFUSED_PAUSE)

    async def _read(self, count: int) -> None:
        """Read requests, those that were read before first, and claim them."""
        if not self._has_group:
            await self._create_group()
        start = "0" if self._look_back else ">"
        silent = asyncio.get_running_loop().call_later(_WAIT + _ANSWER_LIMIT, self._lose)
        try:
            answer = await self._waiter.wait(
                *("XREADGROUP", "GROUP", GROUP, self._bus.name, "COUNT", count),
                *("BLOCK", _WAIT * 1000, "STREAMS", self._bus.keys.requests, start),
            )
        finally:
            silent.cancel()
        self._has_group = True
        entries = answer[0][1] if answer else []
        if not entries and answer is not None:
            self._look_back = False
        self._claim(entries)
        if self._look_back and entries:
            await self._answered()  # else they would be read again

    def _leave(self) -> None:
        """Connect again: the other connections are lost, and what was read with them."""
        self._waiter.lose("is left, as another connection to it was lost")

    def _lose(self) -> None:
        """Connect again: nothing has come by this connection for too long."""
        self._waiter.lose("has not answered a wait for requests")

    async def _answered(self) -> None:
        """Wait until all claims were answered."""
        while self._claims:
            self._news.clear()
            await self._news.wait()

    async def _create_group(self) -> None:
        """Make the group of all workers, if there is none: it begins with what waits already."""
        try:
            requests = self._bus.keys.requests
            await self._bus.link.call("XGROUP", "CREATE", requests, GROUP, "0", "MKSTREAM")
        except Refused as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    # --------------------------------------------------------- claiming

    def _claim(self, entries: list[tuple[bytes, list[bytes] | None]]) -> None:
        """Have Redis say which of the requests that were read are this worker's."""
        bus = self._bus
        read: dict[bytes, Request] = {}
        left: list[bytes] = []
        for number, fields in entries:
            try:
                request = _decode(fields)
            except UnreadablePacket as error:
                request = None
                self._refuse(number, error)
            if request is None:
                left.append(number)
            else:
                read[number] = request
        if left:
            bus.link.post("XACK", bus.keys.requests, GROUP, *left)
        if read:
            claim = bus.link.run(scripts.CLAIM, [bus.keys.requests], list(read))
            self._claims += len(read)
            claim.add_done_callback(partial(self._on_claimed, read))

    def _refuse(self, number: bytes, error: UnreadablePacket) -> None:
        """Have the gateway of a request that is none answer with 502, if it can be told which."""
        bus = self._bus
        what = "was refused" if isinstance(error, UnreadableRequest) else "was left to its gateway"
        where = bus.keys.requests, number.decode()
        logger.error("a request in Redis (%s, %s) %s: %s", *where, what, error)
        if isinstance(error, UnreadableRequest):
            bus.link.post("XDEL", bus.keys.requests, number)
            self._give_up(Request(error.gateway, error.session, {}, []))

    def _give_up(self, request: Request) -> None:
        """Have the gateway of a request that cannot be run answer with 502."""
        session = self._bus.accept(request)
        session.write(protocol.TAKEN, protocol.SESSION)
        session.write(protocol.CANCEL, None)

    def _on_claimed(self, read: dict[bytes, Request], claim: asyncio.Future[Any]) -> None:
        """Run the requests that are ours. Only what Redis has confirmed is: none runs twice."""
        self._claims -= len(read)
        self._news.set()
        if claim.exception() is not None or not self._bus.up:
            self._look_back = True
            return
        now, outbox = asyncio.get_running_loop().time, self._bus.outbox
        free, began = self._free(), now()
        for entry, ours in zip(read, claim.result(), strict=True):
            if ours:
                request = read[entry]
                outbox.note_claim(request.gateway, request.session, entry)
                try:
                    self._start(request)
                except Exception:
                    logger.exception("a request of %s could not be run", request.gateway)
                    self._give_up(request)
            else:
                outbox.acknowledge(entry)
        waits = self._queued is None and self._free() < free
        if waits or now() - began > _QUICK:
            self._batch = BATCH
        elif len(read) == self._batch:
            self._batch = min(2 * self._batch, LARGEST_BATCH)


def _decode(fields: list[bytes] | None) -> Request | None:
    """Return the request of an entry; None if it was withdrawn. Raises `UnreadablePacket`."""
    if fields is None:
        return None
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    if b"r" not in named:
        raise UnreadablePacket(f"it has the fields {sorted(named)!r:.200}, and none is r")
    return decode_request(named[b"r"])
