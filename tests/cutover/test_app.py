"""The ramp as an ASGI app."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from bridge import (
    ClientDisconnected,
    ConfigError,
    Cutover,
    LifespanFailed,
    Mount,
    Route,
    UnsupportedScope,
)
from bridge.asgi.lifespan import Lifespan
from bridge.cutover.sides import Choice
from bridge.errors import OVER_TIME
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.in_process import http, talk, websocket


def old(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """A WSGI app that tells its place."""
    start_response("200 OK", [])
    return [json.dumps(["old", environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app that tells its place and its state; it knows no lifespan."""
    assert scope["type"] in ("http", "websocket")
    told = ["new", scope["root_path"], scope["path"]]
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept", "headers": [(b"x", b"1")]})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


ROUTES = [
    Route("new", "/new/{id}", mode="new"),
    Route("root", "/", mode="new"),
    Route("some", "/some", mode="canary", share=100),
]


def test_the_route_decides_and_the_field_tells() -> None:
    """M1, M2: below the place of the app, which both apps see as it is."""
    app = Cutover(old, new, ROUTES)
    answer = http(app, "/x/new/1", root_path="/x")
    assert json.loads(answer.body) == ["new", "/x", "/x/new/1"]
    assert answer.headers["x-served-by"] == "new"
    answer = http(app, "/x/other", root_path="/x")
    assert json.loads(answer.body) == ["old", "/x", "/other"]
    assert answer.headers["x-served-by"] == "old"
    assert http(app, "/x", root_path="/x").headers["x-served-by"] == "new"


@pytest.mark.parametrize(("name", "field"), [(None, None), ("", None), ("X-By", "x-by")])
def test_the_field_can_have_another_name_or_be_off(name: str | None, field: str | None) -> None:
    """M2: `served_by` names it; None for no field."""
    headers = http(Cutover(old, new, ROUTES, served_by=name), "/new/1").headers
    assert headers == ({field: "new"} if field else {})


def test_a_switch_is_in_force_at_once() -> None:
    """M3: the next request goes to the other side."""
    app = Cutover(old, new, ROUTES)
    app.switches.set("new", "old")
    assert http(app, "/new/1").headers["x-served-by"] == "old"
    assert app.table.routes[0].mode == "old"


def test_websockets_take_the_route_of_a_get() -> None:
    """M1, M2: the handshake says who answered; a WSGI app takes none."""
    app = Cutover(old, new, [Route("new", "/new/{id}", methods="GET", mode="new")])
    (accept, *_) = websocket(app, "/new/1")
    assert accept["headers"] == [(b"x", b"1"), (b"x-served-by", b"new")]
    assert [each["type"] for each in websocket(app, "/old")] == ["websocket.close"]


