"""Which route takes a request: the first one in the list whose path, method and host fit. Pure.

Most requests of most sites are of no route yet, so that is what is quick: the first segment of the
path tells which patterns are tried, and these are one regular expression. A path that was never
seen costs little more than others; where no method or host counts, those that come again are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from bridge.caches import BoundedDict
from bridge.cutover.patterns import Pattern
from bridge.cutover.route import Route

#: Paths that are kept, and their longest.
_MOST_PATHS: Final = 2048
_LONGEST_PATH: Final = 128
_UNKNOWN: Final = object()

#: A pattern and its route.
_Row: TypeAlias = tuple[Pattern, Route]
#: The rows that paths with one first segment may fit, in order; what finds the first that fits (the
#: number of its last group tells which); whether nothing but the path counts for any of them.
_Bucket: TypeAlias = tuple[Callable[[str], re.Match[str] | None], list[_Row], bool]


class Table:
    """The routes in force. It never changes: a switch makes another one, with changed routes."""

    __slots__ = ("_by_segment", "_kept", "_known", "_others", "routes", "uses_host")

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
        self._others = _bucket([row for row in rows if row[0].first is None])
        #: Paths for which nothing else counts -> their route.
        self._known: BoundedDict[str, Route | None] = BoundedDict(_MOST_PATHS)
        self._kept: Callable[[str, object], object] = self._known.get

    def find(self, path: str, method: str, host: str = "") -> Route | None:
        """Return the route that takes a request; None if none does.

        `path` is decoded, and what is left below the place of the app; `host` is the Host field,
        needed if `uses_host`.
        """
        known = self._kept(path, _UNKNOWN)
        if known is not _UNKNOWN:
            return known  # type: ignore[return-value]
        end = path.find("/", 1)
        match, rows, plain = self._by_segment.get(
            path[1:end] if end > 0 else path[1:], self._others
        )
        found = match(path)
        if not plain:
            return None if found is None else _first(found.lastindex or 0, rows, path, method, host)
        route = None if found is None else rows[(found.lastindex or 0) - 1][1]
        if len(path) <= _LONGEST_PATH:
            self._known.store(path, route)
        return route

    def route(self, name: str) -> Route | None:
        """Return the route of that name."""
        return next((each for each in self.routes if each.name == name), None)


def _first(at: int, rows: list[_Row], path: str, method: str, host: str) -> Route | None:
    """Return the first route that also accepts method and host; row number `at` fits the path."""
    route = rows[at - 1][1]
    if route.accepts(method, host):
        return route
    for pattern, other in rows[at:]:
        if other.accepts(method, host) and pattern.takes(path):
            return other
    return None


def _bucket(rows: list[_Row]) -> _Bucket:
    expression = "|".join(f"{pattern.regex}()" for pattern, _ in rows)
    plain = all(route.methods is None and route.host is None for _, route in rows)
    match = re.compile(expression, re.DOTALL).fullmatch if rows else _no_match
    return match, rows, plain


def _no_match(path: str) -> None:
    """Find nothing."""
