"""Workers that have died, and whether the new app of a route is what they die of (M23). Pure.

A worker takes all with it that is open there, of both apps; nobody knows which request it was. So
the requests are counted as failed on both sides alike, and besides, all of these must be true
before a gate breaks because of the deaths alone:

- at least `_FEWEST` workers have died with a request open in the new app;
- they had one more often than a worker has one anyway, which the requests that began there saw;
- by its requests, the new app is worse than the old one, whose deaths are those with a request open
  in the old app and none in the new one.

Neither may be chance (`proportions.py`), but no `min_requests` are waited for: each death costs all
clients of a worker, and after some of them there is none for a while. An old app that has no death
counts as if it had answered `min_requests`.
"""

from __future__ import annotations

from typing import Final

from bridge.cutover.canary.counts import Sides
from bridge.cutover.canary.proportions import chance
from bridge.cutover.observed.board import Row

_FEWEST: Final = 3
#: What happens by chance less often than this is no chance. One looks at each death only.
_BY_CHANCE: Final = 1e-3


class Crashes:
    """The deaths since the share of a route was set."""

    def __init__(self) -> None:
        #: All of them; those with a request in the new app; in the old one only.
        self._all = self._new = self._old = 0
        #: Requests that began in these workers, and how many found one open in the new app.
        self._begun = self._found = 0

    def add(self, row: Row) -> None:
        """Count a worker that left this."""
        self._all += 1
        self._new += row.new.open > 0
        self._old += row.old.open > 0 == row.new.open
        self._begun += row.begun
        self._found += row.found

    def reason(self, counted: Sides, min_requests: int) -> str | None:
        """Return why the new app is to be taken back; None if it is not. `counted`: requests."""
        new, old = counted.new.requests, counted.old.requests
        if self._new < _FEWEST or new < self._new or old < self._old:
            return None
        if not self._old:
            old = max(old, min_requests)
        if chance(self._new, self._all, self._found, self._begun) >= _BY_CHANCE:
            return None
        if chance(self._new, new, self._old, old) >= _BY_CHANCE:
            return None
        return (
            f"{self._new} workers have died with a request in the new app, {self._old} with one "
            "in the old app only"
        )
