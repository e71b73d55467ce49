"""What has become of copies."""

from __future__ import annotations

from bridge.cutover.shadow.copying.counts import REASONS, Counts, Room


def test_results_and_reasons_are_counted_by_route() -> None:
    """M10: what is dropped is counted, with its reason."""
    counts = Counts()
    counts.note("a", "equal")
    counts.note("a", "equal")
    counts.drop("b", "busy")
    assert counts.results() == {
        "a": {"equal": 2, "different": 0, "failed": 0, "dropped": 0},
        "b": {"equal": 0, "different": 0, "failed": 0, "dropped": 1},
    }
    assert counts.reasons() == {"b": {"busy": 1}}
    assert counts.take_dropped() == {("b", "busy"): 1}
    assert counts.take_dropped() == {}
    assert set(counts.reasons()["b"]) <= set(REASONS)


def test_memory_is_bounded() -> None:
    """M10: all bodies that are kept have so much room together."""
    room = Room(10)
    assert room.take(7)
    assert not room.take(4)
    room.give(7)
    assert room.take(10)
