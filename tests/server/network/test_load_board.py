"""The board on which workers see how many connections each of them has (P8)."""

from __future__ import annotations

import os

import pytest

from bridge.server.network.load_board import SHIFT, LoadBoard, Seat


def seen_by(seat: Seat) -> dict[int, int]:
    """How many connections the others have, by what a worker sees."""
    return {index: cell >> SHIFT for index, cell in seat.others().items()}


def test_a_seat_is_seen_by_others() -> None:
    """P8: what a worker writes is seen by all, and each time it writes."""
    board = LoadBoard()
    seats = [board.take() for _ in range(3)]
    assert seen_by(seats[2]) == {}
    seats[1].set(7)
    once = seats[0].others()
    seats[1].set(7)
    assert seen_by(seats[0]) == seen_by(seats[2]) == {1: 7}
    assert once != seats[0].others()
    assert seats[1].others() == {}
    seats[1].leave()
    assert seats[0].others() == {}


def test_a_seat_is_seen_by_other_processes() -> None:
    """P8: a worker that was forked later than another has both see each other."""
    board = LoadBoard()
    first, second = board.take(), board.take()
    first.set(3)
    child = os.fork()
    if not child:
        second.set(5)
        os._exit(0 if seen_by(second) == {0: 3} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert seen_by(first) == {1: 5}


def test_one_that_is_given_up() -> None:
    """P8: nobody waits for a worker that is silent, until it writes again."""
    board = LoadBoard()
    seats = [board.take() for _ in range(3)]
    for seat in seats:
        seat.set(1)
    seats[0].give_up({1: seats[0].others()[1]})
    assert [seat.is_given_up for seat in seats] == [False, True, False]
    assert seen_by(seats[0]) == {2: 1}
    assert seen_by(seats[2]) == {0: 1}
    assert seen_by(seats[1]) == {0: 1, 2: 1}
    seats[1].set(1)
    assert not seats[1].is_given_up
    assert seen_by(seats[2]) == {0: 1, 1: 1}


def test_the_next_one_is_not_given_up() -> None:
    """P8: a worker is not blamed for the one that had its seat before."""
    board = LoadBoard()
    seat, other = board.take(), board.take()
    seat.set(0)
    other.give_up(other.others())
    seat.free()
    board.take().set(0)
    assert seen_by(other) == {0: 0}


def test_seats_are_used_again() -> None:
    """P8: the seat of a worker that is gone is the next one's, whichever it was."""
    board = LoadBoard()
    seats = [board.take() for _ in range(3)]
    for seat in seats:
        seat.set(1)
    seats[0].free()
    assert seen_by(seats[1]) == {2: 1}
    third = board.take()
    third.set(9)
    seats[0].free()  # it has no seat any more
    assert third.index == 0
    assert seen_by(seats[1]) == {0: 9, 2: 1}
    assert board.take().index == 3
    for seat in (seats[2], seats[1], third):
        seat.free()
    assert board.take().index == 0


def test_no_seat_is_left() -> None:
    """P8: a board that is full says so."""
    board = LoadBoard(1)
    board.take()
    with pytest.raises(RuntimeError, match="there are 1 workers, which is the most"):
        board.take()


def test_a_seat_in_a_process_that_was_forked_before_it_was_taken() -> None:
    """P11: a number is enough, for what is on the board is shared."""
    board = LoadBoard()
    first, second = board.take(), board.take()
    first.at(second.index).set(3)
    assert first.others() == {1: 3 << SHIFT | 1}
