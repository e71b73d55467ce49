"""Figures in Prometheus' text format 0.0.4 (O2), which other monitors read as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, chain
from math import inf, isinf, isnan
from typing import Any, Final

from bridge.server.metrics.snapshot import HISTOGRAM, Buckets, Family, Snapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_VALUE = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render(snapshot: Snapshot) -> str:
    """Return the text for all families of `snapshot`, in the order of their names."""
    return "".join(
        f"{line}\n" for name in sorted(snapshot) for line in _lines(name, snapshot[name])
    )


def _lines(name: str, family: Family) -> Iterator[str]:
    yield f"# HELP {name} {family['help'].translate(_HELP)}"
    yield f"# TYPE {name} {family['type']}"
    for labels, value in family["samples"]:
        if family["type"] == HISTOGRAM:
            yield from _histogram(name, labels, value)
        else:
            yield f"{name}{_labels(labels)} {_number(value)}"


def _histogram(name: str, labels: Mapping[str, str], value: Buckets) -> Iterator[str]:
    counts = list(accumulate(value["counts"]))
    for bound, count in zip(chain(value["bounds"], [inf]), counts, strict=True):
        yield f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {count}"
    yield f"{name}_sum{_labels(labels)} {_number(value['sum'])}"
    yield f"{name}_count{_labels(labels)} {counts[-1]}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{value.translate(_VALUE)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}"


def _number(value: Any) -> str:
    number = float(value)
    if isnan(number):
        return "NaN"
    if isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
