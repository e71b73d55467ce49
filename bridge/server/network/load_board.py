"""How many connections each of several workers has, for all of them to see (P8).

The board is memory that the processes share: a supervisor makes it before its first fork, and takes
a seat on it for each worker. Each worker writes its own seat only, so there are no locks.

    cell 0        how many of the seats are in use: those from this one on are not looked at
    other cells   one for each seat: connections in the upper 32 bits, in the lower ones how often
                  the worker has written; or `CLOSED`, if it accepts nothing
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
        self._cells = memoryview(mmap.mmap(-1, 8 * (seats + 1))).cast("Q")
        self._taken: set[int] = set()

    def take(self) -> Seat:
        """Return the lowest seat that is free; it says that it accepts nothing.

        Raises `RuntimeError` if there is none.
        """
        number = next(each for each in range(1, len(self._taken) + 2) if each not in self._taken)
        if number >= len(self._cells):
            raise RuntimeError(f"there are {len(self._taken)} workers, which is the most")
        self._taken.add(number)
        self._cells[number] = CLOSED
        self._cells[0] = max(self._taken)
        return Seat(self, self._cells, number)

    def give_back(self, number: int) -> None:
        """Take back a seat whose worker is gone."""
        self._taken.discard(number)
        self._cells[0] = max(self._taken, default=0)


class Seat:
    """The place of one worker on the board."""

    def __init__(self, board: LoadBoard, cells: memoryview, number: int) -> None:
        self._board = board
        self._cells = cells
        #: Its index in `cells()`.
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

    def cells(self) -> list[int]:
        """Return the cells of all workers, this one's included."""
        return self._cells[1 : self._cells[0] + 1].tolist()

    def free(self) -> None:
        """Give it back, when its worker is gone: in the process that has taken it."""
        if not self._is_free:
            self._is_free = True
            self.leave()
            self._board.give_back(self.index + 1)
