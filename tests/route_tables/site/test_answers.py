"""Who would answer a request."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from bridge import Dispatcher
from bridge import Mount as BridgeMount
from bridge.cutover.app import Cutover
from bridge.cutover.route import Route as Switch
from bridge.route_tables import read_table, site_table, who_answers
from bridge.route_tables.route import RouteKind

old = Flask("old", static_folder=None)


@old.get("/")
def home() -> str:
    return "home"


@old.get("/users/")
def users() -> str:
    return "users"


@old.get("/<path:rest>")
def anything(rest: str) -> str:
    return "anything"


@old.post("/api/users")
def shadowed() -> str:
    return "shadowed"


def answering(text: str) -> Any:
    async def view(request: Any) -> Any:
        return PlainTextResponse(text)

    view.__qualname__ = text
    return view


new = Starlette(
    routes=[
        Route("/users/{id:int}", answering("user")),
        Route("/users/me", answering("me"), methods=["PUT"]),
        Route("/items/", answering("items")),
        WebSocketRoute("/live", answering("live")),
        Mount("/deep", routes=[Route("/x", answering("x"))]),
    ]
)


async def bare(scope: Any, receive: Any, send: Any) -> None: ...


site = Dispatcher({"/": old, "/api": new})


def asked(
    app: Any, path: str, method: str = "GET", host: str = "", kind: RouteKind = "http"
) -> list[tuple[str, str, bool]]:
    """Who answers: its view or its app, what is said, and whether it is sure."""
    names = {id(old): "old:app", id(new): "new:app", id(bare): "bare:app"}
    rows = site_table(read_table(app, "site:app", lambda each: names.get(id(each), "")))
    found = who_answers(rows, path, method, host, kind)
    return [
        (each.row.app.app if each.row.is_rest else each.row.view.name, each.says, each.surely)
        for each in found
    ]


CASES = [
    ("GET", "/", f"{__name__}.home", ""),
    ("GET", "/apiary", f"{__name__}.anything", ""),
    ("GET", "/api/users/7", f"{__name__}.user", ""),
    ("POST", "/api/users", "new:app", "404: no route"),
    ("POST", "/api/users/me", "new:app", "405: the methods here are PUT"),
    ("GET", "/api/items", "new:app", "a redirect to /api/items/"),
    ("GET", "/api/users/7/", "new:app", "a redirect to /api/users/7"),
    ("GET", "/api/deep/x", f"{__name__}.x", ""),
    ("POST", "/users/", "old:app", "405: the methods here are GET, HEAD, OPTIONS"),
]


@pytest.mark.parametrize(("method", "path", "view", "says"), CASES)
def test_who_answers(method: str, path: str, view: str, says: str) -> None:
    """M50: the route that takes it, or the app that refuses it."""
    assert asked(site, path, method) == [(view, says, True)]


def test_what_is_told_happens() -> None:
    """M50: the apps answer as it was told."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(site)
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
            return [await client.request(method, path) for method, path, _, _ in CASES]

    for response, (_, path, view, says) in zip(asyncio.run(ask()), CASES, strict=True):
        if says.startswith("a redirect to "):
            assert response.is_redirect
            assert response.headers["location"].endswith(says.removeprefix("a redirect to "))
        elif says:
            assert str(response.status_code) == says.partition(":")[0], path
        else:
            assert response.text == view.rpartition(".")[2]


def test_nobody() -> None:
    """M50: the dispatcher itself answers if nothing is mounted there."""
    assert asked(Dispatcher({"/a": old}), "/b") == [("site:app", "404: no route", True)]


def test_websockets() -> None:
    """M50: they have routes of their own."""
    assert asked(site, "/api/live", kind="websocket") == [(f"{__name__}.live", "", True)]
    refused = ("old:app", "no route: the WebSocket is refused", True)
    assert asked(site, "/live", kind="websocket") == [refused]


def test_hosts() -> None:
    """M50: without a host only mounts for every host answer."""
    app = Dispatcher({"/": old, "new.org/": new})
    assert asked(app, "/users/7", host="new.org:8000")[0][0] == f"{__name__}.user"
    assert asked(app, "/users/7")[0][0] == f"{__name__}.anything"


def test_predicates_and_fallbacks() -> None:
    """M50: all who may answer are told, in their order, to the first that is sure."""

    def is_beta(request: Any) -> bool:
        return True

    beta = Dispatcher({"/": [BridgeMount(bare, when=is_beta), old]})
    (first, second) = asked(beta, "/")
    assert first[0] == f"{__name__}.bare"
    assert first[1].startswith("its routes cannot be read; if ")
    assert first[1].endswith("is_beta says so")
    assert (first[2], second) == (False, (f"{__name__}.home", "", True))
    chain = Dispatcher(fallback=[new, old])
    refuses = "if it refuses (404 or 405), the next app is asked"
    assert asked(chain, "/users/7") == [
        (f"{__name__}.user", refuses, False),
        (f"{__name__}.anything", "", True),
    ]
    assert asked(chain, "/") == [(f"{__name__}.home", "", True)]


def test_switches() -> None:
    """M50: the new app if its switch says so, else the old one; nobody is told twice."""
    routes = [
        Switch("users", "/users/{id}", methods="GET", mode="canary", share=5),
        Switch("items", "/items/{rest:path}", mode="new"),
    ]
    app = Cutover(old, new, routes)
    share = "by route users (canary); if its client is one of the 5 %"
    assert asked(app, "/users/7") == [
        (f"{__name__}.user", share, False),
        (f"{__name__}.anything", "", True),
    ]
    assert asked(app, "/users/7", "POST")[0][0] == "old:app"
    assert asked(app, "/items/") == [(f"{__name__}.items", "by route items (new)", True)]
    assert asked(app, "/items/x") == [("new:app", "404: no route", True)]


def test_routes_behind_one_that_answers() -> None:
    """M50: in an app that may refuse, or is asked under a condition, they are not asked."""
    both = Starlette(routes=[Route("/a", answering("one")), Route("/{x}", answering("two"))])
    chain = Dispatcher(fallback=[both, old])
    assert [each[0] for each in asked(chain, "/a")] == [f"{__name__}.one", f"{__name__}.anything"]
