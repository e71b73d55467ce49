"""The requests of one gateway that no worker has taken yet (rule L10).

A request is put into the queue of all workers, and ends there in one of these ways, each of them
once: a worker takes it; its time is up, or its client leaves, and it is withdrawn; or the worker
that has read it dies. `keys.py` says how Redis decides between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Final

from bridge.channels.redis.connection import Refused
from bridge.errors import BridgeError, LayerUnavailable, Overloaded, pluralize
from bridge.gateway import scripts
from bridge.gateway.bus import Bus
from bridge.gateway.keys import GROUP
from bridge.gateway.protocol import RequestWriter
from bridge.gateway.session import Session, SessionLost
from bridge.log import logger
from bridge.types import Message, Scope

#: Seconds between two looks at all that waits.
TICK: Final = 0.25
#: Seconds that a request whose worker is not known may be neither in the queue nor taken.
LOST_AFTER: Final = 2.0
#: The most requests that are put into the queue in one step of Redis.
MOST_ASKED: Final = 100
#: The most requests that a worker can have read, and not taken.
_MOST_PENDING: Final = 10_000


class Unanswered(Overloaded):
    """No worker has taken a request in time."""


class QueueFull(Overloaded):
    """As many requests wait for a worker as may."""


class Waiting:
    """A request in the queue."""

    __slots__ = ("claimed", "deadline", "entry", "number")

    #: The worker that has it; "" as long as none has.
    peer: str
    #: Whether it is over for who has asked.
    is_over: bool

    #: When its time is up.
    deadline: float

    def __init__(self, number: int) -> None:
        #: The number of its session.
        self.number = number
        #: Its number in the stream, once Redis has told.
        self.entry: bytes | None = None
        #: It was to be withdrawn, and could not be: a worker has it.
        self.claimed = False

    def lose(self, error: BridgeError) -> None:
        """End it because of `error`."""
        raise NotImplementedError


class WaitingSession(Waiting):
    """A request that has a session from the beginning."""

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        super().__init__(session.number)
        self.session = session

    @property
    def peer(self) -> str:  # type: ignore[override]
        """Return the worker that has it."""
        return self.session.peer

    @property
    def is_over(self) -> bool:  # type: ignore[override]
        """Return whether its session is over."""
        return self.session.over is not None

    def lose(self, error: BridgeError) -> None:
        """End the session."""
        self.session.lose(error)


class WaitingRequests:
    """The requests of `bus`, a gateway's, that wait: at most `limit` of all, each for `timeout`."""

    def __init__(self, bus: Bus, limit: int, timeout: float) -> None:
        self._bus = bus
        self._limit = limit
        self._timeout = timeout
        #: For the requests of this gateway.
        self.writer = RequestWriter(bus.name)
        self._waiting: dict[int, Waiting] = {}
        #: Takes note that a request of that number does not wait any more, if it does.
        self.drop: Callable[[int, None], object] = self._waiting.pop
        #: Those of this turn of the loop, what is put into the queue for them, and when their time
        #: is up.
        self._asking: list[Waiting] = []
        self._requests: list[bytes] = []
        self._deadline = 0.0
        #: The workers that have read requests and not taken them.
        self._readers: set[str] = set()
        #: Refused since the last tick, for the log.
        self._refused: dict[str, int] = {}
        bus.on_lost.append(self._waiting.clear)
        bus.on_back.append(self._withdraw_all)
        bus.on_dead.append(self._on_dead)
        bus.also_watched = self._readers.__iter__

    def ask(self, scope: Scope, events: list[Message], on_taken: Callable[[], None]) -> Session:
        """Put a request into the queue; the session is over if that fails, or nobody takes it.

        `on_taken` is called when a worker has taken it. Raises `LayerUnavailable` if Redis is gone,
        TypeError for a scope that cannot be written.
        """
        session = self._bus.ask(events)
        try:
            request = self.writer.end(self.writer.begin(scope), session.number, events)
        except BaseException:
            session.leave()
            raise
        session.on_taken = partial(self._on_taken, session, on_taken)
        self.put(WaitingSession(session), request)
        return session

    def put(self, waiting: Waiting, request: bytes) -> None:
        """Put `request` into the queue, with all others of this turn of the loop."""
        if not self._asking:
            loop = asyncio.get_running_loop()
            self._deadline = loop.time() + self._timeout
            loop.call_soon(self._ask_all)
        waiting.deadline = self._deadline
        self._waiting[waiting.number] = waiting
        self._asking.append(waiting)
        self._requests.append(request)

    def _ask_all(self) -> None:
        """Put the requests of one turn of the loop into the queue, in as few steps as possible."""
        asking, self._asking = self._asking, []
        requests, self._requests = self._requests, []
        bus = self._bus
        for start in range(0, len(asking), MOST_ASKED):
            some = asking[start : start + MOST_ASKED]
            arguments = [self._limit, bus.name, *requests[start : start + MOST_ASKED]]
            try:
                asked = bus.link.run(scripts.ASK, [bus.keys.requests], arguments)
            except LayerUnavailable as error:
                for each in some:
                    self._give_up(each, error)
            else:
                asked.add_done_callback(partial(self._on_asked, some))

    def _on_taken(self, session: Session, on_taken: Callable[[], None]) -> None:
        self.drop(session.number, None)
        on_taken()

    def _on_asked(self, waiting: list[Waiting], asked: asyncio.Future[Any]) -> None:
        error = asked.exception()
        entries = asked.result() if error is None else []
        for each, entry in zip(waiting, entries, strict=False):
            each.entry = entry
            if each.is_over and not each.peer:
                self._withdraw(each)  # it was over before Redis had answered
        refused = list(islice(waiting, len(entries), None))
        if not refused:
            return
        if isinstance(error, Refused):
            self._bus.note_refusal(error)
            error = _refused("a request", error)
        if not isinstance(error, BridgeError):
            error = QueueFull(
                f"{self._limit} requests wait for a worker, the most that --queue-limit allows"
            )
            self._note_refused(str(error), len(refused))
        for each in refused:
            self._give_up(each, error)

    def _note_refused(self, why: str, count: int = 1) -> None:
        self._refused[why] = self._refused.get(why, 0) + count

    def _give_up(self, waiting: Waiting, error: BridgeError) -> None:
        if waiting.peer or waiting.is_over:
            return  # it was taken meanwhile, or lost, or its client has left
        self._waiting.pop(waiting.number, None)
        waiting.lose(error)

    def has(self, number: int) -> bool:
        """Whether the session of that number is not over."""
        return self._bus.has(number)

    # --------------------------------------------------------- withdrawing

    def forget(self, number: int) -> None:
        """Withdraw the request of a client that has left, if no worker has taken it."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None and waiting.entry is not None:
            self._withdraw(waiting)

    def _withdraw(self, waiting: Waiting) -> None:
        with suppress(LayerUnavailable):  # else `_withdraw_all` does it
            self._bus.link.post("XDEL", self._bus.keys.requests, waiting.entry)

    def _withdraw_all(self) -> None:
        """Withdraw what a Redis that is back still has: all of it was answered long ago."""
        keys = [self._bus.keys.requests]
        withdrawn = self._bus.link.run(scripts.WITHDRAW, keys, [self._bus.name])
        withdrawn.add_done_callback(asyncio.Future.exception)  # if it is lost: the next time

    # --------------------------------------------------------- while they wait

    async def tick(self) -> None:
        """Look at all that waits: whose time is up, and which worker may have read it."""
        for why, count in self._refused.items():
            logger.warning("%s got 503: %s", pluralize(count, "request"), why)
        self._refused.clear()
        now = asyncio.get_running_loop().time()
        waiting = list(self._waiting.values())
        for each in waiting:
            if each.deadline <= now and each.entry is not None:
                await self._time_up(each, now)
        soon = now + self._timeout - TICK
        if any(each.deadline <= soon for each in waiting):
            await self._find_readers()
        else:
            self._readers.clear()

    async def _time_up(self, waiting: Waiting, now: float) -> None:
        """Withdraw a request, or find out which worker has it."""
        bus, requests = self._bus, self._bus.keys.requests
        if not waiting.claimed:
            try:
                withdrawn = await bus.link.call("XDEL", requests, waiting.entry)
            except Refused as refusal:
                bus.note_refusal(refusal)
                self._give_up(waiting, _refused("to withdraw a request", refusal))
                return
            if withdrawn:
                error = Unanswered(
                    f"no worker has taken it within {self._timeout:g} s (--timeout-queue)"
                )
                self._note_refused(str(error))
                self._give_up(waiting, error)
                return
            waiting.claimed = True
        try:
            pending = await bus.link.call("XPENDING", requests, GROUP, *[waiting.entry] * 2, 1)
        except Refused:
            pending = []  # there is no group: Redis was emptied
        if pending:
            waiting.deadline = now  # its worker lives, or `_on_dead` is called
        elif waiting.deadline + LOST_AFTER <= now:
            lost = SessionLost("a worker has taken it, and has not said so; or Redis was emptied")
            self._give_up(waiting, lost)

    async def _find_readers(self) -> None:
        """Find the workers that have read requests and not taken them: they are watched."""
        try:
            count, _, _, readers = await self._bus.link.call(
                "XPENDING", self._bus.keys.requests, GROUP
            )
        except Refused:
            count, readers = 0, []  # no worker has ever been here
        self._readers.clear()
        for name, _ in readers if count else ():
            if name.isascii():
                self._readers.add(name.decode())
            else:
                self._on_dead(name)  # no process has such a name

    def _on_dead(self, worker: str | bytes) -> None:
        """Give up what a worker has read and not taken: it is dead."""
        pending = self._bus.link.call(
            "XPENDING", self._bus.keys.requests, GROUP, "-", "+", _MOST_PENDING, worker
        )
        pending.add_done_callback(partial(self._on_pending, worker))

    def _on_pending(self, worker: str | bytes, pending: asyncio.Future[Any]) -> None:
        if pending.exception() is not None:
            return
        entries = {entry[0] for entry in pending.result()}
        for waiting in list(self._waiting.values()):
            if waiting.entry in entries:
                # In this order: it is in the queue of no live worker at any time.
                self._withdraw(waiting)
                with suppress(LayerUnavailable):
                    self._bus.link.post("XACK", self._bus.keys.requests, GROUP, waiting.entry)
                self._give_up(waiting, SessionLost(f"{worker!s}, which was to run it, is gone"))


def _refused(what: str, error: Refused) -> LayerUnavailable:
    return LayerUnavailable(f"Redis refuses {what}: {error}")
