"""What is in force now: the routes with their modes and shares, replaced as one (M1, M3, M5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from threading import RLock
from typing import Any, NamedTuple, TypeAlias

from bridge.cutover.route import CANARY, Route, check_routes, unknown_route
from bridge.cutover.table import Table
from bridge.errors import ConfigError

#: Route -> its mode, and its share if that is ``canary``.
Modes: TypeAlias = "Mapping[str, tuple[str, float | None]]"


class Decision(NamedTuple):
    """What was decided for a route while it runs: by a gate, by its steps, or by a person.

    `said` is what its row said of that then: while the row says the same, the decision stands.
    """

    said: Any
    mode: str
    share: float | None


class Switches:
    """Holds the table in force.

    A request reads `table` once, and goes by that to its end. What replaces it is checked before:
    if it is wrong, what was in force stays. `prepare`, called with each route, raises `ConfigError`
    for what cannot be done here. Any thread may switch.

    The routes come from rows: of a file, or of the program. What is decided meanwhile stays if the
    rows are read again, unless the row of that route has another mode, share, gate or steps.
    """

    def __init__(
        self, routes: Iterable[Route], prepare: Callable[[Route], None] = lambda route: None
    ) -> None:
        self._prepare = prepare
        #: Called when others are in force; any thread may.
        self.changed: Callable[[], object] = _do_nothing
        self._lock = RLock()
        self._rows: dict[str, Route] = {}
        self._decided: dict[str, Decision] = {}
        self.table = Table(())
        self._use(self._checked(routes), ())

    def replace(self, routes: Iterable[Route], keep: Collection[str] = ()) -> None:
        """Have these rows in force from now on. Raises `ConfigError`.

        `keep`: routes for which something was decided after these rows had been read. That stands,
        whatever they say.
        """
        checked = self._checked(routes)
        with self._lock:
            self._use(checked, keep)
        self.changed()

    def set(self, name: str, mode: str, share: float | str | None = None) -> Route:
        """Switch one route, and return it as it is now. Raises `ConfigError`."""
        with self._lock:
            routes = self.table.routes
            route = self.table.route(name)
            if route is None:
                raise unknown_route(name, routes)
            if share is not None and mode != CANARY:
                raise ConfigError(
                    f"share belongs to mode canary, and the mode is {mode}; leave it away"
                )
            if share is None and mode == CANARY != route.mode:
                share = self._first_share(route)
            return self._switch(route, mode, share)

    def decide(self, route: Route, mode: str, share: float | None = None) -> Route | None:
        """Switch a route as `set` does, if it is still this one: else a person was quicker."""
        with self._lock:
            if self.table.route(route.name) is not route:
                return None
            return self._switch(route, mode, share)

    def obey(self, modes: Modes, rows: Iterable[Route] | None = None) -> None:
        """Have the routes in force as somebody else has decided; `rows`: if there are new ones.

        A route that stays as it is remains the same object. Raises `ConfigError`.
        """
        checked = None if rows is None else self._checked(rows)
        with self._lock:
            routes = self.table.routes if checked is None else checked
            changed = self._as_in(modes, routes)
            if changed == self.table.routes:
                return
            self.table = Table(changed)
        self.changed()

    @property
    def decided(self) -> frozenset[str]:
        """The routes for which something was decided, beside their rows."""
        return frozenset(self._decided)

    def note_row(self, row: Route) -> None:
        """Note that the row of a route says this from now on, as what was decided for it."""
        with self._lock:
            self._rows[row.name] = row
            decision = self._decided.get(row.name)
            if decision is not None:
                self._decided[row.name] = decision._replace(said=said_by(row))

    def row(self, name: str) -> Route:
        """Return the row of a route in force."""
        return self._rows[name]

    def summary(self) -> str:
        """Say in a line who answers what."""
        return ", ".join(shown(each) for each in self.table.routes) or "no routes"

    def _switch(self, route: Route, mode: str, share: float | str | None) -> Route:
        changed = route.switched(mode, share)
        self._prepare(changed)
        share = changed.share if isinstance(changed.share, float) else None
        row = self._rows.get(route.name, route)
        self._decided[route.name] = Decision(said_by(row), changed.mode, share)
        self.table = Table(tuple(changed if each is route else each for each in self.table.routes))
        self.changed()
        return changed

    def _first_share(self, route: Route) -> float | str | None:
        """Return the share with which a route begins as a canary if nobody says one.

        That is the first step, or the share of its row; what a gate took back does not count.
        """
        canary, row = route.canary, self._rows.get(route.name, route)
        first = None if canary is None else canary.first_share
        return row.share if first is None else first

    def _use(self, rows: tuple[Route, ...], keep: Collection[str]) -> None:
        """Have the rows in force, and what was decided for those that say the same as then."""
        self._rows = {each.name: each for each in rows}
        kept = {}
        for name, decision in self._decided.items():
            row = self._rows.get(name)
            if row is not None and (name in keep or said_by(row) == decision.said):
                kept[name] = decision._replace(said=said_by(row))
        self._decided = kept
        modes = {name: (each.mode, each.share) for name, each in kept.items()}
        self.table = Table(self._as_in(modes, rows))

    def _as_in(self, modes: Modes, routes: Iterable[Route]) -> tuple[Route, ...]:
        """Return the routes as they are to be switched; one that is in force is the same object."""
        found, in_force = [], {each.name: each for each in self.table.routes}
        for route in routes:
            mode, share = modes.get(route.name, (route.mode, None))
            if mode != route.mode or (mode == CANARY and share not in (None, route.share)):
                route = route.switched(mode, share)
                self._prepare(route)
            known = in_force.get(route.name)
            found.append(route if known is None or not known.says_as(route) else known)
        return tuple(found)

    def _checked(self, routes: Iterable[Route]) -> tuple[Route, ...]:
        checked = check_routes(routes)
        for route in checked:
            self._prepare(route)
        return checked


def said_by(route: Route) -> tuple[Any, ...]:
    """Return what a row says of who answers: what a decision stands beside."""
    canary = route.canary
    more = () if canary is None else (canary.gate, canary.steps)
    return (route.mode, route.share, *more)


def _do_nothing() -> None:
    """Look at nothing."""


def shown(route: Route) -> str:
    """Show a route and its mode: ``invoices canary 5 %``."""
    share = f" {route.share:g} %" if route.mode == CANARY else ""
    return f"{route.name} {route.mode}{share}"
