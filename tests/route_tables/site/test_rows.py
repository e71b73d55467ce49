"""All routes of a site in one list."""

from __future__ import annotations

from typing import Any

from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Host, Mount, Route

from bridge import Dispatcher
from bridge import Mount as BridgeMount
from bridge.route_tables import AppTable, Row, read_table
from bridge.route_tables.patterns.pattern import Pattern, literal
from bridge.route_tables.patterns.tokens import parse_braces
from bridge.route_tables.route import AppRoute, Submount
from bridge.route_tables.site.rows import rows_of


async def view(request: Any) -> Any: ...


def answer() -> str:
    return ""


def flask_app(*rules: str) -> Flask:
    app = Flask("old", static_folder=None)
    for rule in rules:
        app.add_url_rule(rule, rule.strip("/").replace("/", "-") or "root", answer)
    return app


def shown(rows: list[Row]) -> list[str]:
    return [f"{row.host}{row.path}{' rest' if row.is_rest else ''}" for row in rows]


def test_prefixes_are_joined() -> None:
    """M50: mounts in mounts, each with a row for what none of its routes takes."""
    inner = Dispatcher({"/v1": Starlette(routes=[Route("/b", view), Route("/", view)])})
    app = Dispatcher({"/": flask_app("/a"), "/api": inner})
    assert shown(rows_of(read_table(app))) == [
        *("/api/v1/b", "/api/v1/", "/api/v1/* rest", "/api/* rest"),
        *("/a", "/* rest", "/* rest"),
    ]


def test_the_root_of_a_mounted_app() -> None:
    """M50: for most it is the mount with and without a slash; Starlette redirects."""
    app = Dispatcher({"/old": flask_app("/"), "/new": Starlette(routes=[Route("/", view)])})
    old, new = (row for row in rows_of(read_table(app)) if not row.is_rest)
    assert old.takes("/old", "GET", "", "http")
    assert old.takes("/old/", "GET", "", "http")
    assert not new.takes("/new", "GET", "", "http")
    assert new.takes("/new/", "GET", "", "http")


def test_prefixes_that_are_kept() -> None:
    """M50: the app sees the whole path; what is outside of its mount is never reached."""
    app = Dispatcher({"/api": BridgeMount(flask_app("/api/a", "/b"), keep_prefix=True)})
    inside, outside = (row for row in rows_of(read_table(app, "x:app")) if row.name)
    assert (str(inside.path), inside.never) == ("/api/a", "")
    assert inside.takes("/api/a", "GET", "", "http")
    assert outside.never == (
        "Flask 'old' gets only paths below /api, and sees them whole (keep_prefix)"
    )
    assert not outside.takes("/b", "GET", "", "http")


def test_hosts_are_joined() -> None:
    """M50: a route has those of its mount and of its own; if none are left it is never reached."""
    inner = Starlette(
        routes=[
            Host("a.example.org", Starlette(routes=[Route("/a", view)])),
            Host("a.example.com", Starlette(routes=[Route("/b", view)])),
            Mount("/c", routes=[Route("/d", view)]),
        ]
    )
    rows = [row for row in rows_of(read_table(Dispatcher({"*.example.org/": inner}))) if row.name]
    assert shown(rows) == ["a.example.org/a", "a.example.com/b", "*.example.org/c/d"]
    assert [row.never for row in rows] == [
        "",
        "it is for a.example.com, and what it is mounted in for *.example.org",
        "",
    ]
    assert rows[0].takes("/a", "GET", "A.example.org:8000", "http")
    assert not rows[0].takes("/a", "GET", "", "http")
    by_host = Flask("h", host_matching=True, static_folder=None)
    by_host.add_url_rule("/", "x", answer, host="b.org")
    (row, _, _) = rows_of(read_table(Dispatcher({"a.org/": by_host})))
    assert row.never == "it is for b.org, and its app is mounted for a.org"


def test_methods_and_kinds() -> None:
    """M50: a method counts only if the app goes on to its other routes."""
    routes = (
        AppRoute("/a", literal("/a"), ("POST",)),
        AppRoute("/a", literal("/a"), ("GET",), by_method=False),
        AppRoute("/a", literal("/a"), kind="websocket"),
    )
    sockets = Submount(Pattern(()), AppTable("x:sockets", entries=routes), kinds=("websocket",))
    rows = rows_of(AppTable("x:app", entries=(*routes, sockets)))
    assert [row.takes("/a", "PUT", "", "http") for row in rows[:3]] == [False, True, False]
    assert [row.takes("/a", "GET", "", "websocket") for row in rows[:3]] == [False, False, True]
    assert [row.kinds for row in rows[3:6]] == [(), (), ("websocket",)]


def test_parameters_of_mounts() -> None:
    """M50: they are segments of the joined path."""
    inner = AppTable("x:inner", entries=(AppRoute("/b", literal("/b")),))
    (row, *_) = rows_of(AppTable("x:app", entries=(Submount(parse_braces("/{year:int}"), inner),)))
    assert str(row.path) == "/{year}/b"
    assert row.mount == "/{year}"


def test_fallbacks_and_conditions() -> None:
    """M50: only the last app of a fallback has a row for the rest; conditions are notes."""
    app = Dispatcher(fallback=[flask_app("/a"), flask_app("/b")])
    assert shown(rows_of(read_table(app))) == ["/a", "/b", "/* rest", "/* rest", "/* rest"]
    beta = Dispatcher({"/": [BridgeMount(flask_app("/a"), when=lambda r: True), flask_app("/b")]})
    (row, *_) = rows_of(read_table(beta))
    assert row.notes == (f"only if {__name__}.test_fallbacks_and_conditions.<lambda> says so",)


def test_an_app_that_cannot_be_read() -> None:
    """M50: it is one row for all of its place."""
    app = Dispatcher({"/x": view_app, "y.org/": BridgeMount(view_app, keep_prefix=True)})
    unread = [row for row in rows_of(read_table(app)) if row.is_unread]
    assert shown(unread) == ["y.org/*", "/x/*"]


async def view_app(scope: Any, receive: Any, send: Any) -> None: ...
