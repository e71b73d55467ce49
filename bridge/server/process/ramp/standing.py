"""What `asgi-bridge cutover status` is told: each route as it is in force, and how it goes (M3)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from bridge.cutover.canary.controller import Standing
from bridge.cutover.route import CANARY, NEW, OLD, Route
from bridge.server.metrics.figures import Figures
from bridge.server.process.ramp.totals import Side, Totals, told


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


def alone(cutovers: Iterable[Any], figures: Figures | None) -> dict[str, Any]:
    """Describe the cutovers of a process that serves alone, as `Ramp.status` those of a server."""
    totals: Totals[int] = Totals()
    for number, each in enumerate(cutovers):
        copies = {} if each.copies is None else each.copies.counts()
        totals.note(number, {"copies": copies, "rescued": getattr(each.canary, "rescues", {})})
    totals.note(-1, {"sides": [] if figures is None else told(figures.by_route())})
    found = totals.sum()
    failed = [each.new_failed for each in cutovers if each.new_failed]
    return {
        "routes": [
            described(route, _standing(each, route.name), found, "")
            for each in cutovers
            for route in each.table.routes
        ],
        "new_failed": "; ".join(failed),
        "workers": [{"pid": os.getpid(), "follows": True, "error": "", "new_failed": bool(failed)}],
    }


def _standing(cutover: Any, name: str) -> Standing | None:
    canary = cutover.canary
    return canary.standing(name) if hasattr(canary, "standing") else None


def _judged(standing: Standing) -> dict[str, Any]:
    return {
        "gate": standing.gate,
        "steps": standing.state,
        "reason": standing.reason,
        "seconds_left": standing.seconds_left,
        "rollbacks": standing.rollbacks,
    }
