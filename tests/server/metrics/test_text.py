"""Prometheus' text format, read by Prometheus' own parser (O2)."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from bridge.server.metrics.snapshot import Family, Snapshot
from bridge.server.metrics.text import render


def parsed(snapshot: Snapshot) -> dict[str, Metric]:
    return {each.name: each for each in text_string_to_metric_families(render(snapshot))}


def one(kind: str, *samples: tuple[dict[str, str], Any], help: str = "Help.") -> Snapshot:
    return {"x_total": Family(type=kind, help=help, samples=[[*each] for each in samples])}


def test_the_text() -> None:
    """O2: names in order, whole numbers as such."""
    snapshot: Snapshot = {
        "b_seconds": Family(
            type="histogram",
            help="Time.",
            samples=[[{"m": "/"}, {"bounds": [0.1, 2.0], "counts": [1, 2, 3], "sum": 7.25}]],
        ),
        "a_total": Family(
            type="counter", help="All.", samples=[[{}, 3], [{"m": "/", "n": "x"}, 4.0]]
        ),
    }
    assert render(snapshot).splitlines() == [
        "# HELP a_total All.",
        "# TYPE a_total counter",
        "a_total 3",
        'a_total{m="/",n="x"} 4',
        "# HELP b_seconds Time.",
        "# TYPE b_seconds histogram",
        'b_seconds_bucket{m="/",le="0.1"} 1',
        'b_seconds_bucket{m="/",le="2"} 3',
        'b_seconds_bucket{m="/",le="+Inf"} 6',
        'b_seconds_sum{m="/"} 7.25',
        'b_seconds_count{m="/"} 6',
    ]
    assert parsed(snapshot)["b_seconds"].type == "histogram"


def test_numbers() -> None:
    """O2: any number is read as it was, also one that is none."""
    numbers = [0, -1, 2**60, 1e300, 1.5e-9, 0.1 + 0.2, inf, -inf, nan]
    (family,) = parsed(one("gauge", *(({"n": str(i)}, n) for i, n in enumerate(numbers)))).values()
    read = [sample.value for sample in family.samples]
    assert read[:-1] == [float(number) for number in numbers[:-1]]
    assert isnan(read[-1])


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text('\\n\n" {},=#é'))
def test_any_label_value(any_text: str, awkward: str) -> None:
    """O2: whatever is in a value, it is read as it was, and nothing else is changed by it."""
    snapshot = one("gauge", ({"a": any_text, "b": awkward}, 1), ({"a": "", "b": ""}, 2))
    (family,) = parsed(snapshot).values()
    assert [(each.labels, each.value) for each in family.samples] == [
        ({"a": any_text, "b": awkward}, 1),
        ({"a": "", "b": ""}, 2),
    ]


def test_help_on_one_line() -> None:
    """O2: a line break or a backslash in the help text breaks nothing."""
    (family,) = parsed(one("counter", ({}, 1), help="one\ntwo \\ three")).values()
    assert family.documentation == "one\ntwo \\ three"
    assert [sample.value for sample in family.samples] == [1]
