"""Copies in the loop: those that wait, and those that are made (M10)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context
from random import random
from time import monotonic, perf_counter
from typing import Any, Final

from bridge.cutover.route import NEW, OLD, SHADOW
from bridge.cutover.shadow.copying.asking import NoAnswer, TooLong, ask
from bridge.cutover.shadow.copying.comparing import Answers, Comparer
from bridge.cutover.shadow.copying.counts import Counts
from bridge.cutover.shadow.copying.kept import Kept
from bridge.cutover.shadow.copying.loop_threads import (
    CopyThreads,
    OfCopy,
    divert,
    find_limiter,
    most_at_once,
)
from bridge.cutover.shadow.copying.marks import copied_scope
from bridge.cutover.shadow.copying.own_threads import held_threads, with_own_threads
from bridge.cutover.shadow.copying.settings import RouteShadow, Shadow
from bridge.cutover.shadow.methods import overrides_method
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse, request_from_scope
from bridge.cutover.table import Table
from bridge.dispatcher import MountedApp
from bridge.log import logger
from bridge.runners import Runner
from bridge.types import ASGIApp, Scope

#: Seconds from an answer to its copy: so many are begun by one wake of the loop.
_DELAY: Final = 0.01
#: Seconds from one look at the switches to the next, while there are copies.
_LOOK: Final = 0.05
#: As long as nothing goes on.
_LONG_LOOK: Final = 0.5
#: Seconds that copies which were given up may hold all that there is for copies.
_PATIENCE: Final = 1.0
#: For each copy that may be made at once, so many may wait.
_WAITING_EACH: Final = 4
#: Seconds from one exception of the new app in the log to the next.
_TOLD_EACH: Final = 5.0


class _Jam:
    """Whether copies that were given up leave no room for others, and have for a while."""

    def __init__(self) -> None:
        self.is_on = False
        self._since: float | None = None
        self._told = False

    def note(self, goes_on: bool, held: int) -> None:
        """Note whether a copy is being made, or could be, and what those before it hold."""
        if goes_on or not held:
            self.is_on, self._since = False, None
        elif self._since is None:
            self._since = monotonic()
        elif not self.is_on and monotonic() - self._since > _PATIENCE:
            self.is_on = True
            if not self._told:
                self._told = True
                logger.warning(
                    "the new app still works on %d copies that took too long, maybe in threads "
                    "that hang; there are no others until it has ended some",
                    held,
                )


class Maker:
    """Asks the new app what the old one has answered, and hands both answers to the `comparer`."""

    def __init__(
        self,
        sides: Mapping[str, MountedApp],
        settings: Shadow,
        table: Callable[[], Table],
        tally: Counts,
        comparer: Comparer,
    ) -> None:
        self._sides = sides
        self._settings = settings
        self._table = table
        self._tally = tally
        self._comparer = comparer
        self._waiting: deque[Kept] = deque()
        self._most_waiting = settings.concurrency * _WAITING_EACH
        #: The copies that are being made, each with what it copies.
        self._copying: dict[asyncio.Task[None], Kept] = {}
        #: Calls of apps that have not ended, those among them that were given up.
        self._calls: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Somebody has asked for a look at those that wait.
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._seen: Table | None = None
        #: Both apps as copies call them.
        self._apps: dict[str, tuple[ASGIApp, list[Runner]]] = {}
        #: For what async apps have run in threads, and the copies that may have something there.
        self._threads = CopyThreads(settings.concurrency)
        self._open: list[OfCopy] = []
        self._limiter: Any = None
        self._jam = _Jam()
        self._next_told = 0.0
        self._stopped = False

    # --------------------------------------------------------- what requests ask

    def refuses(self) -> str:
        """Return why there can be no copy now; empty if there can."""
        if self._stopped:
            return "stopped"
        if self._jam.is_on:
            return "hanging"
        return "busy" if len(self._waiting) >= self._most_waiting else ""

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make copies in this loop from now on."""
        if self._loop is not loop:
            self._begin_in(loop)

    def take(self, kept: Kept, *, in_loop: bool) -> None:
        """Have a copy made of what was kept (`Taker`); any thread may."""
        if in_loop:
            try:
                self.use_loop(asyncio.get_running_loop())
            except RuntimeError:
                kept.drop("no-loop")
                return
        if self._stopped:
            kept.drop("stopped")
            return
        loop = self._loop
        assert loop is not None
        self._waiting.append(kept)
        if not self._asked:
            self._asked = True
            if in_loop:
                self._look_soon()
                return
            try:
                loop.call_soon_threadsafe(self._look_soon, context=Context())
            except RuntimeError:  # it is closed
                kept.drop("stopped")

    # --------------------------------------------------------- in the loop

    def _begin_in(self, loop: asyncio.AbstractEventLoop) -> None:
        divert(loop)
        self._limiter = None
        self._give_up()
        self._loop, self._timer, self._asked = loop, None, False
        self._copying, self._calls, self._apps, self._open = {}, set(), {}, []

    def _look_soon(self, delay: float = _DELAY) -> None:
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(delay, self._look, context=Context())

    def _look(self) -> None:
        """Begin one copy if there is room, and come again if there is something to do."""
        self._timer = None
        if self._stopped:
            return
        table = self._table()
        if table is not self._seen:
            self._seen = table
            self._drop_switched()
        held = self._held()
        has_room = self._has_room(held)
        self._jam.note(has_room or bool(self._copying), held)
        if self._jam.is_on:
            self._drop_waiting("hanging")
        begun = has_room and bool(self._waiting)
        if begun:
            self._begin(self._waiting.popleft())
        if self._waiting or self._copying:
            # One in each turn of the loop, so that requests of clients come between them.
            self._look_soon(0 if begun and self._waiting else _DELAY if has_room else _LOOK)
            return
        if self._jam.is_on:
            self._look_soon(_LONG_LOOK)
            return
        self._asked = False
        if self._waiting:  # a thread has come between
            self._asked = True
            self._look_soon()

    def _held(self) -> int:
        """Return how many copies the app works on, or threads of it, with those given up."""
        self._open = [each for each in self._open if each.is_open]
        pools = [held_threads(runners) for _, runners in self._apps.values()]
        return max([len(self._open), *pools])

    def _has_room(self, held: int) -> bool:
        most = most_at_once(self._settings.concurrency, self._limiter)
        return max(len(self._copying), held) < most

    def _is_wanted(self, kept: Kept) -> bool:
        route = self._table().route(kept.route.name)
        return route is not None and route.mode == SHADOW

    def _drop_switched(self) -> None:
        for task, kept in self._copying.items():
            if not self._is_wanted(kept):
                task.cancel()
        for kept in [*self._waiting]:
            if not self._is_wanted(kept):
                self._waiting.remove(kept)
                kept.drop("stopped")

    def _drop_waiting(self, reason: str) -> None:
        while self._waiting:
            self._waiting.popleft().drop(reason)

    def _begin(self, kept: Kept) -> None:
        assert self._loop is not None
        if not self._is_wanted(kept):  # it began before the switch, and ended after it
            kept.drop("stopped")
            return
        if perf_counter() - kept.started - kept.seconds > self._settings.timeout:
            kept.drop("late")
            return
        task = self._loop.create_task(self._copy(kept), context=Context())
        self._copying[task] = kept
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        kept = self._copying.pop(task, None)
        if kept is not None and task.cancelled():
            kept.drop("stopped")
        elif not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a copy was not made", exc_info=error)  # a bug here
            if kept is not None:
                kept.drop("unfinished")
        if self._waiting and self._timer is not None:  # not only when the timer says so
            self._timer.cancel()
            self._timer = None
            self._look_soon(0)

    # --------------------------------------------------------- one copy

    async def _copy(self, kept: Kept) -> None:
        route = kept.route
        settings = (route.shadow or RouteShadow()).over(self._settings)
        scope = kept.request_scope()
        request = request_from_scope(scope)
        if overrides_method(request, kept.body):
            kept.drop("method-override")
            return
        again = new = None
        failure = ""
        try:
            if settings.noise and random() * 100 < settings.noise:
                again = await self._ask_again(kept, scope)
            new = await self._ask(NEW, kept, scope)
        except TooLong as error:
            kept.drop(str(error))
            return
        except NoAnswer as error:
            failure = str(error)
            self._tell(route.name, error)
        self._hand_over(kept, settings, request, (new, again), failure)

    async def _ask_again(self, kept: Kept, scope: Scope) -> RecordedResponse | None:
        """Ask the old app once more; what it does not answer twice is no noise."""
        try:
            return await self._ask(OLD, kept, scope)
        except NoAnswer:
            return None

    async def _ask(self, side: str, kept: Kept, scope: Scope) -> RecordedResponse:
        settings = self._settings
        app = self._app(side)
        if self._limiter is None:
            self._limiter = find_limiter()
        of_copy = OfCopy(self._threads)
        self._open.append(of_copy)
        copied = self._sides[side].child_scope(copied_scope(scope, kept.route.name, side))
        return await ask(
            app,
            copied,
            kept.body,
            settings.max_response_body,
            settings.timeout,
            kept.hold,
            self._watch,
            of_copy,
        )

    def _app(self, side: str) -> ASGIApp:
        if side not in self._apps:  # the server has said by now how it runs
            app = self._sides[side].served
            self._apps[side] = with_own_threads(app, self._settings.concurrency)
        return self._apps[side][0]

    def _watch(self, task: asyncio.Task[None]) -> None:
        self._calls.add(task)
        task.add_done_callback(self._call_ended)

    def _call_ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # it was told, if it matters

    def _tell(self, route: str, error: NoAnswer) -> None:
        """Say in the log what the new app has raised, but not for each of a thousand copies."""
        if error.__cause__ is not None and monotonic() >= self._next_told:
            self._next_told = monotonic() + _TOLD_EACH
            logger.error("a copy of route %s: %s", route, error, exc_info=error.__cause__)

    def _hand_over(
        self,
        kept: Kept,
        settings: RouteShadow,
        request: RecordedRequest,
        answers: tuple[RecordedResponse | None, RecordedResponse | None],
        failure: str,
    ) -> None:
        new, again = answers
        try:
            old = kept.response()
        except ValueError:  # a status that is none: the server has answered 500
            kept.drop("unfinished")
            return
        self._comparer.put(
            Answers(
                kept.route.name, settings, request, old, new, again, failure,
                kept.release,
            )
        )  # fmt: skip

    # --------------------------------------------------------- the life of the server

    def start(self) -> None:
        """Take copies again."""
        self._stopped = False
        self._apps = {}
        self._jam = _Jam()

    async def stop(self) -> None:
        """Cancel all copies; an app that does not end when it is cancelled is left alone."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._asked = False
        self._drop_waiting("stopped")
        for task in [*self._copying, *self._calls]:
            task.cancel()
        await asyncio.sleep(0)
        self._give_up()
        for _, runners in self._apps.values():
            for runner in runners:
                await runner.stop(0)
        self._apps = {}

    def _give_up(self) -> None:
        """Have Python say nothing of calls that do not end: it is known, and nobody waits."""
        for task in self._calls:
            given_up: Any = task
            given_up._log_destroy_pending = False
