"""All routes of a site in one list, in the order in which they are asked (M50).

Mounts are unfolded: the routes of a mounted app stand at the place of its mount, with the prefixes
joined. After them comes a row for the rest of the mount: what none of its routes takes, the app
refuses, and nobody else is asked. Only behind a fallback the next app is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bridge.route_tables.patterns.pattern import EVERYTHING, Pattern, Text, covers, overlaps
from bridge.route_tables.route import AppRoute, AppTable, RouteKind, Submount, View
from bridge.route_tables.site.hosts import both_hosts, host_covers, plain_host

KINDS: tuple[RouteKind, ...] = ("http", "websocket")

NOWHERE = Pattern(())
UNKNOWN = View()

#: A place in a fallback: which one, which of its apps, and whether that is the last.
Turn: TypeAlias = tuple[int, int, bool]


@dataclass(frozen=True)
class Place:
    """Where an app is mounted, and under which conditions it is asked."""

    prefix: Pattern = NOWHERE
    host: str = ""
    kinds: tuple[RouteKind, ...] = KINDS
    #: Paths must match all of these, too: of mounts that keep their prefix.
    within: tuple[Pattern, ...] = ()
    conditions: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    #: Requests have one of these methods; empty: any.
    methods: tuple[str, ...] = ()
    #: What gives requests to the app, if that is a switch (`Submount.switch`).
    switch: str = ""
    #: Why nothing here can be reached; empty: it can.
    closed: str = ""


@dataclass(frozen=True)
class Row:
    """One route of the site, or what an app does with all that is none of its routes."""

    path: Pattern
    app: AppTable
    place: Place
    methods: tuple[str, ...] = ()
    kinds: tuple[RouteKind, ...] = KINDS
    host: str = ""
    view: View = UNKNOWN
    name: str = ""
    #: As the framework writes it.
    pattern: str = ""
    by_method: bool = True
    #: Not a route: the app answers here that it has none.
    is_rest: bool = False
    #: An app whose routes are not known.
    is_unread: bool = False
    notes: tuple[str, ...] = ()
    #: Why no request can reach it; empty: one can.
    never: str = ""

    def takes(self, path: str, method: str, host: str, kind: RouteKind) -> bool:
        """Whether it answers this request, if it is asked."""
        return self.takes_path(path, host, kind) and self.takes_method(method)

    def takes_path(self, path: str, host: str, kind: RouteKind) -> bool:
        """Whether it answers a request for this path, if the method is right."""
        return (
            kind in self.kinds
            and not self.place.closed
            and host_covers(self.host, plain_host(host))
            and all(each.matches(path) for each in (self.path, *self.place.within))
        )

    def takes_method(self, method: str) -> bool:
        """Whether it is asked with this method."""
        if self.place.methods and method not in self.place.methods:
            return False
        return not self.by_method or not self.methods or method in self.methods

    @property
    def mount(self) -> str:
        """Return the place of its app, as tables show it."""
        return f"{self.place.host}{self.place.prefix}"


def rows_of(table: AppTable) -> list[Row]:
    """Return the rows of a site whose app has this table."""
    return list(_Unfolding().rows(table, Place()))


@dataclass
class _Unfolding:
    #: How many fallbacks have been seen.
    fallbacks: int = field(default=0)

    def rows(self, table: AppTable, place: Place) -> Iterator[Row]:
        """Yield the rows of an app at this place; at last that for the rest."""
        if table.unread:
            if _is_switched_to(_place_of(place), place):
                yield _unread(table, place)
            return
        if table.tries_each:
            self.fallbacks += 1
            yield from self._turns(table, place, self.fallbacks)
        else:
            for entry in table.entries:
                if isinstance(entry, Submount):
                    yield from self.rows(entry.table, _inner_place(place, entry))
                else:
                    row = _route(entry, table, place)
                    if row is not None:
                        yield row
        if all(is_last for _, _, is_last in place.turns):
            yield _rest(table, place)

    def _turns(self, table: AppTable, place: Place, number: int) -> Iterator[Row]:
        for at, entry in enumerate(table.entries):
            assert isinstance(entry, Submount), "a fallback has apps only"
            turn = (number, at, at == len(table.entries) - 1)
            yield from self.rows(entry.table, replace(place, turns=(*place.turns, turn)))


def _inner_place(place: Place, mount: Submount) -> Place:
    """Return the place of an app that is mounted at `place`."""
    prefix = mount.path.below(place.prefix)
    host = both_hosts(place.host, plain_host(mount.host))
    closed = place.closed
    if host is None:
        host = plain_host(mount.host)
        closed = closed or f"it is for {mount.host}, and what it is mounted in for {place.host}"
    within = place.within
    if mount.only_path:
        within = (*within, prefix)
        prefix = place.prefix
    elif mount.keeps_prefix:
        within = (*within, prefix.and_below())
        prefix = place.prefix
    return replace(
        place,
        prefix=prefix,
        host=host,
        closed=closed,
        within=within,
        kinds=tuple(kind for kind in place.kinds if kind in (mount.kinds or KINDS)),
        conditions=place.conditions + ((mount.condition,) if mount.condition else ()),
        methods=_both(place.methods, mount.methods),
        switch=mount.switch or place.switch,
    )


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods of both; empty stands for all."""
    return tuple(each for each in one if not other or each in other) if one else other


