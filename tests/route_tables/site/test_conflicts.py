"""Routes that no request can reach, and why."""

from __future__ import annotations

from typing import Any

from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute

from bridge import Dispatcher
from bridge import Mount as BridgeMount
from bridge.cutover.app import Cutover
from bridge.cutover.route import Route as Switch
from bridge.route_tables import Row, read_table, site_table
from bridge.route_tables.patterns.pattern import literal
from bridge.route_tables.route import AppRoute, AppTable, Submount


async def view(request: Any) -> Any: ...


async def other(request: Any) -> Any: ...


async def bare(scope: Any, receive: Any, send: Any) -> None: ...


def answer() -> str:
    return ""


def old_app(*rules: str, methods: tuple[str, ...] = ("GET",)) -> Flask:
    app = Flask("old", static_folder=None)
    for number, rule in enumerate(rules):
        app.add_url_rule(rule, f"view{number}", answer, methods=methods)
    return app


def new_app(*routes: Any) -> Starlette:
    return Starlette(routes=list(routes))


def rows(app: Any, **names: Any) -> list[Row]:
    """The routes of `app`; `names`: apps that are called so, with ``:app`` behind it."""
    known = {id(each): f"{name}:app" for name, each in names.items()}
    table = read_table(app, "site:app", lambda each: known.get(id(each), ""))
    return [row for row in site_table(table) if not row.is_rest]


def never(app: Any, **names: Any) -> list[str]:
    return [row.never for row in rows(app, **names) if row.never]


def test_a_longer_mount() -> None:
    """M50: what is below it, another app's route never gets."""
    old = old_app("/api/users", "/users", "/<section>/users", "/<path:rest>")
    new = new_app(Route("/x", view))
    assert never(Dispatcher({"/": old, "/api": new}), old=old, new=new) == [
        "GET /api/users of old:app is never reached: /api is mounted on new:app"
    ]


def test_a_longer_mount_whose_routes_are_not_known() -> None:
    """M50: it takes all that is below it, too."""
    old = old_app("/api/users")
    assert never(Dispatcher({"/": old, "/api": bare}), old=old, new=bare) == [
        "GET /api/users of old:app is never reached: /api is mounted on new:app"
    ]


def test_an_earlier_route_of_the_same_app() -> None:
    """M50: if it covers the path, for the same methods."""
    app = new_app(
        Route("/items/{id}", view, methods=["GET", "PUT"]),
        Route("/items/new", view, methods=["GET"]),
        Route("/items/new", view, methods=["POST"]),
        Route("/items/all", view, methods=["PUT", "POST"]),
        Route("/items/", view),
    )
    found = rows(app)
    assert [row.never for row in found if row.never] == [
        "GET /items/new of site:app is never reached: GET,PUT /items/{id} "
        f"({__name__}.view) comes before it"
    ]
    assert found[3].notes == (f"PUT goes to {__name__}.view, which comes before",)


def test_two_earlier_routes_together() -> None:
    """M50: each of them may take a method; then nothing is left."""
    app = new_app(
        Route("/a", view, methods=["PUT"]),
        Route("/{x}", other, methods=["POST"]),
        Route("/a", view, methods=["POST", "PUT"]),
    )
    assert len(never(app)) == 1


def test_the_order_of_flask_is_not_that_of_its_rules() -> None:
    """M50: a catch-all shadows nothing, wherever it stands; the same rule twice does."""
    assert never(old_app("/<path:rest>", "/a", "/<name>", "/<int:id>/x")) == []
    assert len(never(old_app("/a", "/a"))) == 1
    both = Flask("x", static_folder=None)
    both.add_url_rule("/a", "get", answer, methods=["GET"])
    both.add_url_rule("/a", "post", answer, methods=["POST"])
    assert [(row.never, row.notes) for row in rows(both)] == [("", ()), ("", ())]


def test_two_apps_at_one_prefix() -> None:
    """M50: the first takes everything, if nothing says when it is asked."""
    first, second = new_app(Route("/a", view)), new_app(Route("/b", view))
    app = new_app(Mount("/x", first), Mount("/x", second))
    assert never(app, first=first, second=second) == [
        "GET /x/b of second:app is never reached: first:app takes everything at /x"
    ]
    beta = Dispatcher({"/": [BridgeMount(first, when=lambda request: True), second]})
    assert never(beta) == []
    wide = new_app(Mount("/", first), Mount("/x", second))
    assert never(wide, first=first, second=second) == [
        "GET /x/b of second:app is never reached: / is mounted on first:app"
    ]


