"""What both apps have answered since the server was started, by route and side (M3).

Each worker tells with each beat what it has counted since its start. That of workers which are gone
stays counted, as far as they have told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from bridge.server.metrics.figures import Read
from bridge.server.metrics.histogram import DURATIONS

#: Place of responses with a status from 500 on, in a list by class.
_ERRORS: Final = 5
_P95: Final = 0.95

#: Route, side, requests, how many of them have failed.
Lost: TypeAlias = "tuple[str, str, int, int]"
Key = TypeVar("Key")


@dataclass
class Side:
    """The requests of one side of a route."""

    requests: int = 0
    errors: int = 0
    #: Durations by bucket.
    durations: list[int] = field(default_factory=lambda: [0] * (len(DURATIONS) + 1))

    def add(self, requests: int, errors: int, durations: Iterable[int]) -> None:
        """Add what others have counted."""
        self.requests += requests
        self.errors += errors
        self.durations = [sum(pair) for pair in zip(self.durations, durations, strict=True)]

    @property
    def p95(self) -> float | None:
        """How long 95 % of the requests took at most, in seconds, about; None without any."""
        wanted, so_far, shortest = _P95 * sum(self.durations), 0, 0.0
        for longest, count in zip((*DURATIONS, DURATIONS[-1]), self.durations, strict=True):
            if count and so_far + count >= wanted:
                return shortest + (longest - shortest) * (wanted - so_far) / count
            so_far += count
            shortest = longest
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return what is shown of it."""
        return {"requests": self.requests, "errors": self.errors, "p95": self.p95}


def told(by_route: Mapping[tuple[str, str], Read]) -> list[list[Any]]:
    """Return what the meters of one worker have counted, as it is told."""
    return [
        [route, side, sum(counts), classes[_ERRORS], counts]
        for (route, side), (counts, _, classes) in by_route.items()
    ]


class Totals(Generic[Key]):
    """The sums of all workers; a `Key` is a worker."""

    def __init__(self) -> None:
        #: What each worker has told last, and those that are gone.
        self._told: dict[Key, dict[str, Any]] = {}
        self._gone: list[dict[str, Any]] = []

    def note(self, worker: Key, told: dict[str, Any]) -> None:
        """Take what a worker has counted since its start."""
        self._told[worker] = told

    def note_gone(self, worker: Key, lost: Iterable[Lost] = ()) -> None:
        """Keep what a worker has counted that is gone; `lost`: what it had not told."""
        last = self._told.pop(worker, None)
        sides = [[*each, Side().durations] for each in lost]
        self._gone = [_sum([*self._gone, last or {}, {"sides": sides}])]

    def sum(self) -> dict[str, Any]:
        """Return the sums: `sides` by route and side, `rescued` by route, `copies` by result."""
        return _sum([*self._gone, *self._told.values()])


def _sum(all_told: Iterable[dict[str, Any]]) -> dict[str, Any]:
    sides: dict[tuple[str, str], Side] = {}
    rescued: dict[str, int] = {}
    copies: dict[str, dict[str, int]] = {}
    for each in all_told:
        for route, side, *counts in each.get("sides", ()):
            sides.setdefault((route, side), Side()).add(*counts)
        for route, count in each.get("rescued", {}).items():
            rescued[route] = rescued.get(route, 0) + count
        for route, results in each.get("copies", {}).items():
            known = copies.setdefault(route, {})
            for result, count in results.items():
                known[result] = known.get(result, 0) + count
    return {
        "sides": [
            [route, side, each.requests, each.errors, each.durations]
            for (route, side), each in sides.items()
        ],
        "rescued": rescued,
        "copies": copies,
    }
