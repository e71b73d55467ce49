"""A window of counts that slides."""

from __future__ import annotations

from bridge.cutover.canary.counts import Counts, Sides
from bridge.cutover.canary.window import Window


def one(failed: int = 0) -> Sides:
    """One request on each side."""
    return Sides(Counts(1, 0, {1: 1}), Counts(1, failed, {2: 1}))


def test_what_is_older_than_the_window_leaves_it() -> None:
    """M21: the last 60 seconds count, and beside them all since the share was set."""
    window = Window(60, now=1000.0)
    for second in range(200):
        window.add(one(), 1000.0 + second)
    assert window.latest(1199.0).new == Counts(61, 0, {2: 61})  # to the second, at least 60
    assert window.since_start.new.requests == 200
    assert window.latest(1300.0) == Sides.empty()


def test_requests_of_one_slice_leave_together() -> None:
    """M21: a window keeps 60 slices, whatever comes in between."""
    window = Window(60, now=0.0)
    for tenth in range(600):
        window.add(one(), tenth / 10)
    assert window.latest(59.9).old.requests == 600
    assert 589 <= window.latest(61.05).old.requests <= 591  # the first second is gone


def test_a_change_of_the_share_starts_anew() -> None:
    """M21: requests at another share say nothing of this one."""
    window = Window(60, now=0.0)
    window.add(one(failed=1), 1.0)
    window.restart(2.0)
    assert window.latest(2.0) == Sides.empty()
    assert (window.since_start, window.started) == (Sides.empty(), 2.0)
    window.add(one(), 3.0)
    assert window.latest(3.0).new.requests == 1
