"""The canary of one process that serves by itself: it counts, judges, and switches (M20-M22).

There is no timer. Whatever a gate or a step needs comes with requests, so that the end of a request
is the time to look, at most once a second; it works in any thread and on any server.

All that is decided here is one process's. Where several workers share the work, each would count
its own requests, and go its own way. So the workers of our server have a `CountingCanary`, which
decides nothing: their supervisor does (`server/process/ramp/`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import randrange
from threading import Lock, Thread
from time import monotonic
from types import FrameType
from typing import Final, NamedTuple

from bridge.cutover.canary.controller import Change, Controller, Standing
from bridge.cutover.canary.counts import Sides, Tally
from bridge.cutover.canary.hook import Rollback, call_hook
from bridge.cutover.canary.stickiness import cookie_field
from bridge.cutover.observed.board import Board
from bridge.cutover.observed.failures import FailureLog
from bridge.cutover.route import CANARY, NEW, OLD, Route
from bridge.cutover.sides import Choice
from bridge.cutover.switches import Switches
from bridge.errors import ConfigError
from bridge.log import logger
from bridge.types import Scope

#: Seconds from one look to the next.
_EACH: Final = 1.0


class _Tallies(NamedTuple):
    """What was counted of a route as it is switched, by side."""

    route: Route
    sides: dict[str, Tally]


class CountingCanary:
    """A `Canary` that goes by the shares of `switches`, and counts what is to be judged.

    `draw` is `random.randrange`, or stands for it.
    """

    def __init__(self, switches: Switches, draw: Callable[[int], int] = randrange) -> None:
        self._switches = switches
        self._draw = draw
        #: The table that is followed, and what was counted of its routes with a gate since `take`.
        self._table = switches.table
        self._tallies: dict[str, _Tallies] = {}
        #: How many requests the old app has answered instead of the new one, by route.
        self.rescues: dict[str, int] = {}
        self._failures = FailureLog()
        #: Where what is counted is noted until it is told; None: nowhere.
        self.board: Board | None = None
        self._counting = Lock()
        self.follow()

    def follow(self) -> None:
        """Count for the routes that are in force now; what was switched begins with nothing."""
        with self._counting:
            table, known = self._switches.table, self._tallies
            found = {}
            for route in filter(has_gate, table.routes):
                tallies = known.get(route.name)
                if tallies is None or tallies.route is not route:
                    tallies = _Tallies(route, {OLD: Tally(), NEW: Tally()})
                found[route.name] = tallies
            self._table, self._tallies = table, found

    def take(self) -> dict[str, Sides]:
        """Return what was counted since the last call, by route."""
        found = {}
        for name, (route, tallies) in self._tallies.items():
            taken = {side: tally.take() for side, tally in tallies.items()}
            found[name] = Sides(taken[OLD], taken[NEW])
            if self.board is not None:
                for side, counts in taken.items():
                    self.board.told(route, side, counts.requests, counts.failed)
        return found

    def choose(self, route: Route, scope: Scope) -> Choice:
        """Say who answers; a client that has no place yet is given one (`Canary`)."""
        assert route.canary is not None  # `Route` has read both
        assert isinstance(route.share, float)
        headers, client = scope.get("headers", ()), scope.get("client")
        placed = route.canary.sticky.place(headers, client, self._draw)
        side = NEW if placed.on_new(route.share) else OLD
        if not placed.unknown or placed.place is None:
            return Choice(side)
        return Choice(side, cookie_field(placed.place, scope.get("scheme", "http")))

    def observe(self, route: Route, side: str, status: int, seconds: float | None) -> None:
        """Count a request that is over (`Canary`).

        `route` is the object that was in force when it began. One that was switched meanwhile is
        another object: such a request says nothing of what is in force now.
        """
        if self._switches.table is not self._table:
            self.follow()
        tallies = self._tallies.get(route.name)
        if tallies is None or tallies.route is not route:
            return  # nobody judges it
        if status:  # else the client has left
            tallies.sides[side].note(status, seconds)
            if self.board is not None:
                self.board.note(route, side, failed=status >= 500)

    def rescued(self, route: Route, error: Exception) -> None:
        """Note a request that the old app answers instead, and say why (`Canary`)."""
        with self._counting:
            self.rescues[route.name] = self.rescues.get(route.name, 0) + 1
        self._failures.tell(route.name, error)


class LiveCanary(CountingCanary):
    """A canary that also switches the routes of `switches` by their gates and steps.

    `clock` is `time.monotonic`, or stands for it.
    """

    def __init__(
        self,
        switches: Switches,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[int], int] = randrange,
    ) -> None:
        super().__init__(switches, draw)
        self._clock = clock
        self._controller = Controller()
        #: The routes that the controller knows.
        self._known: dict[str, Route] = {}
        self._next_look = 0.0
        self._lock = Lock()
        #: Called with a route that was taken back, as it is then, in a thread of its own.
        self.keep: Callable[[Route], object] | None = None
        self._take_over(clock())

    def observe(self, route: Route, side: str, status: int, seconds: float | None) -> None:
        """Count a request that is over, and look if it is time (`Canary`)."""
        super().observe(route, side, status, seconds)
        if route.name in self._tallies and status and self._clock() >= self._next_look:
            self.look()

    def standing(self, name: str) -> Standing | None:
        """Return how a route stands; None for one that is no canary, or has no gate."""
        return self._controller.standing(name, self._clock())

    def rollbacks(self) -> dict[str, int]:
        """Return how often each route with a gate was taken back."""
        found = {name: self.standing(name) for name in [*self._known]}
        return {name: each.rollbacks for name, each in found.items() if each is not None}

    # --------------------------------------------------------- looks

    def look(self) -> None:
        """Judge what was counted, and switch what has to be; not twice at a time."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            now = self._clock()
            self._next_look = now + _EACH
            self._take_over(now)
            for name, counts in self.take().items():
                self._controller.count(name, counts, now)
            for change in self._controller.look(now):
                self._carry_out(change)
        finally:
            self._lock.release()

    def _take_over(self, now: float) -> None:
        """Tell the controller of routes that a person has switched."""
        routes = {each.name: each for each in self._switches.table.routes if has_gate(each)}
        for name, route in routes.items():
            if self._known.get(name) is not route:
                assert route.canary is not None
                share = route.share if isinstance(route.share, float) else None
                self._controller.use(name, route.canary, route.mode, share, now)
        self._controller.forget({*routes})
        self._known = routes
        self.follow()

    def _carry_out(self, change: Change) -> None:
        """Switch a route, say so, and call the hook."""
        known = self._known[change.route]
        route = self._switches.decide(known, change.mode, change.share)
        if route is None:
            return  # a person was quicker, whom the next look follows
        self._known[change.route] = route
        log_change(change)
        if change.mode == CANARY:
            return
        if self.keep is not None:
            Thread(target=self.keep, args=(route,), name="cutover file", daemon=True).start()
        if route.canary is not None and route.canary.on_rollback is not None:
            event = Rollback(change.route, change.reason, change.before)
            call_hook(route.canary.on_rollback, event)


