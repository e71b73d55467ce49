"""Counts of requests, failures and durations."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.canary.counts import Counts, Sides, Tally, bound_of, bucket_of


@given(st.floats(min_value=0.0, max_value=999.0))
def test_a_bucket_is_at_most_12_percent_wide(seconds: float) -> None:
    """M21: a duration is known to 12 %, above and below."""
    bound = bound_of(bucket_of(seconds))
    assert seconds <= bound * (1 + 1e-9)
    assert bound <= max(seconds * 1.123, 0.0001)


def test_a_bound_is_in_its_own_bucket_and_the_last_has_all_that_is_longer() -> None:
    """M21: no rounding moves a bound to the next bucket; hours are counted, too."""
    assert [bucket_of(bound_of(bucket)) for bucket in range(141)] == [*range(141)]
    assert bucket_of(86400.0) == 140
    assert bucket_of(-1.0) == 0


def test_counts_are_added_and_taken_away() -> None:
    """M21: differences of many workers add up, and what leaves a window is taken off."""
    sides = Sides.empty()
    one = Sides(Counts(2, 1, {3: 2}), Counts(1, 0, {5: 1}))
    sides.add(one)
    sides.add(Sides(Counts(1, 0, {3: 1}), Counts(1, 1)))
    assert sides == (Counts(3, 1, {3: 3}), Counts(2, 1, {5: 1}))
    sides.add(one, -1)
    assert sides == (Counts(1, 0, {3: 1}), Counts(1, 1))
    assert repr(sides.new) == "<Counts 1 of 1 failed>"
    sides.add(Sides(Counts(9, client_errors=4), Counts(9, client_errors=2)))
    sides.add(Sides(Counts(9, client_errors=1), Counts(9)), -1)
    assert [side.client_errors for side in sides] == [3, 2]


def test_counts_go_from_a_worker_to_the_supervisor_as_json() -> None:
    """M21: what is read is what was written."""
    counts = Counts(7, 2, {12: 4, 3: 2}, 1)
    assert Counts.from_json(json.loads(json.dumps(counts.as_json()))) == counts
    assert counts != Counts(7, 2)
    assert counts != "7"


def test_quantiles() -> None:
    """M21: p95 is the bound of the bucket in which 95 % are reached."""
    counts = Counts(100, 0, {10: 94, 20: 3, 30: 3})
    assert counts.quantile_bucket(0.95) == 20
    assert counts.quantile(0.5) == pytest.approx(bound_of(10))
    assert counts.longer_than(10) == 6
    assert (Counts().quantile(0.95), Counts().quantile_bucket(0.95)) == (None, 0)


def test_threads_lose_nothing() -> None:
    """M21: any thread may note a request while another one takes what was counted."""
    tally, taken = Tally(), Counts()

    def note() -> None:
        for number in range(10_000):
            tally.note(500 if number % 10 == 0 else 200, 0.01 if number % 2 else None)

    threads = [threading.Thread(target=note) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken.add(tally.take())
    taken.add(tally.take())
    assert taken == Counts(30_000, 3_000, {bucket_of(0.01): 15_000})
    assert tally.take() == Counts()


def test_what_is_an_error_of_the_client() -> None:
    """M21: such as a path that the app does not have; not what depends on who asks."""
    tally = Tally()
    for status in (200, 304, 400, 401, 403, 404, 405, 408, 410, 422, 429, 499, 500, 503):
        tally.note(status, 0.01)
    counts = tally.take()
    assert (counts.requests, counts.client_errors, counts.failed) == (14, 6, 2)
