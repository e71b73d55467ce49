"""The two apps of a cutover, and what is decided for one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

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

    def observe(self, route: Route, side: str, status: int, seconds: float | None) -> None:
        """Note that a request is over; any thread may.

        `status` is that of the response; 500 for what has raised, broken off or was rescued, 504
        for what took too long, 101 for a WebSocket, and 0 if nothing is to be said of the app: the
        client has left before it had the response. `seconds` is None for a WebSocket.
        """

    def rescued(self, route: Route, error: Exception) -> None:
        """Note that the new app has failed so, and the old one answers; then comes `observe`."""


def mounted_sides(old: Any, new: Any, settings: Mapping[str, Any]) -> dict[str, MountedApp]:
    """Make both apps from what a `Cutover` was given. Raises `ConfigError`."""
    sides = {OLD: mounted(OLD, old, settings), NEW: mounted(NEW, new, settings)}
    if sides[OLD].app is sides[NEW].app:
        raise ConfigError("old and new are the same app; a Cutover goes from one to another")
    return sides


def mounted(side: str, given: Any, settings: Mapping[str, Any]) -> MountedApp:
    """Make one of the two apps from what a `Cutover` was given. Raises `ConfigError`."""
    mount = given if isinstance(given, Mount) else Mount(given)
    if mount.when is not None or mount.strip_prefix or mount.keep_prefix is not None:
        raise ConfigError(
            f"the {side} app is a Mount with when, keep_prefix or strip_prefix; a Cutover has no "
            "prefixes, and its routes say which requests an app gets: leave them away"
        )
    return MountedApp("/", mount, True, settings, f"the {side} app")
