"""Hooks of routes that were taken back, and workers that die before they have called them."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cutover.canary.controller import Change
from bridge.server.process.fleet.members import Member
from bridge.server.process.ramp.hooks import Hooks

CHANGE = Change("a", "old", None, "worse", 5.0)


class Told:
    """Three workers, of which the second was heard of last, and who was told to call what."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Any]] = []
        self.hooks = Hooks(lambda member, said: self.calls.append((member.slot, said)))
        self.members = [Member(slot, 1, 0.0, heard=heard) for slot, heard in enumerate((1, 3, 2))]

    @property
    def slots(self) -> list[int]:
        return [slot for slot, _ in self.calls]


def test_a_hook_is_called_in_one_worker_until_it_is_over() -> None:
    """M21: by the one that was heard of last; another one is told if that is gone before."""
    told = Told()
    one, two, three = told.members
    told.hooks.call(CHANGE, told.members)
    assert told.calls == [
        (1, {"type": "rolled-back", "id": 1, "route": "a", "reason": "worse", "share": 5.0})
    ]
    told.hooks.gone(one, [two, three])
    told.hooks.over(three, [1, "nonsense", 9])  # it is not its call
    assert told.slots == [1]
    told.hooks.gone(two, [one, three])
    assert told.slots == [1, 2]
    told.hooks.over(three, [1])
    told.hooks.gone(three, [one])
    assert told.slots == [1, 2]


def test_if_nobody_serves_the_next_one_is_told() -> None:
    """M21: as if a new app has just ended all workers."""
    told = Told()
    one, two, _ = told.members
    told.hooks.call(CHANGE, [])
    assert told.slots == []
    told.hooks.serves(one)
    told.hooks.serves(two)
    assert told.slots == [0]


def test_a_hook_that_ends_its_workers_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """M21: after three of them; the log says so."""
    told = Told()
    told.hooks.call(CHANGE, told.members)
    for _ in range(5):
        told.hooks.gone(told.members[told.slots[-1]], told.members)
    assert len(told.slots) == 3
    assert "the hook on_rollback of route a has not ended: 3 workers are gone" in caplog.text
