"""How the parts of an app are called in the figures: by the place where they are mounted (O2)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bridge.adapters.runner_app import RunnerApp
from bridge.dispatcher import Dispatcher, MountedApp
from bridge.errors import AppLoadError, ConfigError
from bridge.fallback import Fallback
from bridge.http.paths import strip_prefix
from bridge.log import logger
from bridge.runners import Runner
from bridge.server.metrics.figures import NO_MOUNT, ROOT_MOUNT
from bridge.types import ASGIApp


def mounted_runners(app: ASGIApp, mount: str = ROOT_MOUNT) -> Iterator[tuple[str, Runner]]:
    """Yield the runners of all these apps, each with its mount, and each once."""
    seen: set[int] = set()
    for place, found in _mounted(app, mount):
        if id(found.runner) not in seen:
            seen.add(id(found.runner))
            yield place, found.runner


def _mounted(app: ASGIApp, mount: str) -> Iterator[tuple[str, RunnerApp]]:
    if isinstance(app, RunnerApp):
        yield mount, app
    elif isinstance(app, Dispatcher):
        for route in app.routes:
            yield from _mounted(route.asgi, mount_of(route, mount))
    elif isinstance(app, Fallback):
        for each in app.apps:
            yield from _mounted(each, mount)
    else:
        for side in sides_of(app):
            yield from _mounted(side.asgi, mount)


def sides_of(app: ASGIApp) -> Iterable[MountedApp]:
    """Return the two apps of a `Cutover`; none if it is another app.

    If their module was not loaded, nothing is one.
    """
    module = sys.modules.get("bridge.cutover.app")
    if module is None or not isinstance(app, module.Cutover):
        return ()
    sides: Iterable[MountedApp] = app.sides.values()
    return sides


def cutovers_of(app: ASGIApp) -> Iterator[Any]:
    """Yield each `Cutover` in `app` that can be seen; some may come twice."""
    if isinstance(app, Dispatcher):
        for route in app.routes:
            yield from cutovers_of(route.asgi)
    elif isinstance(app, Fallback):
        for each in app.apps:
            yield from cutovers_of(each)
    elif sides := sides_of(app):
        yield app
        for side in sides:
            yield from cutovers_of(side.asgi)


def check_loaded(app: Any) -> None:
    """Raise `AppLoadError` if a `Cutover` goes on without its new app: who looks at both cannot."""
    for each in cutovers_of(app):
        if each.new_failed:
            raise AppLoadError(f"the new app cannot be loaded: {each.new_failed}")


def reread_routes(app: ASGIApp, *, changed: bool = False) -> None:
    """Read the files of all these again; what is wrong in one is logged (M3, M5).

    `changed`: only those that have changed since they were read.
    """
    for cutover in cutovers_of(app):
        if cutover.file is None or (changed and not cutover.file.has_changed):
            continue
        try:
            cutover.reread()
        except ConfigError as error:
            logger.error("%s", error)


def pass_conflicts_to(app: ASGIApp, say: Callable[[Sequence[Any]], object]) -> None:
    """Have `say` take what is told of the routes of cutovers, and not the log (M4).

    It gets all lines of each look, in any thread.
    """
    for cutover in cutovers_of(app):
        cutover.conflicts.say = say


def follow_files(app: ASGIApp) -> None:
    """Read the files of all these again that have changed: nobody says when (M3)."""
    for cutover in cutovers_of(app):
        if cutover.file is not None:
            cutover.file.follow(cutover.switches)


def mount_of(route: MountedApp, mount: str) -> str:
    """Return the place of a route of the dispatcher that is mounted at `mount`: host and prefix."""
    return f"{route.host}{mount.rstrip('/')}{route.prefix}" or ROOT_MOUNT


def mount_for(app: ASGIApp, path: str, host: str, mount: str = ROOT_MOUNT) -> str:
    """Return the mount that takes `path` below `app`; no predicate is asked for that."""
    while isinstance(app, Dispatcher) and not app.uses_request:
        route = app.match(path, host)
        if route is None:
            return NO_MOUNT
        app, mount = route.asgi, mount_of(route, mount)
        path = strip_prefix(path, route.prefix)[1]
    return mount
