"""Whether more fail on one side, or only by chance."""

from __future__ import annotations

from math import comb, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.canary.proportions import chance

sizes = st.integers(min_value=1, max_value=60)


@given(sizes, sizes, st.data())
def test_it_is_the_share_of_all_ways_to_spread_the_failures(
    total: int, other: int, data: st.DataObject
) -> None:
    """M21: what it returns is what counting all ways says, exactly."""
    bad = data.draw(st.integers(0, total))
    other_bad = data.draw(st.integers(0, other))
    every = bad + other_bad
    ways = [comb(total, one) * comb(other, every - one) for one in range(min(total, every) + 1)]
    expected = sum(ways[bad:]) / comb(total + other, every)
    assert isclose(chance(bad, total, other_bad, other), expected, rel_tol=1e-6, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("bad", "total", "other_bad", "other", "least", "most"),
    [
        (0, 100, 0, 100, 1.0, 1.0),  # nothing failed
        (15, 300, 0, 300, 2e-5, 3e-5),
        (3, 60, 0, 5_940, 1e-7, 1.1e-6),  # three failures, all in the hundredth part
        (2, 40, 4, 160, 0.3, 0.6),  # 5 % and 2.5 %, and no sign of anything
        (50_000, 1_000_000, 20_000, 1_000_000, 0.0, 1e-300),  # too unlikely for a number
        (20_100, 1_000_000, 20_000, 1_000_000, 0.2, 0.4),
    ],
)
def test_small_and_large_numbers(
    bad: int, total: int, other_bad: int, other: int, least: float, most: float
) -> None:
    """M21: three failures can be no chance, and a hundred can be."""
    assert least <= chance(bad, total, other_bad, other) <= most


def test_what_is_too_small_for_a_number_is_told_apart() -> None:
    """M21: far fewer failures than on the other side are no sign of anything, far more are."""
    assert chance(0, 100_000, 50_000, 100_000) == 1.0
    assert chance(50_000, 100_000, 0, 100_000) == 0.0
