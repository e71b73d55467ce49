"""What one of several workers takes, and what it leaves to the others (P8)."""

from __future__ import annotations

import pytest

from bridge.server.network.load_board import LoadBoard
from bridge.server.transport.fair_share import LATEST, PATIENCE, SOON, Turn, WorkerLoad


class Worker:
    """One worker, and the connections it has."""

    def __init__(self, board: LoadBoard, connections: int = 0) -> None:
        self.connections = set(range(connections))
        self.seat = board.take()
        self.load = WorkerLoad(self.seat, self.connections, {})
        self.load.open()
        self.turn = Turn(self.load)

    def take(self, waiting: int, now: float = 0.0) -> int:
        """Take what there is room for."""
        room = min(self.turn.room(waiting, now), waiting)
        self.connections |= {object() for _ in range(room)}
        self.load.publish()
        return room

    def close(self, number: int) -> None:
        """Have some connections close."""
        for _ in range(number):
            self.connections.pop()
        self.load.publish()


def workers(*connections: int) -> list[Worker]:
    board = LoadBoard()
    return [Worker(board, number) for number in connections]


@pytest.mark.parametrize(
    ("loads", "waiting", "rooms"),
    [
        ([0], 1, [1]),
        ([9], 70, [70]),
        ([0, 0, 0, 0], 1, [1, 1, 1, 1]),
        ([1, 0, 0, 0], 1, [0, 1, 1, 1]),
        ([2, 2, 2, 1], 1, [0, 0, 0, 1]),
        ([2, 2, 2, 2], 1, [1, 1, 1, 1]),
        ([0, 0, 0, 0], 64, [16, 16, 16, 16]),
        ([8, 0, 0, 0], 8, [0, 4, 4, 4]),
        ([30, 10], 10, [0, 15]),
    ],
)
def test_the_share(loads: list[int], waiting: int, rooms: list[int]) -> None:
    """P8: what each would have if those that wait were spread evenly."""
    assert [worker.turn.room(waiting, 0.0) for worker in workers(*loads)] == rooms


@pytest.mark.parametrize("at_once", [1, 3, 16, 64])
def test_the_end_is_even(at_once: int) -> None:
    """P8: 64 connections on 4 workers are 16 on each, whoever looks first."""
    four = workers(0, 0, 0, 0)
    for _ in range(0, 64, at_once):
        left = min(at_once, 64 - sum(len(worker.connections) for worker in four))
        while left:
            for worker in four:
                left -= worker.take(left) if left else 0
    assert [len(worker.connections) for worker in four] == [16, 16, 16, 16]


def test_one_that_accepts_nothing() -> None:
    """P8: a worker that has closed, or paused, has no share."""
    one, two = workers(5, 0)
    assert one.turn.room(1, 0.0) == 0
    two.load.close()
    two.load.publish()
    assert one.turn.room(1, 0.0) == 1
    two.load.open()
    assert one.turn.room(1, 0.0) == 0


def test_one_that_is_blocked() -> None:
    """P8: it is waited for, once; and again as soon as it has written on the board."""
    one, two = workers(5, 0)
    assert one.turn.room(1, 0.0) == 0
    assert one.turn.room(1, PATIENCE * 0.9) == 0
    assert one.turn.room(1, PATIENCE) == 1
    assert one.turn.room(3, PATIENCE) == 3
    two.load.publish()
    assert one.turn.room(1, PATIENCE) == 0
    two.load.close()
    assert one.turn.room(1, PATIENCE) == 1
    assert two.turn.room(1, PATIENCE) == 3  # it is no other that it waits for


def test_one_that_was_blocked() -> None:
    """P8: when it is back, it says so as soon as it sees that something waits."""
    one, two = workers(5, 0)
    one.turn.room(1, 0.0)
    assert one.turn.room(1, PATIENCE) == 1
    assert two.turn.room(1, PATIENCE) == 3
    assert one.turn.room(1, PATIENCE) == 0


def test_nobody_else_waits() -> None:
    """P8: that a worker is blocked is found out once, and not by each of the others."""
    one, _, three = workers(5, 0, 5)
    one.turn.room(1, 0.0)
    assert three.turn.room(1, PATIENCE) == 0
    assert one.turn.room(1, PATIENCE) == 1
    assert three.turn.room(1, PATIENCE) == 1


def test_others_that_go_on() -> None:
    """P8: as long as one of those that have room does something, they are waited for."""
    one, two, three = workers(50, 0, 0)
    for step in range(0, 20, 2):
        assert one.turn.room(1, step * PATIENCE) == 0
        two.take(1)
    assert (two.load.count(), three.load.count()) == (10, 0)


def test_nothing_waits_any_more() -> None:
    """P8: who had room when something waited, and does nothing later, is not blamed for it."""
    one, two = workers(5, 0)
    assert one.turn.room(1, 0.0) == 0
    one.turn.rest()
    assert one.turn.room(1, 10 * PATIENCE) == 0
    assert one.turn.room(1, 12 * PATIENCE) == 1
    assert two.load.count() == 0


def test_how_long_it_looks_away() -> None:
    """P8: longer each time; later, if it has more than its share, or if there are many workers."""
    one, _ = workers(1, 0)
    pauses = []
    for step in range(5):
        one.turn.room(1, step * SOON)
        pauses.append(one.turn.pause)
    assert pauses == [SOON, 2 * SOON, 4 * SOON, LATEST, LATEST]
    assert one.take(5) == 2  # as if three had come for both
    assert one.turn.pause == SOON
    one.turn.rest()
    assert one.turn.pause == SOON
    many = workers(*[1] * 16, 0)
    assert many[15].turn.room(1, 0.0) == 0
    assert many[15].turn.pause == 2 * SOON
    full, _ = workers(6, 0)
    full.turn.room(1, 0.0)
    assert full.turn.pause == pytest.approx(3 * SOON)


def test_room_again() -> None:
    """P8: a worker that looks away is told when connections have closed so that it has room."""
    one, _ = workers(4, 0)
    looks: list[str] = []

    def look() -> None:
        looks.append("now")

    assert one.turn.room(1, 0.0) == 0
    one.load.call_back(look, one.turn.share)
    one.close(1)
    assert (one.turn.share, looks) == (3, [])
    one.close(1)
    one.close(1)
    assert looks == ["now"]
    one.load.call_back(look, 9)
    one.load.forget(look)
    one.close(1)
    assert looks == ["now"]


def test_what_has_begun_counts() -> None:
    """P8: connections that are accepted, and not known to be open yet."""
    one, two = workers(0, 0)
    one.load.add_begun(2)
    one.load.publish()
    assert (one.load.count(), two.turn.room(1, 0.0), one.turn.room(1, 0.0)) == (2, 2, 0)
    one.load.add_begun(-2)
    assert one.load.count() == 0
