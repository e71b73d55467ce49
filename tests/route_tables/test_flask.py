"""Routes of Flask and Quart apps, as their own maps have them."""

from __future__ import annotations

import functools
from typing import Any

from flask import Blueprint, Flask
from flask.views import MethodView
from quart import Quart
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule

from bridge.route_tables import AppRoute, AppTable, Submount, read_table
from examples.flask_on_bridge import app as example


def routes(table: AppTable) -> dict[str, AppRoute]:
    """The routes of a table, by what the framework writes."""
    return {entry.pattern: entry for entry in table.entries if isinstance(entry, AppRoute)}


def test_the_example() -> None:
    """M50: each route has its methods, its view, its file and its line."""
    table = read_table(example, "shop:app")
    assert (table.app, table.framework, table.redirects_slashes) == ("shop:app", "Flask", "add")
    found = routes(table)
    assert set(found) == {rule.rule for rule in example.url_map.iter_rules()}
    raw = found["/raw"]
    assert raw.methods == ("POST", "PUT", "OPTIONS")
    assert raw.view.name == "examples.flask_on_bridge.raw"
    assert raw.view.file is not None
    assert raw.view.file.endswith("examples/flask_on_bridge.py")
    assert raw.view.is_async is False
    assert found["/static/<path:filename>"].note.startswith("files of ")


def make() -> Flask:
    """An app with the views that are awkward."""
    app = Flask("shop", static_folder=None)
    pages = Blueprint("pages", "shop", url_prefix="/pages")

    @pages.get("/<int:id>")
    async def page(id: int) -> str:
        return ""

    class Item(MethodView):
        async def get(self) -> str:
            return ""

        def put(self) -> str:
            return ""

    class Plain(MethodView):
        def get(self) -> str:
            return ""

    app.register_blueprint(pages)
    app.add_url_rule("/item", view_func=Item.as_view("item"))
    app.add_url_rule("/plain", view_func=Plain.as_view("plain"))
    app.add_url_rule("/length", "length", len, methods=["GET"])
    app.add_url_rule("/partial", "partial", functools.partial(max, 1))
    app.add_url_rule("/none", "none")
    app.url_map.add(Rule("/moved", endpoint="moved", redirect_to="/item"))
    app.url_map.add(Rule("/alias", endpoint="plain", alias=True))
    app.url_map.add(Rule("/socket", endpoint="item", websocket=True))
    return app


def test_views_of_all_kinds() -> None:
    """M50: of blueprints, classes, C functions and partials; rules without a view say so."""
    found = routes(read_table(make()))
    assert found["/pages/<int:id>"].name == "pages.page"
    assert found["/pages/<int:id>"].view.is_async
    assert found["/item"].view.name == f"{__name__}.make.Item"
    assert found["/item"].methods == ("GET", "PUT", "HEAD", "OPTIONS")
    assert (found["/item"].view.is_async, found["/plain"].view.is_async) == (True, False)
    assert (found["/length"].view.name, found["/length"].view.line) == ("len", None)
    assert found["/partial"].view.name == "max"
    assert found["/none"].note == "no view function has the name none"
    assert found["/moved"].note == "redirects to /item"
    assert found["/alias"].note == "redirects to the route of plain"
    assert (found["/socket"].kind, found["/socket"].methods) == ("websocket", ())


def test_hosts_and_subdomains() -> None:
    """M50: they are those of the rules; subdomains that the app does not look at are told."""
    by_host = Flask("a", host_matching=True, static_folder=None)
    by_host.add_url_rule("/", "x", make, host="<t>.example.org")
    assert routes(read_table(by_host))["/"].host == "<t>.example.org"
    for looks in (True, False):
        app = Flask("a", subdomain_matching=looks, static_folder=None)
        app.config["SERVER_NAME"] = "example.org"
        app.add_url_rule("/", "x", make, subdomain="api")
        found = routes(read_table(app))["/"]
        assert found.host == "api.example.org"
        assert bool(found.note) is not looks


def test_middlewares_around_wsgi_app() -> None:
    """M50: apps that they mount come first; the app is found again inside of them."""
    app = make()
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    assert "/item" in routes(read_table(app))
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/new": Flask("new")})  # type: ignore[method-assign]
    table = read_table(app, "shop:app")
    assert (table.app, table.framework) == ("shop:app", "Werkzeug")
    new, own = (entry for entry in table.entries if isinstance(entry, Submount))
    assert (str(new.path), new.table.app, new.table.framework) == ("/new", "Flask 'new'", "Flask")
    assert (own.table.app, "/item" in routes(own.table)) == ("Flask 'shop'", True)


def test_a_middleware_that_keeps_the_app_itself() -> None:
    """M50: it does not lead in a circle."""
    app = make()
    app.wsgi_app = ProxyFix(app)  # type: ignore[method-assign, arg-type]
    assert "/item" in routes(read_table(app))


def test_a_middleware_that_cannot_be_seen_through() -> None:
    """M50: the routes are those of the app, and it is said what is around them."""
    app = make()

    def middleware(environ: Any, start_response: Any) -> Any: ...

    app.wsgi_app = middleware  # type: ignore[method-assign]
    table = read_table(app)
    assert "/item" in routes(table)
    assert table.note.startswith(f"inside of {__name__}.")


def test_quart() -> None:
    """M50: async views and those that run in threads, WebSockets, and middlewares."""
    app = Quart("shop", static_folder=None)

    @app.get("/a")
    async def awaited() -> str:
        return ""

    @app.get("/b")
    def threaded() -> str:
        return ""

    @app.websocket("/c")
    async def socket() -> None: ...

    table = read_table(app)
    found = routes(table)
    assert table.framework == "Quart"
    assert (found["/a"].view.is_async, found["/b"].view.is_async) == (True, False)
    assert found["/c"].kind == "websocket"
    around = app.asgi_app

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await around(scope, receive, send)

    app.asgi_app = middleware  # type: ignore[method-assign]
    assert set(routes(read_table(app))) == set(found)