def has_gate(route: Route) -> bool:
    """Whether its requests are to be counted."""
    return route.canary is not None and route.canary.gate is not None


def log_change(change: Change) -> None:
    """Say in the log what a gate or a step has decided."""
    if change.mode == CANARY:
        logger.info(
            "route %s: %g %% are on the new app now: %s",
            *(change.route, change.share, change.reason),
        )
    else:
        logger.error(
            "route %s: everything goes to the old app, %g %% were on the new one: %s",
            *(change.route, change.before, change.reason),
        )


def refuse_many(route: Route, workers: int) -> None:
    """Raise `ConfigError` if it has a gate, and this is one of several `workers` of its server.

    Nobody there decides for all of them.
    """
    if workers > 1 and has_gate(route):
        raise ConfigError(
            f"route {route.name} has a gate, and this server has {workers} workers, each of "
            "which would decide for itself; serve with one, or with asgi-bridge serve "
            f"--workers {workers}, or leave gate and steps away and set the share by hand"
        )


def workers_beside() -> int:
    """Return how many workers the server has that is loading us; 1: none that can be seen.

    A process of uvicorn or Hypercorn was started with the settings of its server. A process of
    Gunicorn loads the app from within Gunicorn, which has them.
    """
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        given = getattr(processes.current_process(), "_kwargs", None) or {}
        config = given.get("config")
        if not getattr(config, "reload", False):  # uvicorn has one worker then
            return _number(getattr(config, "workers", 1))
    if "gunicorn" in sys.modules:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if str(frame.f_globals.get("__name__")).startswith("gunicorn."):
                settings = getattr(frame.f_locals.get("self"), "cfg", None)
                if settings is not None:
                    return _number(settings.workers)
            frame = frame.f_back
    return 1


def _number(value: object) -> int:
    return value if isinstance(value, int) else 1
