"""What `asgi-bridge cutover status` prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from bridge.server.control.routes_text import status_lines, warnings_of

NONE = {"requests": 0, "errors": 0, "p95": None}


def route(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "route": "a",
        "mode": "canary",
        "share": 5.0,
        "old": NONE,
        "new": NONE,
        "rescued": 0,
        "copies": None,
        "gate": "",
        "steps": "",
        "reason": "",
        "seconds_left": 0.0,
        "not_kept": "",
    }
    return {**found, **more}


def lines(*routes: dict[str, Any], **more: Any) -> list[str]:
    status = {"routes": routes, "new_failed": "", "workers": [], **more}
    return [" ".join(line.split()) for line in status_lines(status)]


def test_a_table_of_the_routes() -> None:
    """M3: requests, errors and p95 of both apps, and differences."""
    old = {"requests": 1200, "errors": 6, "p95": 0.0125}
    new = {"requests": 60, "errors": 60, "p95": 1.5}
    shown = lines(
        route(old=old, new=new, gate="holds", steps="climbs", seconds_left=240.0),
        route(route="b", mode="shadow", share=None, copies={"equal": 3}),
    )
    assert shown == [
        "route mode share old errors p95 new errors p95 differences state",
        "a canary 5 % 1200 0.5 % 12.5 ms 60 100.0 % 1.5 s - gate holds, next step in 4 min 0 s",
        "b shadow - 0 - - 0 - - 0",
    ]


def test_since_when_it_is_counted() -> None:
    """M3: what was mended since has been counted, too; and the server says where it is."""
    started = datetime(2026, 11, 27, 12, 33).timestamp()
    shown = lines(route(), started=started, listeners=["http://127.0.0.1:8000", "unix:/a"])
    assert shown[2:] == [
        "counted since the start of http://127.0.0.1:8000, unix:/a at 2026-11-27 12:33"
    ]


def test_what_was_rescued_has_failed() -> None:
    """M3, M22: the new app's errors are as its gate counts them, also if no client has seen one."""
    new = {"requests": 90, "errors": 5, "p95": 0.02}
    _, row = lines(route(new=new, rescued=10))
    assert row.startswith("a canary 5 % 0 - - 100 15.0 % 20 ms")
    _, row = lines(route(rescued=2))
    assert row.startswith("a canary 5 % 0 - - 2 100.0 % -")


@pytest.mark.parametrize(
    ("gate", "steps", "state"),
    [
        ("waits", "", "gate waits"),
        ("waits", "waits", "gate waits, next step when the gate holds"),
        ("holds", "at the top", "gate holds, at the top"),
        ("breaks", "rolled back", "rolled back"),
    ],
)
def test_how_gate_and_steps_stand(gate: str, steps: str, state: str) -> None:
    """M21: the reason is in a line of its own."""
    _, row, reason = lines(route(gate=gate, steps=steps, reason="too few"))
    assert row.endswith(f"- {state}")
    assert reason == "route a: too few"


def test_what_is_wrong_is_below() -> None:
    """M3: a new app that did not start, a worker that is late, and what is not kept."""
    good = {"pid": 1, "follows": True, "error": "", "new_failed": False}
    bad = {"pid": 2, "follows": False, "error": "no hook", "new_failed": True}
    _, _, *more = lines(route(not_kept="read-only"), new_failed="no database", workers=[good, bad])
    assert more == [
        "route a is so until the server ends: read-only",
        "the new app did not start in 1 of 2 workers, where the old one answers all: no database",
        "1 of 2 workers not up to date yet: 2",
        "worker 2: no hook",
    ]


def test_what_whoever_switches_is_to_know() -> None:
    """M3, M4: of that route; with the way back, unless it is on the old app."""
    conflicts = [
        {"text": "route a: the new app has no /a", "is_hint": False},
        {"text": "route a.b: the new app has no /ab", "is_hint": False},
        {"text": "no route of the cutover names 1", "is_hint": True},
    ]
    dead = {"pid": 1, "follows": True, "error": "", "new_failed": True}
    about: dict[str, Any] = {"workers": [dead], "new_failed": "gone", "conflicts": conflicts}
    assert [*warnings_of({"routes": [route()], **about}, "a")] == [
        "the new app did not start in 1 of 1 worker, where the old one answers all: gone",
        "route a: the new app has no /a",
        "to go back: asgi-bridge cutover set a old",
    ]
    assert [*warnings_of({"routes": [route(mode="old")], **about}, "a")] == [
        "route a: the new app has no /a"
    ]
    assert [*lines(route(), **about)][-3:] == [
        "warning: route a: the new app has no /a",
        "warning: route a.b: the new app has no /ab",
        "hint: no route of the cutover names 1",
    ]
