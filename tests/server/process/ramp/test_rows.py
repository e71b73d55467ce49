"""Routes as a worker and its supervisor tell each other of them."""

from __future__ import annotations

import json

import pytest

from bridge import Route
from bridge.cutover.switches import said_by
from bridge.server.process.ramp.rows import modes_of, routes_of, row_of

GATE = {"window": "60s", "max_p95_ratio": 2}


@pytest.mark.parametrize(
    "route",
    [
        Route("a", "/a", mode="new"),
        Route("a", ["/a", "/b"], mode="canary", share="5%"),
        Route("a", "/a", mode="canary", share=7, gate=GATE, on_rollback=print, rescue=True),
        Route("a", "/a", mode="canary", gate=GATE, steps=[1, 5], step_time=["10m", "20m"]),
    ],
    ids=["new", "share", "gate", "steps"],
)
def test_a_row_says_all_that_is_needed_to_judge(route: Route) -> None:
    """M21: it can be written as JSON, and the route that is made of it says the same."""
    (read,) = routes_of(json.loads(json.dumps([row_of(route)])))
    assert said_by(read) == said_by(route)
    assert (read.name, read.paths) == (route.name, route.paths)


def test_a_share_belongs_to_a_canary() -> None:
    """M3: how routes are switched."""
    routes = [Route("a", "/a", share=5), Route("b", "/b", mode="canary", share=7)]
    assert modes_of(routes) == {"a": ("old", None), "b": ("canary", 7.0)}
