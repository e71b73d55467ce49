"""What a report adds up to, by route, and whether that is good enough (M12)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridge.cutover.shadow.report.file import parts_of
from bridge.cutover.shadow.report.lines import DIFFERENT, DROPPED, EQUAL, ERROR, Entry
from bridge.errors import ConfigError, pluralize

#: The most different differences that are counted for one route, and that are shown.
_MOST_COUNTED: Final = 1_000
SHOWN: Final = 5
#: The most bytes of a line; what is longer was not written by us.
_LONGEST: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class RouteSummary:
    """The figures of one route; `examples` has a difference and its request for each kind."""

    equal: int = 0
    different: int = 0
    dropped: int = 0
    errors: int = 0
    truncated: int = 0
    frequent: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], Entry] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def compared(self) -> int:
        """How many requests were compared."""
        return self.equal + self.different

    def add(self, entry: Entry) -> None:
        """Count an entry. Raises `LookupError`, `TypeError` or `ValueError` if it is none."""
        result = entry["result"]
        if result in (DROPPED, ERROR):
            reason = str(entry.get("reason"))
            count = max(1, int(entry.get("count", 1)))
            self.dropped += count * (result == DROPPED)
            self.errors += count * (result == ERROR)
            if reason in self.reasons or len(self.reasons) < _MOST_COUNTED:
                self.reasons[reason] += count
            return
        if result not in (EQUAL, DIFFERENT):
            raise ValueError(result)
        found = [((each["pattern"], each["kind"]), each) for each in entry.get("differences", ())]
        self.equal += result == EQUAL
        self.different += result == DIFFERENT
        self.truncated += bool(entry.get("truncated"))
        for key in dict.fromkeys(key for key, _ in found):  # once for each request, in their order
            if key in self.frequent or len(self.frequent) < _MOST_COUNTED:
                self.frequent[key] += 1
        for key, each in found:
            if key in self.frequent:
                example = {**each, "request": f"{entry['method']} {entry['target']}"}
                self.examples.setdefault(key, example)

    def shown(self) -> list[tuple[tuple[str, str], int]]:
        """Return the most frequent differences; another status comes first, however rare it is."""
        counts = self.frequent.most_common()
        return sorted(counts, key=lambda each: each[0][0] != "status")[:SHOWN]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "compared": self.compared,
            "equal": self.equal,
            "different": self.different,
            "dropped": self.dropped,
            "errors": self.errors,
            "truncated": self.truncated,
            "differences": [{"count": count, **self.examples[key]} for key, count in self.shown()],
            "reasons": dict(self.reasons.most_common(SHOWN)),
        }


@dataclass(slots=True)
class Summary:
    """The figures of all routes; `unreadable` lines were none of a report."""

    routes: dict[str, RouteSummary] = field(default_factory=dict)
    unreadable: int = 0

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        try:
            route = str(entry["route"])
            self.routes.setdefault(route, RouteSummary()).add(entry)
        except (LookupError, TypeError, ValueError):
            self.unreadable += 1

    @property
    def compared(self) -> int:
        """How many requests were compared."""
        return sum(route.compared for route in self.routes.values())

    @property
    def different(self) -> int:
        """How many of them have differed."""
        return sum(route.different for route in self.routes.values())

    @property
    def errors(self) -> int:
        """How many requests one side has not answered."""
        return sum(route.errors for route in self.routes.values())

    def as_dict(self) -> dict[str, Any]:
        """Return all figures for JSON."""
        routes = {name: route.as_dict() for name, route in sorted(self.routes.items())}
        total: Counter[str] = Counter()
        for route in routes.values():
            total.update({name: each for name, each in route.items() if isinstance(each, int)})
        return {"total": {**_NOTHING, **total}, "routes": routes, "unreadable": self.unreadable}


_NOTHING: Final = dict.fromkeys(
    ("compared", "equal", "different", "dropped", "errors", "truncated"), 0
)


def summed_up(entries: Iterable[Entry]) -> Summary:
    """Count these entries."""
    summary = Summary()
    for entry in entries:
        summary.add(entry)
    return summary


def read_report(path: str | Path) -> Summary:
    """Return what the report at `path` adds up to, with its older parts.

    Raises `ConfigError` if there is none.
    """
    parts = parts_of(path)
    if not parts:
        raise ConfigError(
            f"{path} is no report; name the file that was written to. If this is it, nothing has "
            "been compared yet"
        )
    summary = Summary()
    for part in parts:
        try:
            for entry in _entries(part):
                if entry is None:
                    summary.unreadable += 1
                else:
                    summary.add(entry)
        except FileNotFoundError:  # it was moved while we read
            continue
        except OSError as error:
            raise ConfigError(
                f"{part} cannot be read: {error.strerror}; name the report that was written"
            ) from None
    return summary


def _entries(part: Path) -> Iterator[Entry | None]:
    with part.open("rb") as file:
        while line := file.readline(_LONGEST):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            yield entry if isinstance(entry, dict) else None


# ------------------------------------------------------------- how much may differ

_LIMIT: Final = re.compile(r"(\d{1,12})|(\d{1,3}(?:\.\d{1,6})?)%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests may differ: `most`, or `percent` of those that were compared."""

    text: str
    most: int | None = None
    percent: float | None = None

    def broken_by(self, summary: Summary) -> str | None:
        """Return why a summary is not good enough; None if it is."""
        if summary.errors:
            return f"{pluralize(summary.errors, 'request')} without an answer of one side"
        if not summary.compared:
            return "nothing was compared, which proves nothing"
        seen = summary.different
        if seen <= (self.most or 0) or 100 * seen <= (self.percent or 0) * summary.compared:
            return None
        share = f"{100 * seen / summary.compared:.2f}".rstrip("0").rstrip(".")
        return f"{seen} of {summary.compared} differ ({share} %); allowed is {self.text}"


def parse_limit(text: str) -> Limit:
    """Read ``0``, ``12`` or ``0.5%``. Raises `ConfigError`."""
    found = _LIMIT.fullmatch(text.strip())
    if found is None or float(found[2] or 0) > 100:
        raise ConfigError(
            f"{text!r} is no limit of differences; allowed is a number such as 0, or a share of "
            "the requests such as 0.5%"
        )
    if found[1] is not None:
        return Limit(text, most=int(found[1]))
    return Limit(text, percent=float(found[2]))
