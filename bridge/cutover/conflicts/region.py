"""What a route takes, of a cutover or of an app, in one form: paths, methods, host, kinds. Pure.

Only what is sure counts, as in the tables of routes: `covers` is true, and `overlaps` false, only
if that is sure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bridge.cutover.route import Route
from bridge.route_tables import Pattern, Row, covers, overlaps, parse_braces
from bridge.route_tables.route import RouteKind
from bridge.route_tables.site.hosts import host_covers, hosts_overlap

#: Methods that frameworks add by themselves.
_ADDED = frozenset({"HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Region:
    """Requests for one path, which match all of `paths`; the first is the one that is shown.

    A WebSocket has the method GET.
    """

    paths: tuple[Pattern, ...]
    #: Empty: every method.
    methods: frozenset[str] = frozenset()
    host: str = ""
    kinds: tuple[RouteKind, ...] = ("http", "websocket")

    def overlaps(self, other: Region) -> bool:
        """Whether there may be a request of both, as far as the method does not count."""
        return (
            not set(self.kinds).isdisjoint(other.kinds)
            and hosts_overlap(self.host, other.host)
            and all(_may_meet(one, another) for one in self.paths for another in other.paths)
        )

    def covers(self, other: Region) -> bool:
        """Whether each path and host of `other` is one of this."""
        return host_covers(self.host, other.host) and all(
            any(covers(one, another) for another in other.paths) for one in self.paths
        )

    def has(self, method: str) -> bool:
        """Whether it takes this method; ``""`` stands for one that is not known."""
        return not method or not self.methods or method in self.methods

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the methods that count, sorted; ``""`` if it is every method."""
        return tuple(sorted(self.methods - _ADDED or self.methods)) or ("",)

    def shown(self, methods: Iterable[str] = ()) -> str:
        """Show it, with these of its methods: ``GET /invoices/{id}``."""
        words = ",".join(methods)
        if self.kinds == ("websocket",):
            words = "WebSocket"
        return f"{words} {self.host}{self.paths[0]}".strip()


def _may_meet(one: Pattern, other: Pattern) -> bool:
    if one.first is not None and other.first is not None and one.first != other.first:
        return False  # soon said, for most
    return overlaps(one, other)


def regions_of_route(route: Route) -> list[Region]:
    """Return what a route of a cutover takes, path by path."""
    methods = frozenset(route.methods or ())
    kinds: tuple[RouteKind, ...] = ("http", "websocket")
    if methods and "GET" not in methods:
        kinds = ("http",)
    return [Region((parse_braces(path),), methods, route.host or "", kinds) for path in route.paths]


def region_of_row(row: Row) -> Region:
    """Return what a route of an app takes."""
    methods = frozenset(row.methods if row.by_method else row.place.methods)
    if row.kinds == ("websocket",):
        methods = frozenset({"GET"})
    return Region((row.path, *row.place.within), methods, row.host, row.kinds)


def common(route: Region, row: Region) -> Region | None:
    """Return what both take, if one has all paths of the other; else None."""
    if route.covers(row):
        inner = row
    elif row.covers(route):
        inner = route
    else:
        return None
    methods = route.methods or row.methods
    if route.methods and row.methods:
        methods = route.methods & row.methods
        if not methods:
            return None
    return replace(inner, methods=methods, kinds=row.kinds)


def is_taken(region: Region, method: str, before: Sequence[Region]) -> bool:
    """Whether one of `before` takes all requests of `region` with `method`."""
    return any(
        each.covers(region) and (not each.methods or method in each.methods) for each in before
    )
