"""The figures of several processes as those of one server (O2).

Counters and histograms add up; so do gauges, unless a family says ``"per": "worker"``: then each
sample gets a label ``worker``. What a worker has counted is kept when it is gone, so that no
counter ever goes back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from bridge.server.metrics.snapshot import GAUGE, HISTOGRAM, Buckets, Family, Snapshot

#: The value of the label `worker` goes with each of these.
Workers = Iterable[tuple[str, Snapshot]]


def merge(workers: Workers, gone: Snapshot | None = None) -> Snapshot:
    """Return the figures of all `workers`, each with its name, and of those that are `gone`.

    If two workers mean different things by a name, as two versions may, the first is believed.
    """
    merged: Snapshot = {}
    for worker, snapshot in workers:
        for name, family in snapshot.items():
            _add(merged, name, family, worker)
    for name, family in (gone or {}).items():
        _add(merged, name, family, "")
    return merged


def keep_counts(gone: Snapshot, last: Snapshot) -> Snapshot:
    """Return what `gone` workers have counted, with the `last` figures of one more.

    A gauge says how things are now, and ends with its worker.
    """
    counted = {name: family for name, family in last.items() if family["type"] != GAUGE}
    return merge([("", gone), ("", counted)])


def _add(merged: Snapshot, name: str, family: Family, worker: str) -> None:
    """Add one family of one worker."""
    apart = family.get("per") == "worker" and bool(worker)
    known = merged.get(name)
    if known is None:
        known = merged[name] = Family(type=family["type"], help=family["help"], samples=[])
    elif known["type"] != family["type"]:
        return
    by_labels = {_key(labels): index for index, (labels, _) in enumerate(known["samples"])}
    for labels, value in family["samples"]:
        if apart:
            labels = {**labels, "worker": worker}
        index = by_labels.setdefault(_key(labels), len(known["samples"]))
        if index == len(known["samples"]):
            known["samples"].append([labels, value])
        else:
            before = known["samples"][index][1]
            known["samples"][index] = [labels, _sum(before, value, family["type"])]


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _sum(first: Any, second: Any, kind: str) -> Any:
    return _sum_buckets(first, second) if kind == HISTOGRAM else first + second


def _sum_buckets(first: Buckets, second: Buckets) -> Buckets:
    """Add two histograms; bounds that only one of them has are left out, so that all counts hold.

    Workers of two versions may have different ones.
    """
    bounds = first["bounds"]
    if bounds != second["bounds"]:
        bounds = sorted({*bounds}.intersection(second["bounds"]))
    counts = [0] * (len(bounds) + 1)
    for each in (first, second):
        upper = chain(each["bounds"], [float("inf")])
        for bound, count in zip(upper, each["counts"], strict=True):
            counts[bisect_left(bounds, bound)] += count
    return Buckets(bounds=bounds, counts=counts, sum=first["sum"] + second["sum"])
