"""The messages that wait."""

from __future__ import annotations

from bridge.channels.queues import Queues, Waiting


def at(sent: float, channel: str = "a", text: str = "") -> Waiting:
    return Waiting(sent, channel, {"text": text}, False)


def test_first_in_first_out() -> None:
    """L6: a queue keeps the order, and is gone when it is empty."""
    queues = Queues(60)
    for second in range(3):
        assert queues.put("a", at(second), 3)
    assert "a" in queues
    assert [queues.take(["a"], 5) for _ in range(4)] == [at(0), at(1), at(2), None]
    assert "a" not in queues
    assert queues.pending() == (0, None)


def test_no_queue_starves() -> None:
    """L6: of several queues the oldest message is next, however busy another is."""
    queues = Queues(60)
    for second in range(1, 9):
        queues.put("busy", at(second, "busy"), 100)
    queues.put("quiet", at(4.5, "quiet"), 100)
    taken = [queues.take(["busy", "quiet", "none"], 10) for _ in range(9)]
    assert [each.channel for each in taken if each].index("quiet") == 4
    assert queues.take(["busy", "quiet"], 10) is None


def test_capacity() -> None:
    """L6: a full queue takes no more, until a message is read or expires."""
    queues = Queues(60)
    assert queues.put("a", at(0), 2)
    assert queues.put("a", at(1), 2)
    assert not queues.put("a", at(2), 2)
    assert queues.put("b", at(2), 2)
    assert queues.take(["a"], 3) == at(0)
    assert queues.put("a", at(3), 2)
    assert not queues.put("a", at(4), 2)
    assert queues.put("b", at(60), 2)
    assert queues.put("a", at(61.5), 2)
    assert queues.take_unread() == {"a"}
    assert queues.take(["a"], 62) == at(3)


def test_expiry() -> None:
    """L6: what nobody reads in time is dropped when the queue is read, and told once."""
    queues = Queues(10)
    queues.put("a!", at(0, "a!1"), 9)
    queues.put("a!", at(1, "a!2"), 9)
    queues.put("a!", at(5, "a!3"), 9)
    queues.put("b", at(0, "b"), 9)
    assert queues.take(["a!", "b"], 11) == at(5, "a!3")
    assert queues.take_unread() == {"a!1", "a!2", "b"}
    assert queues.take_unread() == set()
    assert "b" not in queues


def test_queues_that_nobody_reads_are_dropped() -> None:
    """L6: memory does not grow with channels that have no reader."""
    queues = Queues(10)
    for second in range(100):
        queues.put(f"a?{second}", at(second, f"a?{second}"), 9)
        assert queues.pending()[0] <= 21
    assert len(queues.take_unread()) >= 79
    queues.put("b", at(100, "b"), 9)
    queues.put("b", at(109, "b"), 9)
    queues.drop_expired(111)
    assert queues.pending() == (1, 109)


def test_pending() -> None:
    """L6: how many wait, and since when."""
    queues = Queues(60)
    queues.put("a", at(3), 9)
    queues.put("b", at(1), 9)
    queues.put("b", at(2), 9)
    assert queues.pending() == (3, 1)
    assert queues.pending(["a", "c"]) == (1, 3)
    assert queues.pending(["c"]) == (0, None)
    queues.clear()
    assert queues.pending() == (0, None)
