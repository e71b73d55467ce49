"""Conflicts of a cutover are told when its apps have started, and when its routes change."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from flask import Flask

from bridge import Cutover
from bridge.asgi.lifespan import Lifespan
from bridge.cutover.conflicts import telling
from bridge.cutover.conflicts.telling import Line, Told, conflict_lines
from bridge.cutover.route import Route
from tests.support.apps.clashing import new, old
from tests.support.waiting import eventually

LATE = "route late never gets /invoices/{id}: route all, which comes before it"


def cutover(*more: Route) -> Cutover:
    routes = [Route("all", "/invoices/{rest:path}"), Route("late", "/invoices/{id}"), *more]
    return Cutover(old, new, routes)


def start(app: Cutover) -> None:
    """Start and stop the lifespan."""

    async def run() -> None:
        lifespan = Lifespan(app, startup_timeout=10, shutdown_timeout=10)
        await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(run())


def test_at_the_start_and_when_other_routes_are_in_force() -> None:
    """M4: once the apps have started; a switch that changes nothing for the paths is no news."""
    app, looks = cutover(Route("search", "/search")), list[list[str]]()
    app.conflicts.say = lambda lines: looks.append([text for _, text in lines])
    app.switches.set("search", "new")
    assert looks == []  # they have not started
    start(app)
    eventually(lambda: len(looks) == 1)
    assert any("search: the new app has no /search" in text for text in looks[0])
    assert looks[0][0].startswith(LATE)
    app.conflicts.begin()  # a second start changes nothing
    app.switches.set("search", "canary", 5)
    eventually(lambda: len(looks) == 2)
    app.switches.set("search", "canary", 7)
    app.switches.set("search", "old")
    eventually(lambda: len(looks) == 3)
    assert not any("and answers 404" in text and "new app" in text for text in looks[2])
    eventually(lambda: not app.conflicts.is_looking)


def test_the_old_app_is_known_once_its_routes_were_read() -> None:
    """M22: what it has by them; a route that takes every path says nothing."""
    app = cutover()
    assert not app.conflicts.old_has("/search", "GET", "")
    start(app)
    eventually(lambda: not app.conflicts.is_looking)
    asked = [
        *(("/search", "GET"), ("/search", "HEAD"), ("/invoices/7/pdf", "GET")),
        *(("/search", "POST"), ("/invoices/x", "GET"), ("/nothing", "GET"), ("/", "GET")),
    ]
    assert [app.conflicts.old_has(*each, "") for each in asked] == [True] * 3 + [False] * 4
    every = Flask("every", static_folder=None)
    every.add_url_rule("/<path:rest>", "page", lambda rest: rest)
    app = Cutover(every, new, [Route("a", "/a")])
    start(app)
    eventually(lambda: not app.conflicts.is_looking)
    assert not app.conflicts.old_has("/a", "GET", "")


def test_lines_that_stand_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """M4: with the level that they have."""
    caplog.set_level(logging.INFO, "bridge")
    told = Told()
    one, two = (logging.WARNING, "100 % one"), (logging.INFO, "two")
    for lines in ([one], [one, two], [two], [one, two]):
        told(lines)
    found = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert found == [one, two, one]


def test_the_most_lines() -> None:
    """M4: a site of which nothing fits does not fill the log."""
    many = [Route(f"r{number}", "/invoices/{id}") for number in range(40)]
    lines = conflict_lines(cutover(*many))
    assert (len(lines), lines[-1]) == (21, (logging.WARNING, "and 22 more conflicts of routes"))
    assert (
        conflict_lines(
            Cutover(
                old, new, [Route("health", "/health", mode="new"), Route("i", "/invoices/{id}")]
            )
        )
        == []
    )


def test_what_cannot_be_told_is_no_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M4: one line for those who debug, whatever goes wrong; the server starts."""
    caplog.set_level(logging.DEBUG, "bridge")

    def fail(*given: Any) -> list[Line]:
        raise KeyError("of a framework")

    monkeypatch.setattr(telling, "_lines", fail)
    app, said = cutover(), []
    app.conflicts.say = said.append
    start(app)
    eventually(lambda: bool(said))
    assert said == [[]]
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.DEBUG] == []
    assert [text for text in caplog.messages if "not compared" in text] == [
        "the routes of the cutover were not compared: KeyError('of a framework')"
    ]

    class NoThread:
        def __init__(self, *given: Any) -> None: ...

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(telling, "NativeThread", NoThread)
    other = cutover()
    start(other)
    assert "can't start new thread" in caplog.text
    assert other.conflicts.lines() == []


def test_a_look_that_is_out_of_date_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """M4: other routes are in force by now; and a loop that has ended takes nothing."""
    mains: list[Any] = []

    class Later:
        def __init__(self, main: Any, name: str) -> None:
            mains.append(main)

        def start(self) -> None: ...

    monkeypatch.setattr(telling, "NativeThread", Later)
    app, looks = cutover(Route("search", "/search")), list[int]()
    app.conflicts.say = lambda lines: looks.append(len(lines))
    app.conflicts.begin()
    app.switches.set("search", "new")
    for main in mains:
        main()
    assert looks == [3]

    def ended(lines: Any) -> None:
        raise RuntimeError("Event loop is closed")

    app.conflicts.say = ended
    mains[-1]()
