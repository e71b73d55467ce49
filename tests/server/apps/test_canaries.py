"""Gates, and several workers."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import Cutover, Dispatcher, Route
from bridge.cutover.canary.live import CountingCanary
from bridge.cutover.sides import Choice
from bridge.errors import ConfigError
from bridge.server.apps.canaries import canary_families, decide_elsewhere, refuse_split_gates
from bridge.types import ASGIApp, Receive, Scope, Send


async def old(scope: Scope, receive: Receive, send: Send) -> None:
    """The old app."""


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    """The new app."""


def cutover(**gate: object) -> ASGIApp:
    """One with a canary, with a gate or without."""
    return Cutover(old, new, [Route("a", "/a", mode="canary", share=5, gate=gate or None)])


@pytest.mark.parametrize("workers", [2, 8])
def test_several_workers_of_which_nobody_decides_do_not_judge_a_gate(workers: int) -> None:
    """M21: each would decide for itself; the error says what to do."""
    app = cutover(window=60)
    for served in (app, Dispatcher({"/x": app, "/y": old})):
        with pytest.raises(ConfigError) as caught:
            refuse_split_gates(served, workers)
        assert f"route a has a gate, and there are {workers} workers" in str(caught.value)
        assert f"asgi-bridge serve --workers {workers}" in str(caught.value)
        refuse_split_gates(served, 1)


def test_where_a_supervisor_decides_a_cutover_only_counts() -> None:
    """M21: also one that is mounted; a canary of the program's own stays."""
    served = cutover(window=60)
    assert isinstance(served, Cutover)
    decide_elsewhere(Dispatcher({"/x": served, "/y": old}))
    assert type(served.canary) is CountingCanary
    own: Any = object()
    with_own = Cutover(old, new, canary=own)
    decide_elsewhere(with_own)
    assert with_own.canary is own


def test_a_supervisor_knows_routes_by_their_names() -> None:
    """M21: two gates of one name are refused; without a gate it does not matter."""
    with pytest.raises(ConfigError, match="two cutovers of this server have a route a with a gate"):
        decide_elsewhere(Dispatcher({"/x": cutover(window=60), "/y": cutover(window=60)}))
    decide_elsewhere(Dispatcher({"/x": cutover(), "/y": cutover(window=60)}))


def test_shares_without_a_gate_work_with_any_number() -> None:
    """M20: the cookie says the same to each worker."""
    for served in (cutover(), old, Dispatcher({"/x": cutover(), "/y": old})):
        refuse_split_gates(served, 4)


def test_without_a_cutover_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """M21: a server that has none does not load it."""
    monkeypatch.delitem(__import__("sys").modules, "bridge.cutover.app")
    refuse_split_gates(old, 4)


def test_rollbacks_and_rescues_are_counted_by_route() -> None:
    """M21, M22: of each cutover; a canary of the program's own has none."""
    judged = Cutover(old, new, [Route("a", "/a", mode="canary", share=5, gate={"window": 60})])
    (route,) = judged.table.routes
    judged.canary.rescued(route, ValueError("no"))

    class Own:
        def choose(self, route: Route, scope: Scope) -> Choice:
            return Choice("old")

        def observe(self, route: Route, side: str, status: int, seconds: float) -> None:
            pass

        def rescued(self, route: Route, error: Exception) -> None:
            pass

    own = Cutover(old, new, canary=Own())
    families = canary_families([judged, own])
    assert families["bridge_cutover_rollbacks_total"]["samples"] == [[{"route": "a"}, 0]]
    assert families["bridge_cutover_rescued_requests_total"]["samples"] == [[{"route": "a"}, 1]]


def test_copies_are_counted_by_route() -> None:
    """M10: what has become of them, and why some were dropped; none without a route in shadow."""
    assert "bridge_cutover_copies_total" not in canary_families([Cutover(old, new, [])])
    copied = Cutover(old, new, [Route("a", "/a", mode="shadow")])
    assert copied.copies is not None
    copied.copies.tally.drop("a", "busy")
    families = canary_families([copied])
    samples = families["bridge_cutover_copies_total"]["samples"]
    assert [{"route": "a", "result": "dropped"}, 1] in samples
    assert [{"route": "a", "result": "equal"}, 0] in samples
    samples = families["bridge_cutover_dropped_copies_total"]["samples"]
    assert samples == [[{"route": "a", "reason": "busy"}, 1]]