def _is_switched_to(path: Pattern, place: Place) -> bool:
    """Whether an app gets this path; only a switch gives it some of its paths alone."""
    return not place.switch or all(overlaps(path, each) for each in place.within)


def _route(route: AppRoute, table: AppTable, place: Place) -> Row | None:
    """Return the row of a route; None if the app does not get its requests here at all."""
    path = route.path.below(place.prefix)
    methods = _both(route.methods, place.methods)
    if not _is_switched_to(path, place) or (route.methods and not methods):
        return None
    if table.empty_is_root and place.prefix.parts and route.path.parts == (Text(""),):
        path = Pattern(place.prefix.parts, optional_slash=True)
    host = both_hosts(place.host, plain_host(route.host))
    if host is None:
        closed = f"it is for {route.host}, and its app is mounted for {place.host}"
        host, place = plain_host(route.host), replace(place, closed=closed)
    elif not all(overlaps(path, each) for each in place.within):
        seen = " and ".join(str(Pattern(each.parts[:-1])) for each in place.within)
        closed = f"{table.app} gets only paths below {seen}, and sees them whole (keep_prefix)"
        place = replace(place, closed=closed)
    return Row(
        path,
        table,
        place,
        methods=methods,
        kinds=tuple(kind for kind in place.kinds if kind == route.kind),
        host=host,
        view=route.view,
        name=route.name,
        pattern=route.pattern,
        by_method=route.by_method,
        notes=tuple(each for each in (route.note, *_conditions(place)) if each),
        never=place.closed,
    )


def _conditions(place: Place) -> list[str]:
    switch = [f"by {place.switch}"] if place.switch else []
    return switch + [f"only if {condition}" for condition in place.conditions]


def _place_of(place: Place) -> Pattern:
    """Return everything below a place."""
    below = place.prefix.and_below() if place.prefix.parts else EVERYTHING
    if place.within and covers(below, place.within[-1]):
        return place.within[-1]
    return below


def _unread(table: AppTable, place: Place) -> Row:
    return Row(
        _place_of(place),
        table,
        place,
        kinds=place.kinds,
        host=place.host,
        view=table.view,
        is_unread=True,
        notes=(table.unread, *_conditions(place)),
        never=place.closed,
    )


def _rest(table: AppTable, place: Place) -> Row:
    return Row(_place_of(place), table, place, kinds=place.kinds, host=place.host, is_rest=True)


def surely_covers(one: Row, other: Row) -> bool:
    """Whether `one`, if it is asked before `other`, gets all paths, hosts and kinds of that."""
    return (
        not one.place.conditions
        and not one.place.closed
        and set(other.kinds) <= set(one.kinds)
        and host_covers(one.host, other.host)
        and all(covers(each, other.path) for each in (one.path, *one.place.within))
    )
