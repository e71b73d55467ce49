"""The canaries of the cutovers that a server finds: who may judge, and what they count (M21)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.errors import ConfigError
from bridge.server.apps.mounts import cutovers_of
from bridge.server.metrics.snapshot import COUNTER, Family, Snapshot
from bridge.types import ASGIApp


def refuse_split_gates(app: ASGIApp, workers: int) -> None:
    """Raise `ConfigError` if a route in `app` has a gate, and several workers would judge it.

    That is where nobody can decide for all of them. Each would see a part of the requests: one
    would go back to the old app, and another one climb.
    """
    if workers < 2:
        return
    for cutover in cutovers_of(app):
        for route in filter(_has_gate, cutover.table.routes):
            raise ConfigError(
                f"route {route.name} has a gate, and there are {workers} workers, for which nobody "
                "decides here; serve with one worker, or with asgi-bridge serve --workers "
                f"{workers}, or leave gate and steps away and set the share by hand"
            )


def decide_elsewhere(app: ASGIApp) -> None:
    """Have the cutovers in `app` decide nothing: their supervisor does, for all workers.

    It knows routes by their names. Raises `ConfigError` if two with a gate have the same.
    """
    gates: set[str] = set()
    for cutover in dict.fromkeys(cutovers_of(app)):
        cutover.count_only()
        for route in filter(_has_gate, cutover.table.routes):
            if route.name in gates:
                raise ConfigError(
                    f"two cutovers of this server have a route {route.name} with a gate; give each "
                    "a name of its own"
                )
            gates.add(route.name)


def _has_gate(route: Any) -> bool:
    return route.canary is not None and route.canary.gate is not None


def canary_families(cutovers: Sequence[Any]) -> Snapshot:
    """Return the figures of their canaries and copies, by route.

    A canary of the program's own has none.
    """
    rollbacks: dict[str, int] = {}
    rescues: dict[str, int] = {}
    for cutover in cutovers:
        canary = cutover.canary
        if hasattr(canary, "rollbacks"):
            rollbacks.update(canary.rollbacks())
        if hasattr(canary, "rescues"):
            rescues.update(canary.rescues)
    return {
        "bridge_cutover_rollbacks_total": _counter(
            "How often a gate has broken, and everything went to the old app; by route.", rollbacks
        ),
        "bridge_cutover_rescued_requests_total": _counter(
            "Requests that the new app failed, and the old one answered; by route.", rescues
        ),
        **_copy_families(cutovers),
    }


def _copy_families(cutovers: Sequence[Any]) -> Snapshot:
    """Return what has become of copied requests, by route (M10); nothing, if there are none."""
    results: list[Any] = []
    reasons: list[Any] = []
    for cutover in cutovers:
        if cutover.copies is None:
            continue
        for key, found, samples in (
            ("result", cutover.copies.counts(), results),
            ("reason", cutover.copies.reasons(), reasons),
        ):
            for route, counts in found.items():
                samples += [[{"route": route, key: name}, n] for name, n in counts.items()]
    if not results:
        return {}
    return {
        "bridge_cutover_copies_total": Family(
            type=COUNTER,
            help="Requests copied to the new app: its answer was equal, different, failed, or the "
            "copy was dropped; by route.",
            samples=results,
        ),
        "bridge_cutover_dropped_copies_total": Family(
            type=COUNTER, help="Why copies were dropped; by route.", samples=reasons
        ),
    }


def _counter(about: str, by_route: dict[str, int]) -> Family:
    samples: list[Any] = [[{"route": route}, count] for route, count in by_route.items()]
    return Family(type=COUNTER, help=about, samples=samples)
