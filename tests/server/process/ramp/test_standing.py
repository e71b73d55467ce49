"""What the status of a route is made of."""

from __future__ import annotations

from bridge import Cutover, Route
from bridge.cutover.canary.controller import Standing
from bridge.server.logs.refusals import Refusals
from bridge.server.metrics.figures import Figures
from bridge.server.metrics.histogram import read_clock
from bridge.server.process.ramp.standing import alone, described
from bridge.types import Receive, Scope, Send


async def old(scope: Scope, receive: Receive, send: Send) -> None:
    """The old app."""


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    """The new app."""


def test_a_route_and_how_it_goes() -> None:
    """M3: a share belongs to a canary; without a gate nothing is said of it."""
    totals = {
        "sides": [["a", "old", 2, 1, [2, *[0] * 15]], ["b", "new", 9, 9, [9, *[0] * 15]]],
        "rescued": {"b": 3},
        "copies": {},
    }
    found = described(Route("a", "/a", share=5), None, totals, "")
    assert (found["mode"], found["share"], found["gate"], found["copies"]) == (
        "old",
        None,
        "",
        None,
    )
    assert (found["old"]["requests"], found["old"]["errors"]) == (2, 1)
    assert (found["new"]["requests"], found["new"]["p95"]) == (0, None)
    standing = Standing("climbs", "holds", "", 7.0, 2)
    found = described(Route("b", "/b", mode="canary", share=5), standing, totals, "read-only")
    assert (found["share"], found["rescued"], found["not_kept"]) == (5, 3, "read-only")
    assert (found["steps"], found["seconds_left"], found["rollbacks"]) == ("climbs", 7.0, 2)


def test_a_process_that_serves_alone() -> None:
    """M3: it has the same to tell, with figures or without."""
    gate = {"window": 60}
    route = Route("a", "/a", mode="canary", share=5, gate=gate)
    cutover = Cutover(old, new, [route, Route("b", "/b")])
    cutover.new_failed = "no database"
    figures = Figures((), Refusals())
    figures.meter("/", "a", "new").record(read_clock(), 500)
    cutover.canary.rescued(route, ValueError("no"))
    status = alone([cutover], figures)
    a, b = status["routes"]
    assert (a["new"]["errors"], a["gate"], a["rescued"]) == (1, "waits", 1)
    assert (b["mode"], b["gate"]) == ("old", "")
    assert status["new_failed"] == "no database"
    (without, _) = alone([cutover], None)["routes"]
    assert without["new"]["requests"] == 0
