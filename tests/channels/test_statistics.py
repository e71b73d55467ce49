"""Counters, and the log of what was dropped."""

from __future__ import annotations

import logging
import time

import pytest

from bridge.channels.statistics import MAX_QUEUES, Counter, DropLog, LayerCounters


def test_counter() -> None:
    """L6: counts in all, and those of the whole second before this one."""
    counter = Counter()
    for second in (7, 7, 7, 8):
        counter.count(second)
    assert counter.total == 4
    assert counter.in_last_second(8) == 3
    assert counter.in_last_second(9) == 1
    assert counter.in_last_second(10) == 0
    counter.count(20)
    assert counter.in_last_second(20) == 0
    assert counter.in_last_second(22) == 0
    assert counter.total == 5


def test_the_names_of_the_specification() -> None:
    """L6: the counts have the names of the extension ``statistics``."""
    counters = LayerCounters()
    counters.count_message("a")
    counters.count_message("a")
    counters.count_message("b!")
    counters.count_full("a")
    assert counters.of("a").report() == {
        "messages_count": 2,
        "messages_count_per_second": pytest.approx(1, abs=1),
        "channel_full_count": 1,
        "channel_full_count_per_second": pytest.approx(0.5, abs=0.5),
    }
    assert counters.all.report()["messages_count"] == 3
    assert counters.of("c").report()["messages_count"] == 0


def test_memory_does_not_grow_with_names() -> None:
    """L6: single-reader channels of one beginning share counters; of all others some are kept."""
    counters = LayerCounters()
    for number in range(2 * MAX_QUEUES):
        counters.count_message(f"body?{number}")
    counters.count_message("http.request")
    assert counters.of("body?x").messages.total == 2 * MAX_QUEUES
    assert counters.of("http.request").messages.total == 1
    for number in range(2 * MAX_QUEUES):
        counters.count_message(f"stranger.{number}")
    assert len(counters._by_kind) <= MAX_QUEUES
    assert counters.all.messages.total == 4 * MAX_QUEUES + 1


class TestDropLog:
    def test_one_line_and_the_number_of_others(self, caplog: pytest.LogCaptureFixture) -> None:
        """L6: what was dropped is in the log, in one line for as long as there would be many."""
        drops = DropLog(pause=3600)
        for _ in range(4):
            drops.full("news", ["a", "b"])
        assert caplog.messages == [
            "a message to the group news did not reach 2 channels whose capacity is used up: a, b"
        ]
        caplog.clear()
        drops._due.clear()  # an hour later
        drops.full("news", ["a"])
        assert caplog.messages == [
            "a message to the group news did not reach 1 channel whose capacity is used up: a; "
            "6 more were dropped since the last such line"
        ]

    def test_each_kind_has_its_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """L6: channels that are full do not hide those that nobody reads."""
        drops = DropLog(pause=3600)
        drops.full("news", ["a"])
        drops.unread({f"c{n}" for n in range(9)}, 0.5)
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
        assert caplog.messages[1] == (
            "messages to 9 channels were dropped, because nothing read them within 0.5 s: c0, c1, "
            "c2, c3, c4, ..."
        )
        drops.refused("a!1", ValueError("no room"))
        assert caplog.messages[2] == "a message to a!1 was dropped: no room"

    def test_the_pause_ends(self, caplog: pytest.LogCaptureFixture) -> None:
        """L6: the next line comes after the pause."""
        drops = DropLog(pause=0.01)
        drops.full("news", ["a"])
        deadline = time.monotonic() + 30
        while len(caplog.messages) < 2 and time.monotonic() < deadline:
            drops.full("news", ["a"])
        assert len(caplog.messages) == 2
