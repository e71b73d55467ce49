"""What was found, collected from all threads: the same thing at several places is one finding."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.check.catalogue import CATALOGUE
from bridge.check.catalogue.entry import SEVERITIES, Entry, Severity
from bridge.loops.watchdog.stack import Place

#: The most places that are kept of one finding.
_MOST_PLACES: Final = 5


@dataclass
class Finding:
    """One thing that was found: its `id` names its entry in the catalogue."""

    id: str
    text: str
    #: What to do about it.
    advice: str = ""
    #: The one way to serve that it was found with; empty: those that its entry names.
    way: str = ""
    places: list[Place] = field(default_factory=list)

    @property
    def entry(self) -> Entry:
        """What the catalogue says of it."""
        return CATALOGUE[self.id]

    def fails(self, way: str) -> bool:
        """Whether the app cannot be served that way."""
        if self.way:
            return self.way == way and self.severity == "error"
        return way in self.entry.fails

    def needs_care(self, way: str) -> bool:
        """Whether it matters for that way to serve."""
        return self.way == way if self.way else way in self.entry.care

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.entry.severity


class Findings:
    """Collects findings; any thread may add some."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Finding] = {}
        self._told: set[object] = set()

    def add(self, id: str, place: Place | None = None, **values: Any) -> None:
        """Note that `id` was found; `values` are for its text in the catalogue."""
        entry = CATALOGUE[id]
        text = entry.text.format(**values)
        advice = entry.advice.format(**values) if "{" in entry.advice else entry.advice
        with self._lock:
            finding = self._found.setdefault(
                (id, text), Finding(id, text, advice, values.get("way", ""))
            )
            if place is not None and place not in finding.places:
                del finding.places[_MOST_PLACES - 1 :]
                finding.places.append(place)

    def add_once(self, key: object, id: str, place: Place | None = None, **values: Any) -> None:
        """Note that `id` was found, but not again for an equal `key`: in another request, say."""
        with self._lock:
            if (id, key) in self._told:
                return
            self._told.add((id, key))
        self.add(id, place, **values)

    def __iter__(self) -> Iterator[Finding]:
        """Iterate over what was found, the worst first."""
        with self._lock:
            found = list(self._found.values())
        return iter(sorted(found, key=lambda each: -SEVERITIES.index(each.severity)))

    def __contains__(self, id: object) -> bool:
        """Whether `id` was found."""
        return any(each.id == id for each in self)

    @property
    def worst(self) -> Severity:
        """The severity of the worst finding; ``ok`` if there is none."""
        return next((each.severity for each in self), "ok")
