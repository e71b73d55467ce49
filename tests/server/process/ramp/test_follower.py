"""The cutovers in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bridge import Cutover, Dispatcher, Route
from bridge.cutover.canary.hook import Rollback
from bridge.cutover.observed.board import Left, Row, key_of, read
from bridge.server.logs.refusals import Refusals
from bridge.server.metrics.figures import Figures
from bridge.server.metrics.histogram import read_clock
from bridge.server.process.ramp.follower import Follower
from bridge.server.process.stacks import StackFile
from bridge.types import Receive, Scope, Send
from tests.support.waiting import eventually

GATE = {"window": 60}


async def old(scope: Scope, receive: Receive, send: Send) -> None:
    """The old app."""


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    """The new app."""


class Waiting:
    """A request that is on its way."""

    unanswered = True
    client_took = 0.0


def message(serial: int, modes: dict[str, Any], texts: dict[str, str] | None = None) -> Any:
    return {"type": "routes", "serial": serial, "modes": modes, "texts": texts or {}}


def cutover(*routes: Route) -> Cutover:
    made = Cutover(old, new, routes)
    made.count_only()
    return made


def test_it_tells_of_its_routes_and_counts_and_does_as_it_is_told() -> None:
    """M3, M21: counts have the number of what was in force; nothing is decided here."""
    served = cutover(Route("a", "/a", mode="canary", share=50, gate=GATE), Route("b", "/b"))
    follower = Follower(Dispatcher({"/x": served, "/y": old}))
    about = follower.about()
    assert [row["name"] for row in about["cutovers"][0]["routes"]] == ["a", "b"]
    assert about["new_failed"] == ""
    answer = follower.obey(message(3, {"a": ["canary", 50], "b": ["old", None]}))
    assert answer == {"type": "routes-set", "serial": 3, "error": "", "looks": False}
    (a, b) = served.table.routes
    for _ in range(500):
        served.canary.observe(a, "new", 500, 0.1)
    told = follower.counts()
    assert told["serial"] == 3
    assert told["counts"]["a"][1][:2] == [500, 500]
    assert follower.counts()["counts"] == {}
    assert served.table.routes == (a, b)
    follower.obey(message(4, {"a": ["old", None], "b": ["old", None]}))
    assert [each.mode for each in served.table.routes] == ["old", "old"]
    assert served.table.routes[1] is b


def test_cutovers_with_a_route_of_one_name_are_added_up() -> None:
    """M3, M21: nothing of the one hides the other."""
    both = [cutover(Route("a", "/a", mode="canary", share=50, gate=GATE)) for _ in range(2)]
    follower = Follower(Dispatcher({"/x": both[0], "/y": both[1]}))
    for each in both:
        each.canary.observe(each.table.routes[0], "new", 500, 0.1)
        each.canary.rescued(each.table.routes[0], ValueError("no"))
    assert follower.counts()["counts"]["a"][1][:2] == [2, 2]
    assert follower.totals(None)["rescued"] == {"a": 2}


def test_it_tells_what_a_person_wants_to_see() -> None:
    """M3: by route and side, since the start; nothing is there without figures."""
    served = cutover(Route("a", "/a", mode="canary", share=50, gate=GATE))
    follower = Follower(served)
    assert follower.totals(None) == {"sides": [], "rescued": {}, "copies": {}}
    figures = Figures((), Refusals())
    for mount in ("/x", "/y"):
        figures.meter(mount, "a", "new").record(read_clock(), 500)
    figures.meter("/x").record(read_clock(), 200)
    served.canary.rescued(served.table.routes[0], ValueError("no"))
    told = follower.totals(figures)
    ((route, side, requests, errors, durations),) = told["sides"]
    assert (route, side, requests, errors, sum(durations)) == ("a", "new", 2, 2, 2)
    assert told["rescued"] == {"a": 1}


def test_a_text_that_this_code_cannot_read_changes_no_routes(tmp_path: Path) -> None:
    """M5: what was decided is in force all the same, and the supervisor is told."""
    file = tmp_path / "cutover.toml"
    text = '[[routes]]\nname = "a"\npaths = "/a"\nmode = "new"\n'
    file.write_text(text)
    served = Cutover(old, new, str(file))
    follower = Follower(served)
    answer = follower.obey(message(2, {"a": ["old", None]}, {str(file): "[[routes"}))
    assert "is not TOML" in answer["error"]
    assert [each.mode for each in served.table.routes] == ["old"]
    more = text + '[[routes]]\nname = "b"\npaths = "/b"\n'
    follower.obey(message(3, {"a": ["new", None], "b": ["new", None]}, {str(file): more}))
    assert [each.mode for each in served.table.routes] == ["new", "new"]


def test_of_two_cutovers_the_first_one_has_the_name() -> None:
    """M3: the other one stays as it is."""
    first, second = cutover(Route("a", "/a")), cutover(Route("a", "/a"), Route("b", "/b"))
    Follower(Dispatcher({"/x": first, "/y": second})).obey(
        message(1, {"a": ["new", None], "b": ["new", None]})
    )
    assert [each.mode for each in first.table.routes] == ["new"]
    assert [each.mode for each in second.table.routes] == ["old", "new"]


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_the_hook_of_a_route_is_called(name: str) -> None:
    """M21: with what the supervisor says; a route without one, or none, is left alone."""
    told: list[Rollback] = []
    served = cutover(
        Route("a", "/a", mode="canary", share=5, gate=GATE, on_rollback=told.append),
        Route("b", "/b"),
    )
    follower = Follower(served)
    follower.rolled_back({"id": 7, "route": name, "reason": "worse", "share": 5.0})
    eventually(lambda: follower.beat(None)["hooks"] == [7])
    assert told == ([Rollback("a", "worse", 5.0)] if name == "a" else [])
    assert follower.beat(None)["hooks"] == []


def test_what_would_be_lost_is_on_a_board() -> None:
    """M23: what is open, and what was not told, of what is in force; nothing at an orderly end."""
    stacks = StackFile()
    served = cutover(Route("a", "/a", mode="canary", share=50, gate=GATE), Route("b", "/b"))
    follower = Follower(served, stacks)
    assert read(stacks.read_board()) == (0, {})
    follower.obey(message(3, {"a": ["canary", 50], "b": ["new", None]}))
    (a, b) = served.table.routes
    now = read_clock()
    for number, side in enumerate(("old", "new", "new")):
        served.flights.begin(a, side, now + number, Waiting())
    assert served.flights.end(now + 1) is not None
    served.canary.observe(a, "new", 500, 0.1)
    served.flights.begin(b, "new", now + 9, Waiting())
    row = Row(3, 1, Left(1, 0, 0), Left(1, 1, 1))
    assert read(stacks.read_board()) == (3, {key_of("a"): row})
    follower.counts()
    row = Row(3, 1, Left(1, 0, 0), Left(1, 0, 0))
    assert read(stacks.read_board()) == (3, {key_of("a"): row})
    follower.close()
    assert read(stacks.read_board())[1] == {}
    stacks.close()


def test_without_memory_for_a_board_it_does_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """M23: the log says so, once."""
    stacks = StackFile()
    monkeypatch.setattr(stacks, "map_board", Mock(side_effect=OSError("no memory")))
    follower = Follower(cutover(Route("a", "/a", mode="canary", share=50, gate=GATE)), stacks)
    for serial in (1, 2):
        follower.obey(message(serial, {"a": ["canary", 50 + serial]}))
    assert caplog.text.count("what is lost with this worker will not be counted: no memory") == 1
    stacks.close()


def test_one_bad_row_holds_up_no_switch_and_stays_told() -> None:
    """M5: until a text comes that is right; another order with the same text changes nothing."""
    served = cutover(Route("a", "/a", mode="new"))
    follower = Follower(served)
    bad = '[[routes]]\nname = "a"\npaths = "/b"\non_rollback = "no.such:hook"\n'
    one = follower.obey(message(2, {"a": ["old", None]}, {"": bad}))
    two = follower.obey(message(3, {"a": ["canary", 5]}, {"": bad}))
    three = follower.obey(message(4, {"a": ["canary", 5]}))
    assert one["error"] == two["error"] == three["error"] != ""
    (a,) = served.table.routes
    assert (a.mode, a.share, a.paths) == ("canary", 5, ("/a",))
    good = '[[routes]]\nname = "a"\npaths = "/b"\n'
    assert follower.obey(message(5, {"a": ["old", None]}, {"": good}))["error"] == ""
    (a,) = served.table.routes
    assert (a.mode, a.paths) == ("old", ("/b",))
