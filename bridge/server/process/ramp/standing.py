"""What `asgi-bridge cutover status` is told: each route as it is in force, and how it goes (M3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.cutover.canary.controller import Standing
from bridge.cutover.route import CANARY, NEW, OLD, Route
from bridge.server.process.ramp.totals import Side


def described(
    route: Route, standing: Standing | None, totals: Mapping[str, Any], not_kept: str
) -> dict[str, Any]:
    """Describe a route. `totals`: of the server; `not_kept`: why its file says something else."""
    sides = {OLD: Side(), NEW: Side()}
    for name, side, *counts in totals["sides"]:
        if name == route.name:
            sides[side].add(*counts)
    return {
        "route": route.name,
        "mode": route.mode,
        "share": route.share if route.mode == CANARY else None,
        "paths": [*route.paths],
        **{name: side.as_dict() for name, side in sides.items()},
        "rescued": totals["rescued"].get(route.name, 0),
        #: None: there was no copy yet.
        "copies": totals["copies"].get(route.name),
        **_judged(standing or Standing("", "", "", 0.0, 0)),
        "not_kept": not_kept,
    }


def _judged(standing: Standing) -> dict[str, Any]:
    return {
        "gate": standing.gate,
        "steps": standing.state,
        "reason": standing.reason,
        "seconds_left": standing.seconds_left,
        "rollbacks": standing.rollbacks,
    }
