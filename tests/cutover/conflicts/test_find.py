"""What is wrong with the routes of a cutover, told before a request comes."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from quart import Quart
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute
from starlette.routing import Route as StarletteRoute

from bridge import Dispatcher
from bridge.cutover.conflicts.find import find_conflicts
from bridge.cutover.route import Route
from bridge.route_tables import read_table, site_table


async def unknown(scope: Any, receive: Any, send: Any) -> None: ...


async def view(request: Any) -> Response:
    return Response()


def starlette(*paths: str, methods: list[str] | None = None) -> Starlette:
    return Starlette(routes=[StarletteRoute(path, view, methods=methods) for path in paths])


def flask(**routes: list[str]) -> Flask:
    """A Flask app with these views, each with its path and its methods."""
    app = Flask("old", static_folder=None)
    for name, (path, *methods) in routes.items():
        app.add_url_rule(path, name, lambda: "", methods=methods or ["GET"])
    return app


def told(old: Any, new: Any, *routes: Route) -> list[str]:
    tables = [site_table(read_table(app)) for app in (old, new)]
    return [
        ("hint: " if each.is_hint else "") + each.text for each in find_conflicts(routes, *tables)
    ]


def test_a_route_that_no_request_can_reach() -> None:
    """M4: one that comes before it takes all of it, whatever their modes; only what is sure."""
    routes = [
        Route("all", ["/a/{rest:path}", "/b"]),
        Route("reads", "/c", methods="GET"),
        Route("writes", "/c", methods=["POST", "PUT"]),
        Route("late", ["/a/{id}", "/z"], mode="new"),
        Route("both", "/c", methods=["GET", "POST"]),
        Route("more", "/c"),
        Route("host", "/b", host="x.org"),
        Route("twice", ["/d/{id}", "/d/new"]),
    ]
    assert told(unknown, unknown, *routes) == [
        "route late never gets /a/{id}: route all, which comes before it, takes all of that; put "
        "route late first",
        "route both never gets /c: route reads and route writes, which come before it, take all of "
        "that; put route both first",
        "route host never gets x.org/b: route all, which comes before it, takes all of that; put "
        "route host first",
    ]


@pytest.mark.parametrize("mode", ["shadow", "canary", "new"])
def test_a_path_that_the_new_app_does_not_have(mode: str) -> None:
    """M4: it would answer 404, or 405; of a route in mode old that is a hint."""
    share = 5 if mode == "canary" else None
    route = Route("a", ["/a/{id}", "/b"], mode=mode, share=share)
    assert told(unknown, starlette("/b"), route) == [
        "route a: the new app has no /a/{id}, and answers 404"
    ]
    assert told(unknown, starlette("/a/{id:int}", "/{x}"), route) == []
    assert told(unknown, unknown, route) == []
    assert told(unknown, starlette("/b"), route.switched("old")) == [
        "hint: the new app would answer 404 for what is in mode old: /a/{id} (route a)"
    ]
    writes = Route("w", "/b", methods=["POST", "PUT"], mode="new")
    (line, hint) = told(unknown, starlette("/b"), writes)
    assert line == "route w: the new app has no POST,PUT /b, and answers 405"
    assert hint.startswith("hint: no route of the cutover names 1 route of the new app")


def test_what_the_old_app_has_and_the_new_one_does_not() -> None:
    """M4: also if that is a part of what a route takes, with the views of the old app."""
    old = flask(
        one=["/a/<int:id>", "GET", "POST"], pdf=["/a/<id>/pdf"], out=["/b"], part=["/a/in/part"]
    )
    new = starlette("/a/{id}")
    name = f"{__name__}.flask.<lambda>"
    every = Route("a", "/a/{rest:path}", mode="new")
    (line,) = told(old, new, every)
    assert line.replace(name, "f") == (
        "route a: the new app does not have what the old app has, and answers 404 or 405: "
        "GET /a/in/part (f), POST /a/{id} (f), GET /a/{id}/pdf (f)"
    )
    (line, _) = told(old, new, Route("p", "/a/{id}/pdf"), Route("a", "/a/7", mode="new"))
    assert line.replace(name, "f").endswith("answers 405: POST /a/7 (f)")
    assert told(old, new, Route("a", "/a/{id}", methods="GET", mode="new")) == []
    rest = [Route("p", ["/a/{id}/pdf", "/a/in/part"]), Route("w", "/a/{id}", methods="POST"), every]
    assert all(line.startswith("hint: the new app would") for line in told(old, new, *rest))
    many = flask(**{f"v{number}": [f"/a/x/{number}"] for number in range(6)})
    assert told(many, new, every)[0].endswith("v, and 2 more".replace("v, ", ", "))


def test_slashes() -> None:
    """M4: a redirect to a path that goes to the old app is told; one to the new app is none."""
    new, other = starlette("/a"), flask(b=["/b/"])
    line = "route r: the new app redirects {}, which goes to the old app; name {} in the route, too"
    (first, _) = told(unknown, new, Route("r", "/a/", mode="new"))
    assert first == line.format("/a/ to /a", "/a")
    (first, _) = told(unknown, other, Route("r", "/b", mode="new"))
    assert first == line.format("/b to /b/", "/b/")
    assert told(unknown, new, Route("r", ["/a", "/a/"], mode="new")) == []
    assert told(unknown, flask(b=["/b"]), Route("r", ["/b", "/b/"], mode="new")) == [
        "route r: the new app has no /b/, and answers 404"
    ]
    wide = Route("r", ["/a", "/a/{x:path}"], mode="new")
    assert told(flask(a=["/a/"]), starlette("/a", "/a/{x}"), wide) == []
    assert told(unknown, new, Route("r", "/{x:path}", mode="new")) == []
    assert told(unknown, starlette("/b"), Route("r", ["/", "/b"], mode="new")) == [
        "route r: the new app has no /, and answers 404"
    ]


def test_routes_of_the_new_app_that_no_route_names() -> None:
    """M4: one hint, which counts them and names a few; pages that FastAPI adds do not count."""
    new = FastAPI()
    for number in range(6):
        new.get(f"/v{number}")(view)
    new.post("/v0")(view)
    routes = [Route("r", "/v0", methods="GET"), Route("one", "/v1", mode="new")]
    assert told(unknown, new, *routes) == [
        "hint: no route of the cutover names 5 routes of the new app, and the old app answers "
        "there: GET /v2, GET /v3, GET /v4, GET /v5, and 1 more"
    ]
    for empty in (Quart("new"), Flask("new"), FastAPI()):
        assert told(unknown, empty, Route("r", "/x")) == [
            "hint: the new app would answer 404 for what is in mode old: /x (route r)"
        ]


def test_what_the_old_app_does_not_have_any_more() -> None:
    """M4: it answers 404, and cannot answer for the new app; mode new is right."""
    old, new = flask(one=["/a/"]), starlette("/a", "/b")
    gone = Route("b", "/b", mode="new")
    assert told(old, new, Route("a", "/a"), gone) == []
    assert told(unknown, new, gone.switched("old"), Route("a", "/a")) == []
    for mode, share in (("old", None), ("shadow", None), ("canary", 5)):
        assert told(old, new, Route("a", "/a"), gone.switched(mode, share)) == [
            f"route b: the old app has no /b, and answers 404; the mode is {mode}"
        ]
    (line,) = told(old, new, Route("a", "/a"), Route("b", "/b", mode="new", rescue=True))
    assert line == ("route b: the old app has no /b, and rescue is no help; take rescue out of it")


def test_a_shadow_of_what_is_never_copied() -> None:
    """M4: a route with only POST would compare nothing; one with GET beside it does."""
    app = starlette("/price", methods=["GET", "POST"])
    shadow = Route("price", "/price", methods="POST", mode="shadow")
    (line,) = [each for each in told(app, app, shadow) if not each.startswith("hint")]
    assert line == (
        "route price: POST is never copied, so mode shadow compares nothing here; "
        "only GET, HEAD and OPTIONS are"
    )
    assert told(app, app, Route("p", "/price", methods=["GET", "POST"], mode="shadow")) == []


def test_a_method_that_is_typed_wrongly() -> None:
    """M4: no app has it, and one that they know is written like it; others may be meant."""
    app = starlette("/price", methods=["GET", "GETS"])
    lines = told(app, app, Route("price", "/price", methods=["GTE", "GETS", "PROPFIND"]))
    assert [line for line in lines if "knows" in line] == [
        "route price: no app here knows the method GTE; did you mean GET?"
    ]


def test_websockets_are_gets() -> None:
    """M4: a route without GET takes none."""
    new = Starlette(routes=[WebSocketRoute("/ws", view)])
    hint = told(unknown, new, Route("w", "/ws", methods="POST"))
    assert hint[-1].endswith("there: WebSocket /ws")
    assert told(unknown, new, Route("w", "/ws", mode="new")) == []
    old = Starlette(routes=[WebSocketRoute("/a/ws", view), StarletteRoute("/a/x", view)])
    (line,) = told(old, starlette("/a/x"), Route("w", "/a/{p}", mode="new"))
    assert line.replace(f"{__name__}.", "").endswith("answers 404: WebSocket /a/ws (view)")


def test_mounts_and_apps_that_cannot_be_read() -> None:
    """M4: nothing is said where an unknown app may answer."""
    new = Dispatcher({"/api": unknown, "/v2": starlette("/x")})
    (line,) = told(unknown, new, Route("r", ["/api/x", "/v2/x", "/v2/y"], mode="new"))
    assert line == "route r: the new app has no /v2/y, and answers 404"
    site = Starlette(routes=[Mount("/in", starlette("/x"))])
    assert told(unknown, site, Route("r", "/in/x", mode="new")) == []
