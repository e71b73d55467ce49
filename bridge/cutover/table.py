"""Which route takes a request: the first one in the list whose path, method and host fit. Pure.

Most requests of most sites are of no route yet, so that is what is quick: the first segment of the
path tells which patterns are tried, and these are one regular expression. No path is kept, and one
that was never seen costs no more than others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from bridge.cutover.patterns import Pattern
from bridge.cutover.route import Route


class _Bucket(NamedTuple):
    """The patterns that paths with one first segment may fit, in order, each with its route."""

    #: Finds the first one that fits; the number of its last group tells which it is.
    match: Callable[[str], re.Match[str] | None]
    rows: list[tuple[Pattern, Route]]


class Table:
    """The routes in force. It never changes: a switch makes another one, with changed routes."""

    __slots__ = ("_by_segment", "_others", "routes", "uses_host")

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        #: Some route is for some hosts only.
        self.uses_host = any(route.host is not None for route in routes)
        rows = [(pattern, route) for route in routes for pattern in route.patterns]
        segments = {pattern.first for pattern, _ in rows if pattern.first is not None}
        self._by_segment = {
            segment: _bucket([row for row in rows if row[0].first in (segment, None)])
            for segment in segments
        }
        general = [row for row in rows if row[0].first is None]
        self._others = _bucket(general) if general else None

    def find(self, path: str, method: str, host: str = "") -> Route | None:
        """Return the route that takes a request; None if none does.

        `path` is decoded, and what is left below the place of the app; `host` is the Host field,
        needed if `uses_host`.
        """
        end = path.find("/", 1)
        bucket = self._by_segment.get(path[1:end] if end > 0 else path[1:], self._others)
        if bucket is None:
            return None
        found = bucket.match(path)
        if found is None:
            return None
        at = found.lastindex or 0
        route = bucket.rows[at - 1][1]
        if (route.methods is None and route.host is None) or route.accepts(method, host):
            return route
        for pattern, other in bucket.rows[at:]:
            if other.accepts(method, host) and pattern.takes(path):
                return other
        return None

    def route(self, name: str) -> Route | None:
        """Return the route of that name."""
        return next((each for each in self.routes if each.name == name), None)


def _bucket(rows: list[tuple[Pattern, Route]]) -> _Bucket:
    expression = "|".join(f"{pattern.regex}()" for pattern, _ in rows)
    return _Bucket(re.compile(expression, re.DOTALL).fullmatch, rows)
