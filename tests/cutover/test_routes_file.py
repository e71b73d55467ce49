"""The file of the routes, read again."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest

from bridge import ConfigError, Cutover
from bridge.cutover.canary.live import LiveCanary
from bridge.cutover.route import Route
from bridge.cutover.routes_file import RoutesFile
from bridge.cutover.switches import Switches
from tests.cutover.test_app import new, old
from tests.support.in_process import http
from tests.support.waiting import eventually

ROUTE = '[[routes]]\nname = "a"\npaths = "/a"\nmode = "{mode}"\nshare = 5\n'


def write(file: Path, text: str) -> None:
    """Put a file in its place as a whole, as `cutover set` does; each has another version."""
    other = file.with_suffix(".new")
    other.write_text(text)
    os.replace(other, file)


def modes(switches: Switches) -> list[str]:
    return [each.mode for each in switches.table.routes]


def nothing(route: Route) -> None:
    """Refuse nothing."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cutover.toml"
    write(path, ROUTE.format(mode="old"))
    return path


def test_a_file_is_read_again_when_somebody_says_so(file: Path) -> None:
    """M3: all of it is in force then; a line says what."""
    cutover = Cutover(old, new, str(file))
    write(file, ROUTE.format(mode="canary"))
    assert cutover.table.routes[0].mode == "old"
    assert cutover.reread() == "a canary 5 %"
    write(file, "")
    assert cutover.reread() == "no routes"
    with pytest.raises(ConfigError, match="were given in Python"):
        Cutover(old, new).reread()


@pytest.mark.parametrize("text", ["old =", ROUTE.format(mode="never"), None])
def test_a_wrong_file_changes_nothing(file: Path, text: str | None) -> None:
    """M5: the error says so."""
    cutover = Cutover(old, new, str(file))
    before = cutover.table
    if text is None:
        file.unlink()
    else:
        write(file, text)
    with pytest.raises(ConfigError, match=re.escape("; the routes stay as they were")):
        cutover.reread()
    assert cutover.table is before


def test_other_servers_see_that_a_file_has_changed(file: Path) -> None:
    """M3: two looks, a second apart, have to see the same: it may be half written."""
    now = 0.0
    watched = RoutesFile(str(file))
    switches = Switches(watched.routes(), nothing)

    def look(seconds: float) -> list[str]:
        nonlocal now
        now += seconds
        watched.follow(switches, lambda: now)
        return modes(switches)

    assert look(1) == ["old"]
    write(file, "")
    assert look(0.5) == ["old"]
    assert look(0.5) == ["old"]
    write(file, ROUTE.format(mode="new"))
    assert look(1) == ["old"]
    assert look(0.5) == ["old"]
    assert look(0.5) == ["new"]


def test_a_wrong_file_is_told_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """M5: and what was in force stays, until there is a right one."""
    watched = RoutesFile(str(file))
    switches = Switches(watched.routes(), nothing)
    write(file, "routes = 3")
    with caplog.at_level(logging.ERROR, "bridge"):
        for now in range(1, 6):
            watched.follow(switches, lambda now=now: now)  # type: ignore[misc]
    (record,) = caplog.records
    assert record.message.startswith(f"{file}: routes is 3; allowed are tables")
    assert modes(switches) == ["old"]


def test_an_app_follows_its_file_unless_the_server_tells_it(file: Path) -> None:
    """M3: on our own server nothing happens before SIGHUP or `cutover set`."""
    cutover = Cutover(old, new, str(file))
    assert cutover.file is not None
    looks = []
    cutover.file.follow = lambda switches: looks.append(1)  # type: ignore[method-assign,assignment]
    assert http(cutover, "/a").headers["x-served-by"] == "old"
    cutover.told = True
    http(cutover, "/a")
    assert looks == [1]


def test_a_rollback_is_written_into_the_file(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """M3, M21: it stays when the file is read again; what cannot be written is told."""
    file.write_text(CANARY)
    cutover = Cutover(old, new, str(file))
    assert isinstance(cutover.canary, LiveCanary)
    (route,) = cutover.table.routes
    for _ in range(500):
        cutover.canary.observe(route, "old", 200, 0.1)
        cutover.canary.observe(route, "new", 500, 0.1)
    cutover.canary.look()
    eventually(lambda: 'mode = "old"' in file.read_text())
    eventually(lambda: cutover.reread() == "a old")
    file.write_text("[[rou")
    assert cutover.file is not None
    cutover.file.keep_old(cutover.switches, cutover.table.routes[0])
    assert "route a is on the old app, and its file does not say so" in caplog.text


@pytest.mark.parametrize("where", ["file", "here"])
def test_what_a_person_sets_after_a_rollback_stands(file: Path, where: str) -> None:
    """M21: if it comes before the rollback is in the file."""
    file.write_text(CANARY)
    cutover = Cutover(old, new, str(file))
    taken_back = cutover.switches.set("a", "old")
    if where == "file":
        file.write_text(CANARY.replace("50", "5"))
    else:
        cutover.switches.set("a", "canary", 5)
    before = file.read_text()
    assert cutover.file is not None
    cutover.file.keep_old(cutover.switches, taken_back)
    assert file.read_text() == before
    if where == "file":
        assert cutover.reread() == "a canary 5 %"


CANARY = """[[routes]]
name = "a"
paths = "/a"
mode = "canary"
share = 50
gate = { window = "60s" }
"""
