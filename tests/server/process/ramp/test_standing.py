"""What the status of a route is made of."""

from __future__ import annotations

from bridge import Route
from bridge.cutover.canary.controller import Standing
from bridge.server.process.ramp.standing import described


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
