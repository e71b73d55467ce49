"""How many connections each of several workers has, for all of them to see (P8).

The board is memory that the processes share: a supervisor makes it before its first fork, and takes
a seat on it for each worker. Each worker writes its own seat only, so there are no locks.

    cell 0        how many of the seats are in use: those from this one on are not looked at
    one each      connections of the worker in the upper 32 bits, in the lower ones how often it has
                  written; or `CLOSED`, if it accepts nothing
    one each      what it had written when others waited for it in vain: as long as it is that, they
                  do not wait for it any more
"""

from __future__ import annotations

import mmap
from typing import Final

#: The most workers at a time; a reload has twice as many as usual for a while.
MOST_SEATS: Final = 4096
#: A cell of a worker that accepts nothing.
CLOSED: Final = 2**64 - 1
#: Where in a cell the number of connections begins.
SHIFT: Final = 32
_WRITES: Final = 2**SHIFT - 1


class LoadBoard:
    """Shared by a supervisor and its workers; only the supervisor gives seats."""

    def __init__(self, seats: int = MOST_SEATS) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * (2 * seats + 1))).cast("Q")
        self._seats = seats
        self._taken: set[int] = set()

    def take(self) -> Seat:
        """Return the lowest seat that is free; it says that it accepts nothing.

        Raises `RuntimeError` if there is none.
        """
        number = next(each for each in range(1, len(self._taken) + 2) if each not in self._taken)
        if number > self._seats:
            raise RuntimeError(f"there are {len(self._taken)} workers, which is the most")
        self._taken.add(number)
        self._cells[number] = CLOSED
        self._cells[self._seats + number] = 0
        self._cells[0] = max(self._taken)
        return Seat(self, self._cells, number, self._seats + 1)

    def give_back(self, number: int) -> None:
        """Take back a seat whose worker is gone."""
        self._taken.discard(number)
        self._cells[0] = max(self._taken, default=0)


class Seat:
    """The place of one worker on the board."""

    def __init__(self, board: LoadBoard, cells: memoryview, number: int, silent: int) -> None:
        self._board = board
        self._cells = cells
        #: Where the cells of those begin that were waited for in vain.
        self._silent = silent
        #: Which of the workers it is, from 0 on.
        self.index = number - 1
        self._writes = 0
        self._is_free = False

    def set(self, connections: int) -> None:
        """Say how many connections the worker has; also that it is alive, if they are as many."""
        self._writes = self._writes + 1 & _WRITES
        self._cells[self.index + 1] = connections << SHIFT | self._writes

    def leave(self) -> None:
        """Say that the worker accepts nothing."""
        self._cells[self.index + 1] = CLOSED

    def at(self, index: int) -> Seat:
        """Return the seat of another worker: for a process that was forked before it was taken."""
        return Seat(self._board, self._cells, index + 1, self._silent)

    @property
    def is_given_up(self) -> bool:
        """Whether others have waited in vain for this worker, since it has written."""
        return bool(self._cells[self._silent + self.index] == self._cells[1 + self.index])

    def others(self) -> dict[int, int]:
        """Return what the other workers have written last, by their indices.

        Without those that accept nothing, and those that were given up.
        """
        used, start = self._cells[0], self._silent
        cells, silent = self._cells[1 : 1 + used], self._cells[start : start + used]
        pairs = enumerate(zip(cells.tolist(), silent.tolist(), strict=True))
        found = {i: cell for i, (cell, given_up) in pairs if cell not in (CLOSED, given_up)}
        found.pop(self.index, None)
        return found

    def give_up(self, silent: dict[int, int]) -> None:
        """Have no worker wait for others, until they write: `silent` is what they wrote last."""
        for index, cell in silent.items():
            self._cells[self._silent + index] = cell

    def free(self) -> None:
        """Give it back, when its worker is gone: in the process that has taken it."""
        if not self._is_free:
            self._is_free = True
            self.leave()
            self._board.give_back(self.index + 1)