def test_a_route_of_the_app_in_which_it_is_mounted() -> None:
    """M50: that may come first, too."""
    inner = new_app(Route("/b", view))
    app = new_app(Route("/x/{any:path}", view), Mount("/x", inner))
    assert never(app, inner=inner) == [
        "GET /x/b of inner:app is never reached: GET /x/{any:path} of site:app comes before it"
    ]


def test_some_methods_of_a_route_in_a_mounted_app() -> None:
    """M50: what the outer app has for them is told, and the route is reached by the others."""
    app = new_app(
        Route("/x/b", view, methods=["POST"]),
        Mount("/x", new_app(Route("/b", view, methods=["PUT", "POST"]))),
    )
    inner = rows(app)[1]
    assert (inner.never, inner.notes) == ("", ("POST goes to /x/b of site:app",))


def test_methods_that_do_not_count() -> None:
    """M50: the first route of Django's whose path matches gets every method."""
    routes = tuple(AppRoute("a", literal("/a"), (m,), by_method=False) for m in ("GET", "POST"))
    (row,) = [row for row in site_table(AppTable("x:app", "Django", routes)) if row.never]
    assert row.never == "/a of x:app is never reached: /a comes before it"


def test_websockets_and_requests_are_apart() -> None:
    """M50: a route for one does not hide one for the other."""
    app = new_app(WebSocketRoute("/a", view), Route("/a", view), WebSocketRoute("/a", view))
    assert never(app) == [
        f"WebSocket /a of site:app is never reached: WebSocket /a ({__name__}.view) comes before it"
    ]


def test_fallbacks() -> None:
    """M50: the app that is asked first may refuse, so nothing behind it is lost."""
    new = new_app(Route("/users", view))
    old = old_app("/users", "/login", "/login")
    found = rows(Dispatcher(fallback=[new, old]), new=new, old=old)
    by_view = {row.name: row for row in found if row.app.app == "old:app"}
    assert by_view["view0"].notes == (
        "new:app answers first; this one if that refuses (404 or 405)",
    )
    assert by_view["view0"].never == by_view["view1"].never == ""
    assert by_view["view2"].never.startswith("GET /login of old:app is never reached")
    unread = rows(Dispatcher(fallback=[bare, old]), new=bare, old=old)
    assert unread[1].notes == ("new:app is asked first, and its routes cannot be read",)


def test_a_fallback_behind_which_something_stands() -> None:
    """M50: its last app takes everything, so that is never reached."""
    first, last, behind = (old_app(f"/{name}") for name in "abc")
    chain = Submount(literal("/x"), read_table(Dispatcher(fallback=[first, last])), kinds=("http",))
    table = AppTable("site:app", entries=(chain, Submount(literal("/x"), read_table(behind))))
    assert [bool(row.never) for row in site_table(table) if row.name] == [False, False, True]


def test_what_a_switch_gives_to_the_new_app() -> None:
    """M50: the old app's route is the way back, and not lost: it says who has its requests."""
    old = old_app("/users/<id>", "/stock/<id>", "/x", methods=("GET", "POST"))
    new = new_app(Route("/users/{id}", view), Route("/stock/{id}", view), Route("/y", view))
    routes = [
        Switch("users", "/users/{id}", methods="GET", mode="new"),
        Switch("stock", "/stock/{id}", mode="canary", share=5),
        Switch("puts", "/{rest:path}", methods="PUT", mode="new"),
    ]
    found = {
        f"{row.app.app}{row.path}": (row.never, row.notes)
        for row in rows(Cutover(old, new, routes), old=old, new=new)
    }
    assert found == {
        "new:app/users/{id}": ("", ("by route users (new)",)),
        "new:app/stock/{id}": (
            "",
            ("by route stock (canary)", "only if its client is one of the 5 %"),
        ),
        "old:app/users/{id}": ("", ("route users (new) gives it to new:app",)),
        "old:app/stock/{id}": ("", ()),
        "old:app/x": ("", ()),
    }
    bare_new = rows(Cutover(old, bare, routes), old=old, bare=bare)
    assert [(str(row.path), row.methods) for row in bare_new if row.is_unread] == [
        *(("/users/{id}", ()), ("/stock/{id}", ()), ("/{rest:path}", ())),
    ]


def test_hosts() -> None:
    """M50: a mount for some hosts takes nothing from others."""
    old, new = old_app("/a"), old_app("/a")
    assert never(Dispatcher({"/": old, "new.org/": new})) == []
