"""The soak of the bench, in small: what a worker holds does not grow with what it has served."""

from __future__ import annotations

from bench.in_process.soak import MOST_THREADS, soak


def test_soak() -> None:
    """A26 A30: after thousands of requests, one in ten broken off, a worker holds what it held."""
    before, after = soak(6_000)
    assert before["tasks"] == after["tasks"] == 0
    assert after["threads"] <= MOST_THREADS
    assert after["descriptors"] <= before["descriptors"] + 2
    assert after["memory MB"] <= before["memory MB"] + 8
