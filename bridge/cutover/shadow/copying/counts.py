"""What has become of the copies of each route, and why some were dropped (M10)."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Final

from bridge.cutover.shadow.report.lines import DIFFERENT, DROPPED, EQUAL

#: One side could not be asked, or has not answered in full.
FAILED: Final = "failed"
RESULTS: Final = (EQUAL, DIFFERENT, FAILED, DROPPED)

#: Reason -> what the report says of it.
REASONS: Final = {
    "busy": "there were too many copies at once",
    "memory": "the answers that waited took too much memory",
    "method-override": "the request names another method, which may change something",
    "request-body": "the body of the request was too long, or not read, or is for a WSGI app",
    "response-body": "an answer was too long",
    "stream": "the old app has answered with a stream of events",
    "file": "the old app has answered with a file, which its server sends",
    "unfinished": "the old app has not answered in full, or the client has left",
    "not-modified": "the client has the old app's answer already, and the new app has another one",
    "not-started": "the new app did not start",
    "stopped": "the route was switched, or the server has stopped",
    "hanging": "the new app hangs: it still works on as many copies as there may be",
    "late": "the copy has waited for too long",
    "no-loop": "the server does not run on asyncio",
}


class Counts:
    """Counts results and reasons by route; any thread may."""

    def __init__(self) -> None:
        self._lock = Lock()
        #: Route and result, route and reason -> how often; drops are only among the reasons.
        self._results: Counter[tuple[str, str]] = Counter()
        self._dropped: dict[tuple[str, str], int] = {}
        #: What was told of these by `take_dropped`.
        self._told: dict[tuple[str, str], int] = {}

    def note(self, route: str, result: str) -> None:
        """Count a result."""
        with self._lock:
            self._results[route, result] += 1

    def drop(self, route: str, reason: str) -> None:
        """Count a copy that was not made, or not compared."""
        key = route, reason
        with self._lock:
            self._dropped[key] = self._dropped.get(key, 0) + 1

    def take_dropped(self) -> dict[tuple[str, str], int]:
        """Return what was dropped since the last call."""
        with self._lock:
            told, self._told = self._told, self._dropped.copy()
        return {key: new for key, n in self._told.items() if (new := n - told.get(key, 0))}

    def results(self) -> dict[str, dict[str, int]]:
        """Return the results of each route."""
        with self._lock:
            counted = [*self._results.items()]
            counted += [((route, DROPPED), n) for (route, _), n in self._dropped.items()]
        found: dict[str, dict[str, int]] = {}
        for (route, result), count in counted:
            found.setdefault(route, dict.fromkeys(RESULTS, 0))[result] += count
        return found

    def reasons(self) -> dict[str, dict[str, int]]:
        """Return why copies of each route were dropped."""
        with self._lock:
            dropped = [*self._dropped.items()]
        found: dict[str, dict[str, int]] = {}
        for (route, reason), count in dropped:
            found.setdefault(route, {})[reason] = count
        return found


class Room:
    """Bytes of memory for all bodies that are kept; any thread may ask."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes; False: there are not so many."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._left += size
