"""Routes that no request can reach, each with the reason in plain words; who comes before whom.

A route is never reached if rows that are asked before it take all of its paths, for each of its
methods. Only what is sure counts: a mount with a predicate may let requests pass, and so may the
apps of a fallback but the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bridge.route_tables.site.rows import Row, surely_covers

#: Methods that frameworks add to others by themselves: that another route has them is no news.
_ADDED = frozenset({"HEAD", "OPTIONS"})


def with_conflicts(rows: Iterable[Row]) -> list[Row]:
    """Return the rows, with `never` set and notes added."""
    earlier = _Earlier()
    judged = []
    for row in rows:
        judged.append(row if row.is_rest or row.never else _judged(row, earlier))
        earlier.add(row)
    return judged


class _Earlier:
    """The rows that are asked before, found by the first segment of their paths."""

    def __init__(self) -> None:
        self._by_first: dict[str | None, list[tuple[int, Row]]] = {}
        self._count = 0

    def add(self, row: Row) -> None:
        if not row.never:
            self._by_first.setdefault(row.path.first, []).append((self._count, row))
        self._count += 1

    def covering(self, row: Row) -> Iterator[Row]:
        """Yield those that cover the paths of `row`, in order."""
        found = list(self._by_first.get(None, ()))
        if row.path.first is not None:
            found += self._by_first.get(row.path.first, ())
        for _, each in sorted(found, key=lambda one: one[0]):
            if surely_covers(each, row):
                yield each


def _judged(row: Row, earlier: _Earlier) -> Row:
    taken: dict[str, Row] = {}
    first: dict[str, Row] = {}
    asked_first: dict[str, None] = {}
    switched: dict[str, Row] = {}
    methods = _methods(row)
    for before in earlier.covering(row):
        may_refuse = _may_refuse(before, row)
        if before.is_unread and may_refuse:
            asked_first[f"{before.app.app} is asked first, and {before.app.unread}"] = None
            continue
        to = first if may_refuse else taken
        if before.place.switch != row.place.switch:
            to = switched
        for method in methods:
            if _takes(before, method):
                to.setdefault(method, before)
    given = (f"{each.place.switch} gives it to {each.app.app}" for each in switched.values())
    notes = [*row.notes, *asked_first, *_first_notes(first, taken), *dict.fromkeys(given)]
    if len(taken) == len(methods):
        return replace(row, never=_reason(row, next(iter(taken.values()))), notes=tuple(notes))
    notes += [f"{method} goes to {_who(before, row)}" for method, before in taken.items()]
    return replace(row, notes=tuple(notes))


def _methods(row: Row) -> list[str]:
    """Return the methods that count; ``""`` stands for every method."""
    methods = row.methods if row.by_method else row.place.methods
    return [each for each in methods if each not in _ADDED] or list(methods) or [""]


def _takes(before: Row, method: str) -> bool:
    if method:
        return before.takes_method(method)
    return not before.place.methods and not (before.by_method and before.methods)


def _may_refuse(before: Row, row: Row) -> bool:
    """Whether a refusal (404, 405) of `before` goes to `row`, or to another app before that."""
    mine = {number: at for number, at, _ in row.place.turns}
    return any(
        mine.get(number) != at and (number in mine or not is_last)
        for number, at, is_last in before.place.turns
    )


def _first_notes(first: dict[str, Row], taken: dict[str, Row]) -> Iterator[str]:
    apps = dict.fromkeys(row.app.app for method, row in first.items() if method not in taken)
    for app in apps:
        yield f"{app} answers first; this one if that refuses (404 or 405)"


# ------------------------------------------------------------- in plain words


def _reason(row: Row, before: Row) -> str:
    seen = f"{described(row)} of {row.app.app} is never reached"
    return f"{seen}: {_cause(row, before)}"


def _cause(row: Row, before: Row) -> str:
    if before.is_rest or before.is_unread:
        place = before.mount
        if before.place == row.place:  # the same app, or one beside it
            return f"{before.app.app} takes everything at {place}"
        return f"{place} is mounted on {before.app.app}"
    if before.app is row.app:
        return f"{described(before)}{_at(before)} comes before it"
    return f"{described(before)} of {before.app.app} comes before it"


def _who(before: Row, row: Row) -> str:
    if before.app is row.app:
        return f"{before.view.name or before.path}, which comes before"
    return f"{before.path} of {before.app.app}"


def _at(row: Row) -> str:
    return f" ({row.view.name})" if row.view.name else ""


def described(row: Row) -> str:
    """Return methods and path of a row: ``GET /api/users``."""
    methods = ",".join(_methods(row)) if row.by_method else ""
    if not methods and row.kinds == ("websocket",):
        methods = "WebSocket"
    return f"{methods} {row.host}{row.path}".strip()
