"""Find what will not go as it was meant, before a request comes (M4). Pure.

There are these kinds: a route of the cutover that none can reach, since another one comes before
it; requests that a route gives to the new app, or the old one, which does not have them; a route in
mode shadow of which nothing is copied; and, as hints, what the new app does not have yet, and
routes of the new app that no route of the cutover names. Of an app whose routes cannot be read
nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bridge.arguments.checks import close_names
from bridge.cutover.conflicts.region import (
    Region,
    common,
    is_taken,
    region_of_row,
    regions_of_route,
)
from bridge.cutover.route import NEW, OLD, SHADOW, Route
from bridge.errors import pluralize
from bridge.route_tables import Pattern, Row
from bridge.route_tables.patterns.pattern import Parameter, Text

#: The most of a kind that one line names.
_MOST = 4
#: The methods of which mode shadow sends copies.
_COPIED = frozenset({"GET", "HEAD", "OPTIONS"})
#: The methods of HTTP (RFC 9110, RFC 5789).
_METHODS = _COPIED | {"POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"}
#: Where views are that FastAPI adds by itself, and those of all frameworks.
_DOCS = frozenset({"fastapi.applications.FastAPI.setup"})
_OWN = _DOCS | {"flask.app.Flask", "quart.app.Quart"}


@dataclass(frozen=True)
class Conflict:
    """One line about it; `is_hint`: it may well be meant so."""

    text: str
    is_hint: bool = False


def find_conflicts(
    routes: Sequence[Route], old: Sequence[Row], new: Sequence[Row]
) -> Iterator[Conflict]:
    """Yield what is wrong with `routes`; `old` and `new` are all rows of the apps."""
    before: list[tuple[str, Region]] = []
    apps = _Apps(old, new, routes)
    for route in routes:
        yield from apps.unknown_methods(route)
        reached = []
        for region in regions_of_route(route):
            if who := _taken_by(region, before):
                yield _unreached(route, region, who)
            else:
                reached.append(region)
        if route.mode != OLD:
            yield from apps.missing(route, reached, [each for _, each in before])
        else:
            apps.note_not_yet(route, reached)
        if route.mode == SHADOW and _COPIED.isdisjoint(route.methods or _COPIED):
            yield _never_copied(route)
        if route.mode != NEW or route.rescue:
            yield from apps.not_in_old(route, reached)
        before += [(route.name, each) for each in reached]
    yield from apps.not_yet()
    yield from apps.unnamed([each for _, each in before])


# ------------------------------------------------------------- route against route


def _taken_by(region: Region, before: Sequence[tuple[str, Region]]) -> list[str]:
    """Return the names of the routes that take all of `region`; none if they do not."""
    names: dict[str, None] = {}
    for method in region.asked:
        name = next((name for name, each in before if is_taken(region, method, [each])), None)
        if name is None:
            return []
        names[name] = None
    return [*names]


def _unreached(route: Route, region: Region, who: Sequence[str]) -> Conflict:
    names = " and ".join(f"route {name}" for name in who)
    come, take = ("comes", "takes") if len(who) == 1 else ("come", "take")
    return Conflict(
        f"route {route.name} never gets {region.shown()}: {names}, which {come} before it, {take} "
        f"all of that; put route {route.name} first"
    )


def _never_copied(route: Route) -> Conflict:
    methods = sorted(route.methods or ())
    what = f"{' and '.join(methods)} {'is' if len(methods) == 1 else 'are'}"
    return Conflict(
        f"route {route.name}: {what} never copied, so mode shadow compares nothing here; "
        "only GET, HEAD and OPTIONS are"
    )


# ------------------------------------------------------------- route against apps


class _Apps:
    """The routes of both apps, as regions, beside those of the cutover that are not `old`."""

    def __init__(self, old: Sequence[Row], new: Sequence[Row], routes: Sequence[Route]) -> None:
        self._old = [
            (row, region_of_row(row))
            for row in old
            if not (row.is_rest or row.is_unread or row.never or _is_own(row, _DOCS))
        ]
        self._all_old = [region_of_row(row) for row in old if not row.is_rest]
        self._not_yet: list[str] = []
        self._new = [(row, region_of_row(row)) for row in new if not row.is_rest]
        self._slashes = {row.app.redirects_slashes for row in new if row.is_rest}
        self._moved = [
            region for route in routes if route.mode != OLD for region in regions_of_route(route)
        ]

    def missing(
        self, route: Route, regions: Sequence[Region], before: Sequence[Region]
    ) -> Iterator[Conflict]:
        """Yield what `route` gives to the new app, and that does not have."""
        lead = f"route {route.name}: the new app"
        lost: list[str] = []
        answers: set[str] = set()
        for region in regions:
            there = self._there(region)
            other = None if there else self._redirect(region)
            if other is not None:
                if not is_taken(other, other.asked[0], self._moved):
                    yield Conflict(
                        f"{lead} redirects {region.paths[0]} to {other.paths[0]}, which goes "
                        f"to the old app; name {other.paths[0]} in the route, too"
                    )
            elif not any(_has(there, method) for method in region.asked):
                answer = "405" if there else "404"
                yield Conflict(
                    f"{lead} has no {region.shown(region.asked) if there else region.shown()}, "
                    f"and answers {answer}"
                )
            else:
                for what, answer in self._lost(region, before):
                    lost.append(what)
                    answers.add(answer)
        if lost:
            yield Conflict(
                f"{lead} does not have what the old app has, and answers "
                f"{' or '.join(sorted(answers))}: {_listed(lost)}"
            )

    def unknown_methods(self, route: Route) -> Iterator[Conflict]:
        """Yield the methods that are typed wrongly: no app has them, and one is written like it."""
        regions = [*self._all_old, *(region for _, region in self._new)]
        known = _METHODS.union(*(region.methods for region in regions))
        for method in sorted({*(route.methods or ())} - known):
            swapped = [each for each in _METHODS if sorted(each) == sorted(method)]
            if close := swapped or close_names(method, _METHODS, 1):
                yield Conflict(
                    f"route {route.name}: no app here knows the method {method}; did you mean "
                    f"{close[0]}?"
                )

    def note_not_yet(self, route: Route, regions: Sequence[Region]) -> None:
        """Note what `route` gives to the old app, and the new one does not have."""
        for region in regions:
            if not self._there(region) and self._redirect(region) is None:
                self._not_yet.append(f"{region.shown()} (route {route.name})")

    def not_yet(self) -> Iterator[Conflict]:
        """Yield the hint at what the new app does not have yet, and nobody asks of it."""
        if self._not_yet:
            yield Conflict(
                "the new app would answer 404 for what is in mode old: " + _listed(self._not_yet),
                is_hint=True,
            )

    def not_in_old(self, route: Route, regions: Sequence[Region]) -> Iterator[Conflict]:
        """Yield what `route` may give to the old app, and that does not have."""
        for region in regions:
            if any(each.overlaps(one) for each in self._all_old for one in _slashes_of(region)):
                continue
            what = f"route {route.name}: the old app has no {region.shown()}, and "
            if route.mode == NEW:
                what += "rescue is no help; take rescue out of it"
            else:
                what += f"answers 404; the mode is {route.mode}"
            yield Conflict(what)

    def _lost(self, region: Region, before: Sequence[Region]) -> Iterator[tuple[str, str]]:
        """Yield what the old app has in `region`, and the new one answers by 404 or 405."""
        for row, own in self._old:
            both = common(region, own)
            if both is None:
                continue
            there = self._there(both)
            methods = [
                method
                for method in both.asked
                if not _has(there, method) and not is_taken(both, method, before)
            ]
            if methods and (there or self._redirect(both) is None):
                view = f" ({row.view.name})" if row.view.name else ""
                yield f"{both.shown(methods)}{view}", "405" if there else "404"

    def _there(self, region: Region) -> list[Region]:
        """Return what the new app has that may meet requests of `region`."""
        return [each for _, each in self._new if each.overlaps(region)]

    def _redirect(self, region: Region) -> Region | None:
        """Return where the new app redirects to, if it does that for a slash at the end."""
        path, *within = region.paths
        if not path.parts or not isinstance(path.parts[-1], Text | Parameter):
            return None
        is_slash = path.parts[-1] == Text("")
        if not self._slashes & ({"both"} if is_slash else {"both", "add"}):
            return None
        parts = path.parts[:-1] if is_slash else (*path.parts, Text(""))
        other = replace(region, paths=(Pattern(parts), *within))
        return other if parts and self._there(other) else None

    def unnamed(self, named: Sequence[Region]) -> Iterator[Conflict]:
        """Yield the hint at what the new app has, and no route names."""
        found: list[str] = []
        for row, region in self._new:
            if row.is_unread or row.never or _is_own(row, _OWN):
                continue
            there = [each for each in named if each.overlaps(region)]
            if methods := [method for method in region.asked if not _has(there, method)]:
                found.append(region.shown(methods))
        if found:
            yield Conflict(
                f"no route of the cutover names {pluralize(len(found), 'route')} of the new app, "
                f"and the old app answers there: {_listed(found)}",
                is_hint=True,
            )


def _has(regions: Iterable[Region], method: str) -> bool:
    return any(each.has(method) for each in regions)


def _slashes_of(region: Region) -> Iterator[Region]:
    """Yield a region as it is, and with the other slash at its end: apps may redirect."""
    yield region
    path, *within = region.paths
    if path.parts and isinstance(path.parts[-1], Text | Parameter):
        is_slash = path.parts[-1] == Text("")
        parts = path.parts[:-1] if is_slash else (*path.parts, Text(""))
        if parts:
            yield replace(region, paths=(Pattern(parts), *within))


def _is_own(row: Row, places: frozenset[str]) -> bool:
    """Whether a framework has added the route by itself."""
    return row.view.name.rpartition(".")[0] in places


def _listed(found: Sequence[str]) -> str:
    more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(found[:_MOST]) + more
