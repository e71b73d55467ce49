"""A cutover on our own server: taken apart, with the same answers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from bridge import Cutover, Dispatcher, Mount, Route, WsgiToAsgi
from bridge.cutover.sides import Choice
from bridge.server.apps.cutover import CutoverHandler
from bridge.server.apps.handlers import make_handler, runner_apps
from bridge.server.apps.mounts import (
    cutovers_of,
    follow_files,
    mounted_runners,
    reread_routes,
    sides_of,
)
from bridge.types import Scope
from tests.server.apps.test_handlers import on_asgi, on_wsgi
from tests.support.raw import Response, request
from tests.support.serving import Served, served
from tests.support.waiting import eventually

ROUTES = [
    Route("new", "/new/{id}", mode="new"),
    Route("posted", "/posted", methods="POST", mode="new"),
    Route("host", "/x", host="new.example.com", mode="new"),
    Route("some", "/some", mode="canary", share=100),
]


def make(**more: Any) -> Cutover:
    return Cutover(on_wsgi("old"), on_asgi("new"), ROUTES, **more)


def served_by(answer: Response) -> str | None:
    value = answer.value(b"x-served-by")
    return None if value is None else value.decode()


def ask(server: Served, *requests: bytes) -> list[tuple[int, str | None]]:
    """Status of each, and who answered."""
    with server.connect() as client:
        answers = []
        for each in requests:
            client.send(each)
            answer = client.response()
            answers.append((answer.status, served_by(answer)))
    return answers


def test_a_cutover_is_taken_apart() -> None:
    """M1: its handler, and the runners of the apps in it, are found wherever it is mounted."""
    cutover = make()
    assert isinstance(make_handler(cutover, {}), CutoverHandler)
    mounted = Dispatcher({"/a": cutover}, fallback=[cutover])
    assert [name for name, _ in runner_apps(cutover)] == ["the old app"]
    assert [mount for mount, _ in mounted_runners(mounted)] == ["/a"]
    assert [*cutovers_of(mounted)] == [cutover, cutover]
    assert not sides_of(mounted)


@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
def test_requests_go_straight_to_their_app(runner: str) -> None:
    """M1, M2: on one connection, to both sides, with whatever runs the old app."""
    cutover = Cutover(Mount(on_wsgi("old"), settings={"runner": runner}), on_asgi("new"), ROUTES)
    with served(cutover) as server:
        assert ask(
            server,
            request("/"),
            request("/new/1"),
            request("/posted"),
            request("/posted", "Content-Length: 0", method="POST"),
            request("/x"),
            request("/some"),
        ) == [
            (200, "old"),
            (200, "new"),
            (200, "old"),
            (200, "new"),
            (200, "old"),
            (200, "new"),
        ]


def test_below_a_mount_and_a_root_path() -> None:
    """M1: patterns are for what is left of the path."""
    with served(Dispatcher({"/app": make()}), root_path="/site") as server:
        assert ask(server, request("/site/app/new/1"), request("/app/new/1")) == [(200, "new")] * 2
        assert ask(server, request("/app"), request("/app/new")) == [(200, "old")] * 2


def test_errors_say_whose_they_are() -> None:
    """M2: also if the server answers for an app that raises, or that takes too long."""

    def broken(environ: Any, start_response: Any) -> Any:
        raise ValueError("broken")

    never = threading.Event()

    def slow(environ: Any, start_response: Any) -> Any:
        never.wait(20)
        raise AssertionError

    routes = [Route("slow", "/slow", mode="new")]
    timed = WsgiToAsgi(slow, timeout_request=0.05)
    with served(Cutover(broken, timed, routes)) as server:
        assert ask(server, request("/")) == [(500, "old")]
        assert ask(server, request("/slow")) == [(504, "new")]
        never.set()


def test_a_switch_is_in_force_for_the_next_request() -> None:
    """M3: also on a connection that is open."""
    cutover = make()
    with served(cutover) as server, server.connect() as client:
        for mode in ("old", "new", "old"):
            server.call(lambda mode=mode: cutover.switches.set("new", mode))
            client.send(request("/new/1"))
            assert served_by(client.response()) == mode


class Canary:
    """Sends each request to the other side, and notes how it went."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int]] = []
        self.side = "old"

    def choose(self, route: Route, scope: Scope) -> Choice:
        assert scope["path"] == "/some"
        self.side = {"old": "new", "new": "old"}[self.side]
        return Choice(self.side, (b"x-choice", self.side.encode()))

    def observe(self, route: Route, side: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append((route.name, side, status))


def test_a_canary_chooses_and_hears_how_it_went() -> None:
    """M1: also without any figures; a field of its own is on the response."""
    canary = Canary()
    with served(make(canary=canary)) as server, server.connect() as client:
        for side in ("new", "old", "new"):
            client.send(request("/some"))
            answer = client.response()
            assert (answer.value(b"x-choice"), served_by(answer)) == (side.encode(), side)
        client.send(request("/new/1"))
        assert client.response().value(b"x-choice") is None
        eventually(lambda: len(canary.heard) == 3)
        assert canary.heard == [("some", side, 200) for side in ("new", "old", "new")]


def test_figures_are_by_route_and_side() -> None:
    """M2: beside those by mount, which are the sum."""
    with served(make(), metrics_bind="127.0.0.1:1") as server:
        ask(server, request("/"), request("/new/1"), request("/new/2"), request("/some"))

        def totals(name: str) -> list[tuple[dict[str, str], int]]:
            snapshot = server.call(server.server.figures)
            return [(labels, count) for labels, count in snapshot[name]["samples"] if count]

        eventually(lambda: totals("bridge_requests_total") == [({"mount": "/"}, 4)])
        assert totals("bridge_cutover_requests_total") == [
            ({"route": "-", "side": "old"}, 1),
            ({"route": "new", "side": "new"}, 2),
            ({"route": "some", "side": "new"}, 1),
        ]
        assert totals("bridge_cutover_responses_total")[1] == (
            {"route": "new", "side": "new", "class": "2xx"},
            2,
        )


def test_a_new_app_that_did_not_start_gets_nothing() -> None:
    """M1: whatever the modes say."""
    cutover = make()
    cutover.new_failed = "no database"
    with served(cutover) as server:
        assert ask(server, request("/new/1"), request("/some")) == [(200, "old")] * 2


def test_files_are_read_again_when_told(tmp_path: Path, caplog: Any) -> None:
    """M3, M5: those of every cutover; a wrong one is an error in the log, and changes nothing."""
    file = tmp_path / "cutover.toml"
    file.write_text('[[routes]]\nname = "a"\npaths = "/a"\n')
    cutover = Cutover(on_wsgi("old"), on_asgi("new"), str(file))
    app = Dispatcher({"/": cutover, "/b": make()})
    file.write_text('[[routes]]\nname = "a"\npaths = "/a"\nmode = "new"\n')
    reread_routes(app)
    assert cutover.table.routes[0].mode == "new"
    file.write_text("routes = 1")
    reread_routes(app)
    assert cutover.table.routes[0].mode == "new"
    assert "the routes stay as they were" in caplog.text


def test_where_nobody_says_when_the_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M3: under Gunicorn; routes in Python have no file."""
    file = tmp_path / "cutover.toml"
    file.write_text('[[routes]]\nname = "a"\npaths = "/a"\n')
    followed = Cutover(on_wsgi("old"), on_asgi("new"), str(file))
    looked: list[object] = []
    assert followed.file is not None
    monkeypatch.setattr(followed.file, "follow", looked.append)
    follow_files(Dispatcher({"/x": followed, "/y": make()}))
    assert looked == [followed.switches]
