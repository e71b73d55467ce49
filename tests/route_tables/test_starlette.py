"""Routes of Starlette and FastAPI apps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from bridge.route_tables import AppRoute, AppTable, Submount, covers, parse_braces, read_table
from examples.flask_on_bridge import app as flask_app


async def view(request: Any) -> Any: ...


def threaded(request: Any) -> Any: ...


class Item(HTTPEndpoint):
    async def get(self, request: Any) -> Any: ...

    async def delete(self, request: Any) -> Any: ...


class Socket(WebSocketEndpoint): ...


class Strange(BaseRoute): ...


class Hex(Convertor[int]):
    regex = "[0-9a-f]+"


def routes(table: AppTable) -> dict[str, AppRoute]:
    """The routes of a table, by what the framework writes."""
    return {entry.pattern: entry for entry in table.entries if isinstance(entry, AppRoute)}


def mounts(table: AppTable) -> list[Submount]:
    """The mounts of a table."""
    return [entry for entry in table.entries if isinstance(entry, Submount)]


def test_routes() -> None:
    """M50: functions, classes and WebSockets, in the order of the app."""
    app = Starlette(
        routes=[
            Route("/", view),
            Route("/items/{id:int}", threaded, methods=["POST"], name="new"),
            Route("/item", Item),
            WebSocketRoute("/echo", view),
            WebSocketRoute("/socket", Socket),
        ],
        middleware=[Middleware(CORSMiddleware)],
    )
    table = read_table(app)
    found = routes(table)
    assert (table.framework, table.redirects_slashes) == ("Starlette", "both")
    assert not table.empty_is_root
    assert list(found) == ["/", "/items/{id:int}", "/item", "/echo", "/socket"]
    assert found["/"].methods == ("GET", "HEAD")
    new = found["/items/{id:int}"]
    assert (new.name, new.methods, new.view.is_async) == ("new", ("POST",), False)
    assert new.path == parse_braces("/items/{id:int}")
    assert (found["/item"].methods, found["/item"].view.is_async) == (("DELETE", "GET"), True)
    assert found["/item"].view.name == f"{__name__}.Item"
    assert [found[each].kind for each in ("/echo", "/socket")] == ["websocket"] * 2
    assert found["/socket"].view.is_async


def test_converters_of_the_app() -> None:
    """M50: their expressions count."""
    register_url_convertor("hex", Hex())
    found = routes(read_table(Starlette(routes=[Route("/{id:hex}", view)])))
    assert found["/{id:hex}"].path.matches("/beef")
    assert not found["/{id:hex}"].path.matches("/xyz")


def test_mounts_and_hosts(tmp_path: Path) -> None:
    """M50: routers, sub-apps, files, and WSGI apps by an adapter, each at its place."""
    app = Starlette(
        routes=[
            Host("{tenant}.example.org", Router([Route("/a", view)])),
            Mount("/sub", Starlette(routes=[Route("/b", view)])),
            Mount("/{year:int}", routes=[Route("/c", view)]),
            Mount("/files", StaticFiles(directory=tmp_path)),
            Mount("/old", WSGIMiddleware(flask_app)),
            Mount("/", threaded),
        ]
    )
    host, sub, year, files, old, root = mounts(read_table(app, "x:app"))
    assert (host.host, list(routes(host.table))) == ("{tenant}.example.org", ["/a"])
    assert (host.table.app, sub.table.app) == ("x:app", "starlette.applications.Starlette")
    assert (str(sub.path), list(routes(sub.table))) == ("/sub", ["/b"])
    assert year.path.matches("/2026")
    (sent,) = routes(files.table).values()
    assert sent.note == f"files of {tmp_path}"
    assert (old.table.framework, old.table.app) == ("Flask", "Flask 'examples.flask_on_bridge'")
    assert (str(root.path), root.table.unread) == ("/", "its routes cannot be read")


def test_what_a_router_asks_at_last() -> None:
    """M50: an app in place of its 404; routes of a class of its own are not known."""
    router = Router([Strange()], default=threaded, redirect_slashes=False)
    table = read_table(router)
    strange, default = mounts(table)
    assert table.redirects_slashes == ""
    assert strange.condition == f"{__name__}.Strange.matches says so"
    assert strange.table.unread.startswith("a route of a class of its own")
    assert default.table.view.name == f"{__name__}.threaded"


def test_fastapi() -> None:
    """M50: included routers with all their prefixes, and its own pages."""
    app = FastAPI()
    inner, outer = APIRouter(prefix="/items"), APIRouter(prefix="/v1")

    @inner.get("/{id}")
    async def item(id: int) -> None: ...

    @inner.websocket("/live")
    async def live(socket: Any) -> None: ...

    @app.post("/login")
    def login() -> None: ...

    outer.include_router(inner)
    outer.mount("/old", flask_app)
    app.include_router(outer, prefix="/api")
    table = read_table(app)
    found = routes(table)
    assert table.framework == "FastAPI"
    assert found["/api/v1/items/{id}"].view.name == f"{__name__}.test_fastapi.item"
    assert found["/api/v1/items/{id}"].methods == ("GET",)
    assert found["/api/v1/items/live"].kind == "websocket"
    assert found["/login"].view.is_async is False
    assert {"/docs", "/openapi.json"} <= set(found)
    assert [str(each.path) for each in mounts(table)] == ["/api/old"]  # FastAPI leaves /v1 out


def test_starlette_without_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    """M50: its routes are read as they stand; an ASGI app as endpoint has every method."""
    monkeypatch.delattr("fastapi.routing.iter_route_contexts", raising=False)
    app = Starlette(routes=[Route("/", view), Route("/app", StaticFiles(check_dir=False))])
    first, second = routes(read_table(app)).values()
    assert (first.methods, second.methods) == (("GET", "HEAD"), ())


def test_files_of_a_front_end(tmp_path: Path) -> None:
    """M50: FastAPI asks for them at last."""
    app = FastAPI(openapi_url=None)
    if not hasattr(app, "frontend"):
        return
    app.frontend("/web", directory=str(tmp_path))
    app.get("/web/now")(threaded)
    now, web = routes(read_table(app)).values()
    assert covers(web.path, now.path)
    assert web.note.startswith("files of ")
