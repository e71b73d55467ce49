"""Counters of a channel layer."""

from __future__ import annotations

import pytest

from bridge.channels.statistics import MAX_CHANNELS, Counter, LayerCounters


def test_counts_by_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: the count per second is that of the last whole second."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    counter = Counter()
    for _ in range(3):
        counter.count()
    assert (counter.total, counter.last_second()) == (3, 0)
    now = 101.5
    assert counter.last_second() == 3
    counter.count()
    now = 104.0
    assert (counter.total, counter.last_second()) == (4, 0)


def test_layer_counters() -> None:
    """L6: each channel has counters, and the layer those of all; their number is bounded."""
    counters = LayerCounters()
    counters.count_message("a")
    counters.count_full("a")
    counters.count_message("b")
    assert counters.of("a").report()["messages_count"] == 1
    assert counters.of("a").report()["channel_full_count"] == 1
    assert counters.all.report()["messages_count"] == 2
    for number in range(MAX_CHANNELS + 10):
        counters.count_message(f"c{number}")
    assert counters.of("a").messages.total == 0
    assert counters.all.messages.total == MAX_CHANNELS + 12
