"""What is in force in all workers of a server, and what the gates and steps come to (M3, M21).

It knows no worker and no clock. `serial` is the number of what is in force, which the caller raises
with each change: what was counted before the last change of a route says nothing of it now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.cutover.canary.controller import Change, Controller, Standing, lost_sides
from bridge.cutover.canary.counts import Counts, Sides
from bridge.cutover.canary.live import has_gate, log_change
from bridge.cutover.observed.board import key_of, read
from bridge.cutover.route import NEW, OLD, Route
from bridge.cutover.switches import Modes, Switches, said_by, shown
from bridge.log import logger
from bridge.server.metrics.snapshot import COUNTER, Family, Snapshot
from bridge.server.process.ramp.rows import modes_of
from bridge.server.process.ramp.totals import Lost


class Decider:
    """The switches of a server."""

    def __init__(self) -> None:
        self._switches = Switches(())
        self._controller = Controller()
        #: Route -> the serial that was new when it changed last.
        self._since: dict[str, int] = {}
        #: Route -> the serial that was new when something was decided for it last.
        self._decided_at: dict[str, int] = {}

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes in force."""
        return self._switches.table.routes

    @property
    def decided(self) -> frozenset[str]:
        """The routes for which something was decided, beside their rows."""
        return self._switches.decided

    def modes(self) -> Modes:
        """Return how they are switched."""
        return modes_of(self.routes)

    def use(
        self, rows: Iterable[Route], serial: int, now: float, read_at: int | None = None
    ) -> None:
        """Have these rows in force, and what was decided beside them. Raises `ConfigError`.

        `read_at`: the serial that was in force when they were read, if that was earlier. What was
        decided since then stands, whatever they say.
        """
        before, modes = self._said(), self.modes()
        at = serial if read_at is None else read_at
        keep = {name for name, decided in self._decided_at.items() if decided > at}
        self._switches.replace(rows, keep)
        self._follow(before, serial, now)
        for name, after in self.modes().items():
            if modes.get(name, after) != after:
                _log_switch(name, modes[name], after, "as the file or the code says")

    def set(self, name: str, mode: str, share: Any, serial: int, now: float, by: str = "") -> str:
        """Switch a route for a person, and return how it is shown. Raises `ConfigError`.

        `by` says who it was, for the log.
        """
        before, modes = self._said(), self.modes()
        changed = self._switches.set(name, mode, share)
        self._decided_at[name] = serial
        self._follow(before, serial, now)
        _log_switch(name, modes[name], self.modes()[name], f"as was ordered{by}")
        return shown(changed)

    def begin_release(self, now: float) -> None:
        """Judge by what another version of the apps does from now on."""
        self._controller.begin_release(now)

    def note_row(self, row: Route) -> None:
        """Note that a decision has been written into the row of its route."""
        self._switches.note_row(row)

    def count(self, counts: dict[str, Any], serial: int, now: float) -> None:
        """Add what a worker has counted while `serial` was in force there."""
        for name, (old, new) in counts.items():
            if serial >= self._since.get(name, 0):
                sides = Sides(Counts.from_json(old), Counts.from_json(new))
                self._controller.count(name, sides, now)

    def lost(self, memory: bytes, now: float) -> list[Lost]:
        """Add what a worker has left on its board that has died, and return it."""
        serial, rows = read(memory)
        found = []
        for route in self.routes:
            row = rows.get(key_of(route.name))
            if row is not None and serial >= self._since.get(route.name, 0):
                for side, counts in zip((OLD, NEW), lost_sides(row), strict=True):
                    found.append((route.name, side, counts.requests, counts.failed))
                self._controller.lost(route.name, row, now)
        return found

    def look(self, serial: int, now: float) -> list[Change]:
        """Judge all routes, and return what has changed; the log says it."""
        changes = self._controller.look(now)
        for change in changes:
            self._switches.set(change.route, change.mode, change.share)
            self._since[change.route] = self._decided_at[change.route] = serial
            log_change(change)
        return changes

    def standing(self, name: str, now: float) -> Standing | None:
        """Return how a route stands; None for one without a gate."""
        return self._controller.standing(name, now)

    def figures(self, now: float) -> Snapshot:
        """Return what is counted here."""
        counts = self.rollbacks(now).items()
        return {
            "bridge_cutover_rollbacks_total": Family(
                type=COUNTER,
                help="How often a gate has broken, and everything went to the old app; by route.",
                samples=[[{"route": route}, count] for route, count in counts],
            )
        }

    def rollbacks(self, now: float) -> dict[str, int]:
        """Return how often each route with a gate was taken back."""
        gated = (each.name for each in self.routes if has_gate(each))
        found = {name: self.standing(name, now) for name in gated}
        return {name: each.rollbacks for name, each in found.items() if each is not None}

    def _said(self) -> dict[str, Any]:
        return {each.name: said_by(each) for each in self.routes}

    def _follow(self, before: dict[str, Any], serial: int, now: float) -> None:
        """Tell the controller of the routes, and note which of them are not as before."""
        after = self._said()
        self._since = {
            name: serial if before.get(name) != said else self._since.get(name, serial)
            for name, said in after.items()
        }
        gated = [each for each in self.routes if has_gate(each)]
        for route in gated:
            assert route.canary is not None
            share = route.share if isinstance(route.share, float) else None
            self._controller.use(route.name, route.canary, route.mode, share, now)
        self._controller.forget({each.name for each in gated})


def _log_switch(
    name: str, before: tuple[str, float | None], after: tuple[str, float | None], why: str
) -> None:
    """Say in the log what a person has decided: the trace of who answered when."""
    logger.info("route %s: %s now, %s before, %s", name, _text(*after), _text(*before), why)


def _text(mode: str, share: float | None) -> str:
    return mode if share is None else f"{mode} {share:g} %"
