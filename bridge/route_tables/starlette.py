"""The routes of Starlette and FastAPI, whose routers try them in the order in which they stand.

A route whose method differs is passed over; a mount takes all that is below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from bridge.route_tables.classes import is_a, loaded, methods_of
from bridge.route_tables.patterns.pattern import Pattern, Rest, Text
from bridge.route_tables.patterns.tokens import parse_braces
from bridge.route_tables.route import AppFinder, AppRoute, AppTable, Submount, View, unread_table
from bridge.route_tables.views import is_coroutine_class, view_of

_FASTAPI = ("fastapi.applications.FastAPI", "fastapi.routing.APIRouter")
_ROUTER = "starlette.routing.Router"
APPS = ("starlette.applications.Starlette", _ROUTER)
FILES = ("starlette.staticfiles.StaticFiles",)
_ENDPOINT_CLASSES = ("get", "head", "post", "put", "patch", "delete", "options")


def read(app: Any, finder: AppFinder) -> AppTable:
    """Return the routes of an app or a router."""
    router = getattr(app, "router", app)
    entries = list(_entries(router.routes, finder))
    for group in getattr(router, "_low_priority_routes", ()):  # `FastAPI.frontend`
        entries += [_files(route) for route in getattr(group, "routes", ())]
    default = router.default
    if getattr(default, "__self__", None) is not router:
        entries.append(Submount(Pattern(()), finder.table(default)))
    return AppTable(
        "",
        "FastAPI" if is_a(app, *_FASTAPI) else "Starlette",
        tuple(entries),
        redirects_slashes="both" if router.redirect_slashes else "",
        empty_is_root=False,
    )


def read_files(app: Any, finder: AppFinder) -> AppTable:
    """Return the one row of an app that sends files."""
    path = Pattern((Rest("path"),))
    note = f"files of {app.directory or ', '.join(map(str, app.packages or ()))}"
    route = AppRoute(
        "/{path:path}", path, ("GET", "HEAD"), view=view_of(app, is_async=True), note=note
    )
    return AppTable("", "Starlette", (replace(route, by_method=False),))


def _entries(routes: Iterable[Any], finder: AppFinder) -> Iterator[AppRoute | Submount]:
    contexts = loaded("fastapi.routing", "iter_route_contexts")
    if contexts is None:
        for route in routes:
            yield from _entry(route, route, finder)
        return
    for context in contexts(list(routes)):  # those of included routers, with their prefixes
        yield from _entry(context.original_route, context, finder)


def _entry(route: Any, seen: Any, finder: AppFinder) -> Iterator[AppRoute | Submount]:
    """Yield the entry of `route`; `seen` has its attributes as they are in the app."""
    if is_a(route, "starlette.routing.Mount"):
        place = _pattern(seen, seen.path) if seen.path else Pattern(())
        yield Submount(place, _mounted(seen.app, finder))
    elif is_a(route, "starlette.routing.Host"):
        yield Submount(Pattern(()), _mounted(seen.app, finder), host=seen.host)
    elif is_a(route, "starlette.routing.WebSocketRoute"):
        yield AppRoute(
            seen.path, _pattern(seen, seen.path), (), "websocket", "", *_name_and_view(seen)
        )
    elif is_a(route, "starlette.routing.Route"):
        yield AppRoute(
            seen.path, _pattern(seen, seen.path), _methods(seen), "http", "", *_name_and_view(seen)
        )
    elif not is_a(route, "fastapi.routing._FrontendRouteGroup"):
        yield _unknown(route)


def _mounted(app: Any, finder: AppFinder) -> AppTable:
    """Return the routes of what is mounted: a mere router is a part of the app."""
    return finder.table(app, finder.name if is_a(app, _ROUTER) else "")


def _methods(seen: Any) -> tuple[str, ...]:
    if seen.methods:
        return methods_of(seen.methods)
    if isinstance(seen.endpoint, type):  # an `HTTPEndpoint`: its methods are its handlers
        return methods_of(each for each in _ENDPOINT_CLASSES if hasattr(seen.endpoint, each))
    return ()


def _name_and_view(seen: Any) -> tuple[str, View]:
    endpoint = seen.endpoint
    is_async = None
    if isinstance(endpoint, type):
        is_async = is_coroutine_class(endpoint, (*_ENDPOINT_CLASSES, "dispatch", "on_receive"))
    return seen.name or "", view_of(endpoint, is_async=is_async)


def _pattern(seen: Any, path: str) -> Pattern:
    converters = {
        name: converter.regex for name, converter in (seen.param_convertors or {}).items()
    }
    return parse_braces(_BY_NAME.sub(r"{\1:\1}", path), converters)


#: A parameter: its converter is looked up by its own name, since the route has an object for each.
_BY_NAME = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::[a-zA-Z_][a-zA-Z0-9_]*)?}")


def _files(route: Any) -> AppRoute:
    """Return the row of the files of a front end."""
    place = Pattern(tuple(Text(each) for each in route.path.split("/") if each))
    return AppRoute(
        route.path,
        place.and_below(),
        ("GET", "HEAD"),
        view=view_of(route.app, is_async=True),
        note=f"files of {route.app.directory}, if there is one of that name",
    )


def _unknown(route: Any) -> Submount:
    """Return the entry of a route of the app's own class, which may match anything."""
    view = view_of(route)
    reason = "a route of a class of its own: which paths it takes is not known"
    table = unread_table(getattr(route, "path", None) or view.name, reason, view)
    return Submount(Pattern(()), table, condition=f"{view.name}.matches says so")
