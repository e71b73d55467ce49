"""Which consumer of ASGI 1 a request is for, and what a gateway must know of it (rule L9).

The app of a worker is a consumer, or a `Dispatcher` in which consumers are mounted. A gateway that
was told the *mount* of one says it with each message, so that any worker finds the same consumer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.asgi1.app import ConsumerApp
from bridge.dispatcher import Dispatcher, MountedApp
from bridge.errors import UnsupportedScope
from bridge.types import ASGIApp, Scope

#: Between the mounts of dispatchers, one in another.
_INSIDE = " > "


class Found(NamedTuple):
    """A consumer, and its place."""

    app: ConsumerApp
    mount: str  #: empty: the consumer is the whole app
    scope: Scope  #: of the request, as the consumer sees it

    def told(self) -> dict[str, Any]:
        """Return what the gateway must know, as plain data."""
        place = {"path": self.scope["path"], "root_path": self.scope.get("root_path", "")}
        return {**self.app.told(), **place, "mount": self.mount}


def find(app: ASGIApp, scope: Scope) -> Found | None:
    """Return the consumer that takes the request of `scope`; None: another app does.

    What a predicate of the app raises counts as another app, which raises it again.
    """
    mounts = []
    while isinstance(app, Dispatcher):
        try:
            route = app.route_of(scope)
        except Exception:
            return None
        if route is None or route.served is not route.asgi:
            return None  # nothing is there, or it is told another path than it has
        mounts.append(_name(app, route))
        scope, app = route.child_scope(scope), route.asgi
    return Found(app, _INSIDE.join(mounts), scope) if isinstance(app, ConsumerApp) else None


def consumer_at(app: ASGIApp, mount: str) -> ConsumerApp:
    """Return the consumer at a mount that `find` has named. Raises `UnsupportedScope`."""
    for name in filter(None, mount.split(_INSIDE)):
        if isinstance(app, Dispatcher):
            named = {_name(app, route): route.asgi for route in app.routes}
            app = named.get(name, app)
    if not isinstance(app, ConsumerApp):
        where = f" at {mount}" if mount else ""
        raise UnsupportedScope(f"this worker runs no ASGI 1 consumer{where}")
    return app


def _name(dispatcher: Dispatcher, route: MountedApp) -> str:
    """Name a route by its place; those that share one by their order, too."""
    place = route.host, route.prefix
    same = [each for each in dispatcher.routes if (each.host, each.prefix) == place]
    name = route.host + (route.prefix or "/")
    return name if len(same) == 1 else f"{name} {same.index(route)}"
