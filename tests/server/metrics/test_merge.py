"""The figures of several workers as those of one server (O2)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.server.metrics.merge import keep_counts, merge
from bridge.server.metrics.snapshot import Family, Snapshot


def family(kind: str, *samples: tuple[dict[str, str], Any], per: str = "") -> Family:
    made = Family(type=kind, help="Help.", samples=[[*each] for each in samples])
    return {**made, "per": per} if per else made


def values(snapshot: Snapshot, name: str) -> dict[tuple[tuple[str, str], ...], Any]:
    return {tuple(sorted(labels.items())): value for labels, value in snapshot[name]["samples"]}


def buckets(bounds: list[float], counts: list[int], total: float) -> dict[str, Any]:
    return {"bounds": bounds, "counts": counts, "sum": total}


def test_counters_and_gauges_add_up() -> None:
    """O2: samples with the same labels, in whatever order, are one."""
    one: Snapshot = {
        "taken": family("counter", ({"a": "1", "b": "2"}, 3), ({"a": "2", "b": "2"}, 1)),
        "open": family("gauge", ({}, 4)),
    }
    two: Snapshot = {"taken": family("counter", ({"b": "2", "a": "1"}, 5)), "lag": family("gauge")}
    merged = merge([("1", one), ("2", two)])
    assert values(merged, "taken") == {
        (("a", "1"), ("b", "2")): 8,
        (("a", "2"), ("b", "2")): 1,
    }
    assert values(merged, "open") == {(): 4}
    assert merged["lag"]["samples"] == []
    assert values(merge([("1", one)]), "open") == {(): 4}
    assert one["taken"]["samples"] == [[{"a": "1", "b": "2"}, 3], [{"a": "2", "b": "2"}, 1]]


def test_a_family_that_is_kept_apart() -> None:
    """O2: each worker's samples have its name; the figures of two are not added."""
    snapshots = [
        (name, {"rss": family("gauge", ({"kind": "x"}, size), per="worker")})
        for name, size in [("1", 10), ("2", 20)]
    ]
    assert values(merge(snapshots), "rss") == {
        (("kind", "x"), ("worker", "1")): 10,
        (("kind", "x"), ("worker", "2")): 20,
    }


def test_histograms_add_up() -> None:
    """O2: bucket by bucket."""
    one = {"took": family("histogram", ({}, buckets([0.1, 1], [1, 2, 3], 7.5)))}
    two = {"took": family("histogram", ({}, buckets([0.1, 1], [4, 0, 1], 2.5)))}
    assert values(merge([("1", one), ("2", two)]), "took") == {
        (): buckets([0.1, 1], [5, 2, 4], 10.0)
    }


def test_histograms_of_two_versions() -> None:
    """O2: only bounds that both have are left, and each value is counted once."""
    one = {"took": family("histogram", ({}, buckets([0.1, 0.5, 1], [1, 2, 3, 4], 1)))}
    two = {"took": family("histogram", ({}, buckets([0.2, 0.5, 2], [5, 6, 7, 8], 1)))}
    assert values(merge([("1", one), ("2", two)]), "took") == {(): buckets([0.5], [14, 22], 2)}


def test_a_name_with_two_meanings() -> None:
    """O2: the first worker is believed; no figure is added to one of another kind."""
    one = {"x": family("counter", ({}, 1))}
    two = {"x": family("gauge", ({}, 5))}
    assert values(merge([("1", one), ("2", two)]), "x") == {(): 1}


def test_what_workers_that_are_gone_have_counted() -> None:
    """O2: counters and histograms never go back; a gauge ends with its worker."""
    last: Snapshot = {
        "taken": family("counter", ({}, 7)),
        "took": family("histogram", ({}, buckets([1], [1, 0], 0.5))),
        "open": family("gauge", ({}, 3)),
        "each": family("counter", ({}, 2), per="worker"),
    }
    gone = keep_counts(keep_counts({}, last), last)
    assert values(gone, "taken") == {(): 14}
    assert "open" not in gone
    merged = merge([("1", last)], gone)
    assert values(merged, "taken") == {(): 21}
    assert values(merged, "took") == {(): buckets([1], [3, 0], 1.5)}
    assert values(merged, "open") == {(): 3}
    assert values(merged, "each") == {(("worker", "1"),): 2, (): 4}


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1000)), max_size=5), max_size=5
    )
)
def test_nothing_is_lost(workers: list[list[tuple[str, int]]]) -> None:
    """O2: the sum over all samples is the same before and after."""
    snapshots = [
        (str(number), {"x": family("counter", *(({"l": label}, n) for label, n in samples))})
        for number, samples in enumerate(workers)
    ]
    merged = merge(snapshots)
    found = values(merged, "x") if workers else {}
    assert sum(found.values()) == sum(n for samples in workers for _, n in samples)
