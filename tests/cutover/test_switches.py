"""What is in force, and how it is replaced."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.cutover.route import Route
from bridge.cutover.switches import Switches
from bridge.errors import ConfigError

GATE = {"window": 60}


def refuse_admin(route: Route) -> None:
    if route.name == "admin" and route.mode == "new":
        raise ConfigError("never")


def make() -> Switches:
    return Switches([Route("a", "/a", share=5), Route("admin", "/admin")], refuse_admin)


def test_a_switch_makes_another_table() -> None:
    """M3: a request that has begun keeps the table that it began with."""
    switches = make()
    before = switches.table
    switches.set("a", "canary", 50)
    assert [(each.name, each.mode) for each in switches.table.routes] == [
        ("a", "canary"),
        ("admin", "old"),
    ]
    assert before.routes[0].mode == "old"


@pytest.mark.parametrize(
    ("name", "mode", "share", "says"),
    [
        ("b", "new", None, "there is no route b"),
        ("a", "now", None, "mode is 'now'; allowed is one of"),
        ("a", "canary", 150, "share is 150"),
        ("a", "new", 5, "share belongs to mode canary, and the mode is new; leave it away"),
        ("admin", "canary", None, "share says nothing"),
        ("admin", "new", None, "never"),
    ],
)
def test_what_was_in_force_stays(name: str, mode: str, share: float | None, says: str) -> None:
    """M5: a switch that is refused changes nothing."""
    switches = make()
    before = switches.table
    with pytest.raises(ConfigError, match=re.escape(says)):
        switches.set(name, mode, share)
    assert switches.table is before


def test_a_list_is_taken_whole_or_not_at_all() -> None:
    """M5: one wrong route, and none of the list is in force."""
    switches = make()
    before = switches.table
    with pytest.raises(ConfigError, match="two routes are called b"):
        switches.replace([Route("b", "/b"), Route("b", "/c")])
    assert switches.table is before
    switches.replace([Route("b", "/b")])
    assert [each.name for each in switches.table.routes] == ["b"]


GATE = {"window": 60}


def canary(share: float, **more: Any) -> Route:
    return Route("a", "/a", mode="canary", share=share, gate=GATE, **more)


def test_what_was_decided_stays_when_the_rows_are_read_again() -> None:
    """M3, M21: until the row of that route says something else."""
    switches = Switches([canary(5), Route("b", "/b")])
    switches.decide(switches.table.routes[0], "old")
    switches.set("b", "canary", 7)
    switches.replace([canary(5, rescue=True), Route("b", "/b")])
    assert switches.summary() == "a old, b canary 7 %"
    assert switches.decided == {"a", "b"}
    switches.replace([canary(6), Route("b", "/b")])
    assert switches.summary() == "a canary 6 %, b canary 7 %"
    switches.replace([Route("b", "/b", mode="new")])
    assert switches.summary() == "b new"


def test_a_person_goes_before_what_is_decided() -> None:
    """M3, M21: who has looked at a route that was switched meanwhile changes nothing."""
    switches = Switches([canary(5)])
    (seen,) = switches.table.routes
    switches.set("a", "old")
    assert switches.decide(seen, "canary", 25) is None
    assert switches.summary() == "a old"


def test_somebody_else_may_decide() -> None:
    """M3: what stays as it is remains the same object."""
    changes: list[str] = []
    switches = Switches([canary(5), Route("b", "/b")])
    switches.changed = lambda: changes.append(switches.summary())
    table = switches.table
    switches.obey({"a": ("canary", 5.0), "b": ("old", None)})
    assert switches.table is table
    switches.obey({"a": ("old", None), "b": ("old", None)})
    assert switches.table.routes[1] is table.routes[1]
    switches.obey({"a": ("canary", 9.0)}, [canary(5)])
    assert changes == ["a old, b old", "a canary 9 %"]


@pytest.mark.parametrize(
    ("row", "begins"),
    [
        (Route("a", "/a", share=5), 5.0),
        (Route("a", "/a", mode="canary", gate=GATE, steps=[1, 50, 100]), 1.0),
        (Route("a", "/a", mode="canary", share=50, gate=GATE, steps=[1, 50, 100]), 1.0),
    ],
)
def test_a_canary_without_a_share_begins_at_the_start(row: Route, begins: float) -> None:
    """M3, M21: at the first step or the share of its row, not at the one that was taken back."""
    switches = Switches([row])
    switches.set("a", "canary", 80)
    assert switches.set("a", "canary").share == 80  # it was one already
    switches.set("a", "old")
    assert switches.set("a", "canary").share == begins
