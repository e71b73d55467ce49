"""What is in force now: the routes with their modes and shares, replaced as one (M1, M3, M5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge.cutover.route import CANARY, Route, check_routes, unknown_route
from bridge.cutover.table import Table
from bridge.errors import ConfigError


class Switches:
    """Holds the table in force.

    A request reads `table` once, and goes by that to its end. What replaces it is checked before:
    if it is wrong, what was in force stays. `prepare`, called with each route, raises `ConfigError`
    for what cannot be done here.
    """

    def __init__(
        self, routes: Iterable[Route], prepare: Callable[[Route], None] = lambda route: None
    ) -> None:
        self._prepare = prepare
        self.table = self._checked(routes)
        #: Called when others are in force; any thread may.
        self.changed: Callable[[], object] = _do_nothing

    def replace(self, routes: Iterable[Route]) -> None:
        """Have these routes in force from now on. Raises `ConfigError`."""
        self.table = self._checked(routes)
        self.changed()

    def set(self, name: str, mode: str, share: float | str | None = None) -> Route:
        """Switch one route, and return it as it is now. Raises `ConfigError`."""
        routes = self.table.routes
        route = self.table.route(name)
        if route is None:
            raise unknown_route(name, routes)
        if share is not None and mode != CANARY:
            raise ConfigError(
                f"share belongs to mode canary, and the mode is {mode}; leave it away"
            )
        changed = route.switched(mode, share)
        self.replace(changed if each is route else each for each in routes)
        return changed

    def summary(self) -> str:
        """Say in a line who answers what."""
        return ", ".join(shown(each) for each in self.table.routes) or "no routes"

    def _checked(self, routes: Iterable[Route]) -> Table:
        checked = check_routes(routes)
        for route in checked:
            self._prepare(route)
        return Table(checked)


def _do_nothing() -> None:
    """Look at nothing."""


def shown(route: Route) -> str:
    """Show a route and its mode: ``invoices canary 5 %``."""
    share = f" {route.share:g} %" if route.mode == CANARY else ""
    return f"{route.name} {route.mode}{share}"
