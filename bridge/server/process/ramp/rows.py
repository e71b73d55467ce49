"""A route as a worker and its supervisor tell each other of it: what is needed to judge it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bridge.cutover.route import CANARY, Route
from bridge.cutover.switches import Modes


def row_of(route: Route) -> dict[str, Any]:
    """Return a row, which can be written as JSON."""
    row: dict[str, Any] = {
        "name": route.name,
        "paths": [*route.paths],
        "mode": route.mode,
        "share": route.share,
    }
    canary = route.canary
    if canary is not None and canary.gate is not None:
        row["gate"] = asdict(canary.gate)
    if canary is not None and canary.steps is not None:
        row["steps"] = [*canary.steps.shares]
        row["step_time"] = [*canary.steps.times]
    return row


def routes_of(rows: Iterable[dict[str, Any]]) -> list[Route]:
    """Return the routes that others have told of. Raises `ConfigError`."""
    return [Route(**row) for row in rows]


def modes_of(routes: Iterable[Route]) -> Modes:
    """Return how routes are switched."""
    found: dict[str, tuple[str, float | None]] = {}
    for each in routes:
        share = each.share if each.mode == CANARY and isinstance(each.share, float) else None
        found[each.name] = each.mode, share
    return found
