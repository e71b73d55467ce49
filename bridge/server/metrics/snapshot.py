"""What the figures of one process look like when they leave it: plain dicts and lists, for JSON.

    {"bridge_requests_total": {"type": "counter", "help": "Requests taken.",
                               "samples": [[{"mount": "/"}, 17]]}}

`type` is ``counter``, ``gauge`` or ``histogram``. A family with ``"per": "worker"`` keeps the
figures of each worker apart when those of several are merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NotRequired, TypeAlias, TypedDict

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"


class Buckets(TypedDict):
    """A histogram: how many values were at most `bounds[i]`, and above the bound before it.

    There is one more of `counts` than of `bounds`: the values above all of them.
    """

    bounds: list[float]
    counts: list[int]
    sum: float


#: Labels, and a number or `Buckets`.
Sample: TypeAlias = tuple[Mapping[str, str], Any]


class Family(TypedDict):
    """All samples with one name; in JSON a sample is a list."""

    type: str
    help: str
    samples: list[Any]
    per: NotRequired[str]


#: Name -> family.
Snapshot: TypeAlias = dict[str, Family]
