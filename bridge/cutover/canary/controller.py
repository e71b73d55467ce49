"""One for each server: what the gates and the steps of all routes come to (M21). Pure.

Workers only count, and obey. The controller is handed what they have counted, and says who answers
from now on. So the decision is the same everywhere, and a worker that is replaced forgets nothing.

Nothing of it needs to be kept over a restart: mode and share are kept with the switches. Counts
begin anew, and so does the time of the present step. A route that was taken back has mode ``old``,
and stays there until a person says else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.cutover.canary.counts import Counts, Sides
from bridge.cutover.canary.gates import BREAKS, WAITS, Gate, Verdict, look
from bridge.cutover.canary.settings import CanarySettings
from bridge.cutover.canary.steps import ROLLED_BACK, Climb
from bridge.cutover.canary.window import Window
from bridge.cutover.observed.board import Row
from bridge.cutover.observed.crashes import Crashes

_CANARY: Final = "canary"
_OLD: Final = "old"
_NOT_YET: Final = Verdict(WAITS, "nothing is counted yet")


class Change(NamedTuple):
    """A switch that the controller has decided: `share` is None with mode ``old``."""

    route: str
    mode: str
    share: float | None
    reason: str
    #: The share that was in force before.
    before: float


@dataclass(frozen=True)
class Standing:
    """How one route stands, for the status: the state of its steps, its gate, and why.

    `state` is that of `Climb`, or empty if there are no steps and nothing was taken back.
    """

    state: str
    gate: str
    reason: str
    seconds_left: float
    rollbacks: int


class Controller:
    """Decides for the routes it is told of. Times are those of a clock that the caller reads."""

    def __init__(self) -> None:
        self._routes: dict[str, _Watched] = {}

    def use(
        self, route: str, settings: CanarySettings, mode: str, share: float | None, now: float
    ) -> None:
        """Take over a route as it is set: at the start, and whenever the switches have changed.

        What the controller has decided itself may be told to it again. Anything else was a person's
        decision, which goes before the steps.
        """
        known = self._routes.get(route)
        if known is None or known.settings != settings:
            earlier, known = known, _Watched(settings, now)
            self._routes[route] = known
            if earlier is not None:
                earlier.keep_old()
                known.rollbacks, known.before = earlier.rollbacks, earlier.before
        known.switched(mode, share, now)

    def forget(self, kept: set[str]) -> None:
        """Forget all routes but these."""
        self._routes = {name: each for name, each in self._routes.items() if name in kept}

    def begin_release(self, now: float) -> None:
        """Count anew in each window: another version of the apps answers from now on.

        How far the steps have come stays, and what the old app has done.
        """
        for watched in self._routes.values():
            watched.begin_again(now)

    def count(self, route: str, sides: Sides, now: float) -> None:
        """Add what a worker has counted since it last said so."""
        watched = self._routes.get(route)
        if watched is not None and watched.window is not None:
            watched.window.add(sides, now)

    def lost(self, route: str, row: Row, now: float) -> None:
        """Count what a worker had of a route that has died: what was open has failed."""
        watched = self._routes.get(route)
        if watched is not None and watched.window is not None:
            watched.window.add(lost_sides(row), now)
            watched.crashes.add(row)

    def look(self, now: float) -> list[Change]:
        """Judge all routes, and return what changes; the routes count as changed from now on."""
        changes = []
        for name, watched in self._routes.items():
            change = watched.look(name, now)
            if change is not None:
                changes.append(change)
        return changes

    def standing(self, route: str, now: float) -> Standing | None:
        """Return how a route stands; None if it is not known."""
        watched = self._routes.get(route)
        return None if watched is None else watched.standing(now)


def lost_sides(row: Row) -> Sides:
    """Return what counts of it: of these requests, nobody knows how long they took."""
    old, new = (
        Counts(side.open + side.untold, side.open + side.failed) for side in (row.old, row.new)
    )
    return Sides(old, new)


class _Watched:
    """One route."""

    def __init__(self, settings: CanarySettings, now: float) -> None:
        self.settings = settings
        self.share = 0.0
        self.rollbacks = 0
        #: Counts, if the route is in mode ``canary`` and has a gate.
        self.window: Window | None = None
        #: Workers that have died since the share was set.
        self.crashes = Crashes()
        #: What the old app has done when it last had enough requests.
        self.before: Counts | None = None
        self._climb: Climb | None = None
        self._verdict = _NOT_YET
        #: Why the route was taken back; empty if it was not, or if a person has spoken since.
        self._taken_back = ""

    def switched(self, mode: str, share: float | None, now: float) -> None:
        """Follow the switches."""
        if mode != _CANARY:
            self.keep_old()
            self.window = self._climb = None
            self.share = 0.0
            if mode != _OLD:
                self._taken_back = ""
            return
        asked = share if share is not None else self.settings.first_share or 0.0
        if self._climb is not None and asked != self.share:
            self._climb.go_to(asked, now)
        elif self._climb is None and self.settings.steps is not None:
            self._climb = Climb(self.settings.steps, now, asked)
        if asked != self.share or self.window is None:
            self._begin(asked, now)
        self._taken_back = ""

    def look(self, name: str, now: float) -> Change | None:
        """Judge the counts: back to the old app, one step on, or nothing."""
        gate: Gate | None = self.settings.gate
        if self.window is None or gate is None:
            return None
        before = self.share
        self._verdict = look(gate, self.window, now, self._old_before(gate))
        crashed = self.crashes.reason(self.window.since_start, gate.min_requests)
        if crashed is not None and self._verdict.state != BREAKS:
            self._verdict = Verdict(BREAKS, crashed)
        if self._verdict.state == BREAKS:
            self.keep_old()
            self.window = self._climb = None
            self.share = 0.0
            self.rollbacks += 1
            self._taken_back = self._verdict.reason
            return Change(name, _OLD, None, self._verdict.reason, before)
        share = None if self._climb is None else self._climb.look(now, self._verdict)
        if share is None:
            return None
        self._begin(share, now)
        return Change(name, _CANARY, share, f"the gate held at {before:g} %", before)

    def _begin(self, share: float, now: float) -> None:
        """Count from here on: the share is another one."""
        self.keep_old()
        self.share, self._verdict, self.crashes = share, _NOT_YET, Crashes()
        gate: Gate | None = self.settings.gate
        self.window = None if gate is None else Window(gate.seconds, now)

    def begin_again(self, now: float) -> None:
        """Count from here on, at the same share."""
        if self.window is not None:
            self._begin(self.share, now)

    def keep_old(self) -> None:
        """Keep what the old app has done at this share, if that is enough to compare with."""
        gate: Gate | None = self.settings.gate
        if self.window is not None and gate is not None:
            old = self.window.since_start.old
            if old.requests >= gate.min_requests:
                self.before = old

    def _old_before(self, gate: Gate) -> Counts | None:
        """Return what stands for the old app where it has too few requests; None: nothing."""
        if self.before is None and self.share >= 100 and self.window is not None:
            return Counts(max(self.window.since_start.new.requests, gate.min_requests))
        return self.before

    def standing(self, now: float) -> Standing:
        """Return how it stands."""
        climb = self._climb
        if self._taken_back:
            return Standing(ROLLED_BACK, BREAKS, self._taken_back, 0.0, self.rollbacks)
        gate = "" if self.window is None else self._verdict.state
        reason = "" if self.window is None else self._verdict.reason
        state = "" if climb is None else climb.state
        left = 0.0 if climb is None else climb.left(now)
        return Standing(state, gate, reason, left, self.rollbacks)