class Counting:
    """A canary that sends everything to one side, and notes what it hears."""

    def __init__(self, side: str) -> None:
        self.choice = Choice(side, (b"x-choice", b"kept"))
        self.heard: list[tuple[str, str, int]] = []

    def choose(self, route: Route, scope: Scope) -> Choice:
        return self.choice

    def rescued(self, route: Route, error: Exception) -> None:
        self.heard.append((route.name, repr(error), 0))

    def observe(self, route: Route, side: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append((route.name, side, status))


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_canary_chooses_and_hears_how_it_went(side: str) -> None:
    """M1: of its own routes only; what it adds to a response is there."""
    canary = Counting(side)
    app = Cutover(old, new, ROUTES, canary=canary)
    headers = http(app, "/some").headers
    assert (headers["x-choice"], headers["x-served-by"]) == ("kept", side)
    assert "x-choice" not in http(app, "/new/1").headers
    assert canary.heard == [("some", side, 200)]


def test_a_canary_hears_of_exceptions() -> None:
    """M1: one before the response is a 500."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    canary = Counting("new")
    with pytest.raises(ValueError, match="broken"):
        http(Cutover(old, broken, ROUTES, canary=canary), "/some")
    assert canary.heard == [("some", "new", 500)]


def test_a_canary_hears_of_what_fails_later_or_takes_too_long() -> None:
    """M21: half a response is a failure, a request that its host cancels is nobody's."""

    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("half")

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    async def left(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnected("gone")

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError(OVER_TIME)

    for app, raised, status in (
        (half, ValueError, 500),
        (waits, asyncio.CancelledError, 0),
        (late, asyncio.CancelledError, 504),
        (left, ClientDisconnected, 0),
    ):
        canary = Counting("new")
        with pytest.raises(raised):
            http(Cutover(old, app, ROUTES, canary=canary), "/some")
        assert canary.heard == [("some", "new", status)]


def test_the_old_app_answers_what_the_new_one_fails() -> None:
    """M22: a safe request, which is told; the response says who it was."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/fine":
            raise ValueError("broken")
        await new(scope, receive, send)

    routes = [
        Route("all", "/all", mode="new", rescue=True),
        Route("some", ["/some", "/fine"], mode="canary", share=100, rescue=True),
    ]
    canary = Counting("new")
    app = Cutover(old, broken, routes, canary=canary)
    for path in ("/all", "/some"):
        answer = http(app, path)
        assert json.loads(answer.body) == ["old", "", path]
        assert answer.headers["x-served-by"] == "old"
    assert http(app, "/fine").headers["x-served-by"] == "new"
    told = repr(ValueError("broken"))
    assert canary.heard == [
        ("all", told, 0),
        ("some", told, 0),
        ("some", "new", 500),
        ("some", "new", 200),
    ]
    with pytest.raises(ValueError, match="broken"):
        http(app, "/some", method="POST")


# ------------------------------------------------------------- lifespans


def living(name: str, told: list[str], *, fails: bool = False) -> Starlette:
    """An app with a lifespan."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        told.append(f"{name} up")
        if fails:
            raise ValueError("no database")
        yield {"name": name}
        told.append(f"{name} down")

    return Starlette(lifespan=lifespan)


async def live(app: Cutover) -> None:
    """Start and stop."""
    lifespan = Lifespan(app)
    await lifespan.startup()
    await lifespan.shutdown()


def test_both_lifespans_run_each_with_its_state() -> None:
    """M1: the old app starts first, and stops last."""
    told: list[str] = []
    app = Cutover(living("old", told), living("new", told), ROUTES)
    asyncio.run(live(app))
    assert told == ["old up", "new up", "new down", "old down"]
    assert [side.state for side in app.sides.values()] == [{"name": "old"}, {"name": "new"}]


def test_a_new_app_that_fails_to_start_gets_no_requests(caplog: Any) -> None:
    """M1: the server starts, the log says why, and the old app answers everything."""
    told: list[str] = []
    app = Cutover(old, living("new", told, fails=True), ROUTES)

    async def start() -> None:
        lifespan = Lifespan(app)
        await lifespan.startup()
        assert app.choose(app.table.routes[0], {}).side == "old"
        await lifespan.shutdown()

    with caplog.at_level(logging.ERROR, "bridge"):
        asyncio.run(start())
    (record,) = caplog.records
    assert "the new app did not start, so the old app answers everything: " in record.message
    assert "no database" in record.message
    assert app.new_failed


def test_a_start_may_need_the_new_app() -> None:
    """M1: with `require_new` the start fails, as it does if the old app fails."""
    told: list[str] = []
    needed = Cutover(living("old", told), living("new", told, fails=True), require_new=True)
    with pytest.raises(LifespanFailed, match=r"the new app: .*no database"):
        asyncio.run(live(needed))
    assert told == ["old up", "new up", "old down"]
    with pytest.raises(LifespanFailed, match=r"the old app: .*no database"):
        asyncio.run(live(Cutover(living("old", told, fails=True), new)))


# ------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"old": object()}, "the old app: "),
        ({"new": object()}, "the new app: "),
        ({"new": old}, "old and new are the same app"),
        ({"new": Mount(new, strip_prefix=True)}, "the new app is a Mount with when"),
        ({"routes": [Route("a", "/a"), Route("a", "/b")]}, "two routes are called a"),
        (
            {"routes": [Route("a", "/a", gate={"window": 60}, on_rollback="gone:f")]},
            "route a: on_rollback is 'gone:f', which is not there: No module named 'gone'",
        ),
        ({"shadow": {"sample": 200}}, "shadow: sample is 200; allowed is a number of percent"),
        ({"served_by": "a b"}, "served_by is 'a b'; allowed is the name of a response field"),
        ({"served_by": 3}, "served_by is 3"),
        ({"require_new": "perhaps"}, "require_new is 'perhaps'; allowed is true or false"),
        ({"thread": 4}, "thread is no setting of Cutover; did you mean threads?"),
    ],
)
def test_what_cannot_be_right_is_refused(given: dict[str, Any], says: str) -> None:
    """M5: one line that says what was seen and what is allowed."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        Cutover(**{"old": old, "new": new, **given})


def test_other_scopes_and_how_it_looks() -> None:
    """M1: a scope of another type is the host's mistake."""
    app = Cutover(old, new)
    with pytest.raises(UnsupportedScope, match="a Cutover takes http"):
        asyncio.run(talk(app, {"type": "mqtt"}, []))
    assert repr(app).startswith("Cutover(<function old")
