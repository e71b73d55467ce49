"""The board on which workers see how many connections each of them has (P8)."""

from __future__ import annotations

import os

import pytest

from bridge.server.network.load_board import CLOSED, SHIFT, LoadBoard


def test_a_seat_is_seen_by_others() -> None:
    """P8: what a worker writes is seen by all, and each time it writes."""
    board = LoadBoard()
    seats = [board.take() for _ in range(3)]
    assert seats[2].cells() == [CLOSED] * 3
    seats[1].set(7)
    once = seats[0].cells()[1]
    seats[1].set(7)
    again = seats[2].cells()[1]
    assert (once >> SHIFT, again >> SHIFT) == (7, 7)
    assert once != again
    seats[1].leave()
    assert seats[0].cells()[1] == CLOSED


def test_a_seat_is_seen_by_other_processes() -> None:
    """P8: a worker that was forked later than another has both see each other."""
    board = LoadBoard()
    first, second = board.take(), board.take()
    child = os.fork()
    if not child:
        second.set(5)
        os._exit(0 if first.cells()[0] == CLOSED else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert first.cells()[1] >> SHIFT == 5


def test_seats_are_used_again() -> None:
    """P8: the seat of a worker that is gone is the next one's; those at the end are not read."""
    board = LoadBoard()
    seats = [board.take() for _ in range(3)]
    for seat in seats:
        seat.set(1)
    seats[0].free()
    assert seats[1].cells()[0] == CLOSED
    third = board.take()
    assert third.index == 0
    seats[0].free()  # it has no seat any more
    assert board.take().index == 3
    assert len(third.cells()) == 4
    seats[2].free()
    assert len(third.cells()) == 4
    board = LoadBoard()
    seats = [board.take() for _ in range(3)]
    seats[1].free()
    seats[2].free()
    assert len(seats[0].cells()) == 1
    seats[0].free()
    assert seats[0].cells() == []


def test_no_seat_is_left() -> None:
    """P8: a board that is full says so."""
    board = LoadBoard(1)
    board.take()
    with pytest.raises(RuntimeError, match="there are 1 workers, which is the most"):
        board.take()
