"""What both apps have answered, by route and side."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.server.process.ramp.totals import Side, Totals, told

NONE = [0] * 16


@pytest.mark.parametrize(
    ("durations", "p95"),
    [
        (NONE, None),
        ([100, *[0] * 15], 0.00095),
        ([0, 0, 0, 50, 50, *[0] * 11], 0.0235),  # 10 to 25 ms: nine tenths of the way
        ([*[0] * 15, 3], 60.0),
    ],
)
def test_p95_is_estimated_from_the_buckets(durations: list[int], p95: float | None) -> None:
    """M3: as Prometheus does."""
    side = Side(durations=durations)
    assert side.p95 == (None if p95 is None else pytest.approx(p95))


def test_workers_are_added_and_those_that_are_gone_stay() -> None:
    """M3: each tells of all since its start."""
    sides = told({("a", "old"): ([2, *NONE[1:]], 0.1, [0, 0, 1, 0, 0, 1])})
    assert sides == [["a", "old", 2, 1, [2, *NONE[1:]]]]
    one: dict[str, Any] = {"sides": sides, "rescued": {"a": 1}, "copies": {"a": {"equal": 1}}}
    totals: Totals[int] = Totals()
    for worker in (1, 2):
        for _ in range(2):
            totals.note(worker, one)
    totals.note_gone(1)
    totals.note_gone(7, [("a", "old", 5, 3)])
    totals.note(3, one)
    found = totals.sum()
    assert found["sides"] == [["a", "old", 11, 6, [6, *NONE[1:]]]]
    assert (found["rescued"], found["copies"]) == ({"a": 3}, {"a": {"equal": 3}})
