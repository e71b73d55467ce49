"""The two apps of a cutover, and what is decided for one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from bridge.cutover.draw import draw, number_of
from bridge.cutover.route import NEW, OLD, Route
from bridge.dispatcher import Mount, MountedApp
from bridge.errors import ConfigError
from bridge.types import Scope


class Choice(NamedTuple):
    """Who answers one request of a canary, and a field for the response, by which that is kept."""

    side: str
    field: tuple[bytes, bytes] | None = None


class Canary(Protocol):
    """Decides for each request of a route in mode ``canary``, and is told how it went."""

    def choose(self, route: Route, scope: Scope) -> Choice:
        """Say who answers; `scope` is that of the request or WebSocket."""

    def observe(self, route: Route, side: str, status: int, seconds: float) -> None:
        """Note that a request is over. `status` is 0 if there is no whole response. Any thread."""


class StickyShare:
    """A share of the clients, each of them always on the same side."""

    def choose(self, route: Route, scope: Scope) -> Choice:
        """Say who answers; a client without a number is given one."""
        number, field = number_of(scope.get("headers", ())), None
        if number is None:
            number, cookie = draw()
            field = (b"set-cookie", cookie)
        assert isinstance(route.share, float)  # `Route` has read it
        return Choice(NEW if number < route.share else OLD, field)

    def observe(self, route: Route, side: str, status: int, seconds: float) -> None:
        """Do nothing: shares change by hand."""


def mounted(side: str, given: Any, settings: Mapping[str, Any]) -> MountedApp:
    """Make one of the two apps from what a `Cutover` was given. Raises `ConfigError`."""
    mount = given if isinstance(given, Mount) else Mount(given)
    if mount.when is not None or mount.strip_prefix or mount.keep_prefix is not None:
        raise ConfigError(
            f"the {side} app is a Mount with when, keep_prefix or strip_prefix; a Cutover has no "
            "prefixes, and its routes say which requests an app gets: leave them away"
        )
    return MountedApp("/", mount, True, settings, f"the {side} app")
