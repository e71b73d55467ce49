"""The routes of Flask and of Quart: both have a map of Werkzeug's, and a view for each endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bridge.route_tables.classes import is_a, methods_of
from bridge.route_tables.route import AppFinder, AppRoute, AppTable, View
from bridge.route_tables.views import is_coroutine_class, view_of
from bridge.route_tables.werkzeug import host_of_rule, pattern_of_rule, rules_in_order

_QUART = "quart.app.Quart"
APPS = ("flask.app.Flask", _QUART)


def read(app: Any, finder: AppFinder) -> AppTable:
    """Return the routes of an app, with those that middlewares around its `wsgi_app` mount."""
    around = vars(app).get("asgi_app" if is_a(app, _QUART) else "wsgi_app")
    if around is None or finder.reads_again(app):
        return _own(app)
    return finder.inner(around) or _own(app).noted(f"inside of {view_of(around).name}")


def read_method(method: Any, finder: AppFinder) -> AppTable:
    """Return the routes of the app that `method` is bound to, its `wsgi_app`."""
    return _own(method.__self__)


def _own(app: Any) -> AppTable:
    framework = "Quart" if is_a(app, _QUART) else "Flask"
    return AppTable("", framework, tuple(_routes(app)), redirects_slashes="add")


def _routes(app: Any) -> Iterator[AppRoute]:
    server_name = app.config.get("SERVER_NAME")
    seen: list[Any] = []
    for rule in rules_in_order(app.url_map):
        if rule.endpoint not in app.view_functions and any(_covers(each, rule) for each in seen):
            continue  # another name for `url_for`, as Flask's tutorial has one
        seen.append(rule)
        methods = methods_of(rule.methods)
        is_websocket = bool(rule.websocket)
        view, note = _view(app, rule, methods)
        if rule.subdomain and not (rule.map.host_matching or _takes_subdomains(app)):
            note = "the app does not look at subdomains: see its subdomain_matching"
        yield AppRoute(
            rule.rule,
            pattern_of_rule(rule),
            methods=() if is_websocket else methods,
            kind="websocket" if is_websocket else "http",
            host=host_of_rule(rule, server_name),
            name=rule.endpoint,
            view=view,
            note=note,
        )


def _covers(one: Any, other: Any) -> bool:
    """Whether `one` is for the same path, and for all methods of `other`."""
    places = [(each.rule, each.subdomain, each.host, each.websocket) for each in (one, other)]
    return places[0] == places[1] and set(other.methods or ()) <= set(one.methods or ())


def _takes_subdomains(app: Any) -> bool:
    return bool(getattr(app, "subdomain_matching", True))


def _view(app: Any, rule: Any, methods: tuple[str, ...]) -> tuple[View, str]:
    """Return the view of a rule, and what is to be said of it."""
    if rule.redirect_to is not None:
        return View(), f"redirects to {rule.redirect_to}"
    if rule.alias:
        return View(), f"redirects to the route of {rule.endpoint}"
    function = app.view_functions.get(rule.endpoint)
    if function is None:
        return View(), f"no view function has the name {rule.endpoint}"
    if rule.endpoint == "static":
        return view_of(app.send_static_file), f"files of {app.static_folder}"
    view = view_of(function)
    view_class = getattr(function, "view_class", None)
    if view_class is not None:
        handlers = (*methods, "dispatch_request")
        view = replace(view, is_async=is_coroutine_class(view_class, handlers))
    return view, ""
