"""What a worker would take with it if it died: in memory that its supervisor sees, too (M23).

A worker tells once a second what it has counted. One that is gone at once (``os._exit``, a fault in
C, no memory) tells nothing any more. So each request of a route with a gate is written here when it
begins and when it ends, too: a few numbers, of this process only, which nobody waits for.

    cell 0        the serial of what is in force (`ramp/`)
    cell 1        how many rows are in use, or were
    a row each    its route; requests that began, and how many of these found another one open in
                  the new app; for each side: open, ended and not told yet, failed of these

The requests that began look at the new app at times that are no worse than any: by them one knows
how often a worker has a request open there, whether it dies or not (`crashes.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from threading import Lock
from typing import Final, NamedTuple

from bridge.cutover.route import NEW, OLD, Route

#: Bytes of a board: whole pages, of any system (`server/process/stacks.py`).
SIZE: Final = 65536
_CELLS: Final = SIZE // 8
_HEAD: Final = 2
_ROW: Final = 9
_MOST: Final = (_CELLS - _HEAD) // _ROW
#: Places in a row.
_BEGUN, _FOUND = 1, 2
_SIDES: Final = {OLD: 3, NEW: 6}
_OPEN, _UNTOLD, _FAILED = 0, 1, 2
#: What is more than this was not written by us.
_LARGEST: Final = 2**40


class Left(NamedTuple):
    """What is left of one side: requests that are open, and ended ones that were not told."""

    open: int
    untold: int
    failed: int


class Row(NamedTuple):
    """One route."""

    begun: int
    found: int
    old: Left
    new: Left


class Board:
    """Written by a worker; `memory` has `SIZE` bytes, all 0. Any thread may write.

    Only the first so many routes have a row: some hundreds.
    """

    def __init__(self, memory: memoryview) -> None:
        self._cells = memory.cast("q")
        #: Name -> the object that is counted, and where its row begins.
        self._rows: dict[str, tuple[Route, int]] = {}
        self._lock = Lock()

    def follow(self, routes: Iterable[Route], serial: int) -> None:
        """Have rows for these routes; what was switched begins with nothing."""
        routes = tuple(routes)
        with self._lock:
            cells, known = self._cells, self._rows
            self._rows = {}
            for route in routes:
                row = known.get(route.name)
                if row is not None and row[0] is route:
                    self._rows.setdefault(route.name, row)
            taken = {at for _, at in self._rows.values()}
            for _, at in known.values():
                if at not in taken:
                    cells[at] = 0  # first: nobody reads the rest then
            free = (at for at in range(_HEAD, _HEAD + _MOST * _ROW, _ROW) if at not in taken)
            for route in routes:
                if route.name in self._rows or (at := next(free, 0)) == 0:
                    continue
                for cell in range(at + 1, at + _ROW):
                    cells[cell] = 0
                cells[at] = key_of(route.name)
                self._rows[route.name] = route, at
                cells[1] = max(cells[1], (at - _HEAD) // _ROW + 1)
            cells[0] = serial

    def begin(self, route: Route, side: str) -> None:
        """Note a request that begins."""
        with self._lock:
            if at := self._at(route):
                cells = self._cells
                cells[at + _BEGUN] += 1
                if cells[at + _SIDES[NEW] + _OPEN]:
                    cells[at + _FOUND] += 1
                cells[at + _SIDES[side] + _OPEN] += 1

    def end(self, route: Route, side: str) -> None:
        """Note that it is over, or counts as over."""
        with self._lock:
            if at := self._at(route):
                self._take(at + _SIDES[side] + _OPEN, 1)

    def note(self, route: Route, side: str, *, failed: bool) -> None:
        """Note that it was counted."""
        with self._lock:
            if at := self._at(route):
                place = at + _SIDES[side]
                self._cells[place + _UNTOLD] += 1
                self._cells[place + _FAILED] += failed

    def told(self, route: Route, side: str, requests: int, failed: int) -> None:
        """Note that so many of those that were counted are being told."""
        with self._lock:
            if at := self._at(route):
                place = at + _SIDES[side]
                self._take(place + _UNTOLD, requests)
                self._take(place + _FAILED, failed)

    def clear(self) -> None:
        """Leave nothing: the worker ends in order."""
        self.follow((), 0)

    def _at(self, route: Route) -> int:
        """Return where the row of a route is; 0 if this object is not counted."""
        known, at = self._rows.get(route.name, _NOWHERE)
        return at if known is route else 0

    def _take(self, cell: int, number: int) -> None:
        self._cells[cell] = max(self._cells[cell] - number, 0)


_NOWHERE: Final[tuple[Route | None, int]] = (None, 0)


def key_of(name: str) -> int:
    """Return what stands for a route on a board."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True) or 1


def read(memory: bytes) -> tuple[int, dict[int, Row]]:
    """Return the serial on a board, and its rows by `key_of`.

    What can be no number of requests is left out: a fault in C may write anywhere.
    """
    cells = memoryview(memory).cast("q")
    found = {}
    for at in range(_HEAD, _HEAD + min(max(cells[1], 0), _MOST) * _ROW, _ROW):
        key, begun, requests, *sides = cells[at : at + _ROW]
        if key and all(0 <= each < _LARGEST for each in (begun, requests, *sides)):
            found[key] = Row(begun, requests, Left(*sides[:3]), Left(*sides[3:]))
    return cells[0], found
