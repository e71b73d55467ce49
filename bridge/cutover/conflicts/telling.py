"""Tell conflicts once the apps have started, and again when other routes are in force (M4).

The tables of routes are read in a thread: a project may import a lot for them, and nobody waits for
that. Whatever goes wrong with it is a line for those who debug, and no more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from bridge.cutover.route import NEW, OLD, SHADOW, Route
from bridge.log import logger
from bridge.loops.waiters import NativeThread

if TYPE_CHECKING:
    from bridge.route_tables import Row

#: The most lines that are told at once.
_MOST: Final = 20
_FAILED: Final = "the routes of the cutover were not compared: %r"

#: A level of the log, and a text.
Line: TypeAlias = "tuple[int, str]"
Say: TypeAlias = Callable[[Sequence[Line]], object]


def conflict_lines(cutover: Any) -> list[Line]:
    """Read the routes of both apps of a `Cutover`, and return what is wrong, a line each."""
    return _lines(cutover, *(_rows(cutover, side) for side in (OLD, NEW)))


def _rows(cutover: Any, side: str) -> Sequence[Row]:
    from bridge.route_tables import read_table, site_table  # not needed where nobody looks

    return site_table(read_table(cutover.sides[side].app, side))


def _lines(cutover: Any, old: Sequence[Row], new: Sequence[Row]) -> list[Line]:
    from bridge.cutover.conflicts.find import find_conflicts  # as above

    found = sorted(find_conflicts(cutover.table.routes, old, new), key=lambda each: each.is_hint)
    lines = [
        (logging.INFO if each.is_hint else logging.WARNING, each.text) for each in found[:_MOST]
    ]
    if len(found) > _MOST:
        lines.append((logging.WARNING, f"and {len(found) - _MOST} more conflicts of routes"))
    return lines


class Told:
    """Logs lines, but those that stand since the last time only once."""

    def __init__(self) -> None:
        self.lines: Sequence[Line] = ()

    def __call__(self, lines: Sequence[Line]) -> None:
        """Log what was not there the last time."""
        before, self.lines = self.lines, lines
        for level, text in lines:
            if (level, text) not in before:
                logger.log(level, "%s", text)


class Conflicts:
    """Looks at the routes of a cutover. `say` gets all lines of each look, in any thread."""

    def __init__(self, cutover: Any) -> None:
        self._cutover = cutover
        self.say: Say = Told()
        #: The routes at the last look, as far as they count; None: there was none.
        self._seen: object = None
        #: Whether a look is under way.
        self.is_looking = False
        #: The routes of the old app; empty as long as they are not known.
        self._old: Sequence[Row] = ()

    def lines(self) -> list[Line]:
        """Look at them now, and return what is wrong; nothing if that cannot be told."""
        try:
            self._old = _rows(self._cutover, OLD)
            return _lines(self._cutover, self._old, _rows(self._cutover, NEW))
        except Exception as error:  # of a framework that is not as we know it
            logger.debug(_FAILED, error)
            return []

    def old_has(self, path: str, method: str, host: str) -> bool:
        """Whether the old app surely has a view for this request.

        One that takes every path does not count: its 404 says nothing of what it has.
        """
        if not self._old:
            return False
        from bridge.route_tables import who_answers  # loaded by the look
        from bridge.route_tables.patterns.pattern import Rest

        asked = "GET" if method == "HEAD" else method
        first = next(iter(who_answers(self._old, path, asked, host)), None)
        if first is None or not first.surely or first.row.is_rest or first.row.is_unread:
            return False
        return not isinstance(next(iter(first.row.path.parts), None), Rest)

    def begin(self) -> None:
        """Look at them from now on: the apps have started."""
        if self._seen is None:
            self._look()

    def routes_changed(self) -> None:
        """Look at them again, if anything is different that counts."""
        if self._seen not in (None, _what_counts(self._cutover.table.routes)):
            self._look()

    def _look(self) -> None:
        self.is_looking = True
        self._seen = seen = _what_counts(self._cutover.table.routes)
        try:
            NativeThread(partial(self._tell, seen), "bridge-conflicts").start()
        except RuntimeError as error:  # the system has no more threads
            self.is_looking = False
            logger.debug(_FAILED, error)

    def _tell(self, seen: object) -> None:
        lines = self.lines()
        if seen is not self._seen:
            return  # others are in force by now, and are looked at
        with suppress(RuntimeError):  # the loop has ended to which they go
            self.say(lines)
        self.is_looking = False


def _what_counts(routes: Sequence[Route]) -> object:
    return [
        (
            *(each.name, each.paths, each.methods, each.host, each.rescue),
            each.mode if each.mode in (OLD, SHADOW, NEW) else "",
        )
        for each in routes
    ]
