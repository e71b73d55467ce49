"""What is in force, and how it is replaced."""

from __future__ import annotations

import re

import pytest

from bridge.cutover.route import Route
from bridge.cutover.switches import Switches
from bridge.errors import ConfigError


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
