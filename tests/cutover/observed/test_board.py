"""What a worker leaves behind."""

from __future__ import annotations

import struct

from bridge.cutover.observed.board import SIZE, Board, Left, Row, key_of, read
from bridge.cutover.route import Route

GATE = {"window": 60}


def route(name: str = "a", share: float = 50) -> Route:
    return Route(name, "/a", mode="canary", share=share, gate=GATE)


class Seen:
    """A board, and its memory as the supervisor sees it."""

    def __init__(self, *routes: Route) -> None:
        self.memory = bytearray(SIZE)
        self.board = Board(memoryview(self.memory))
        self.board.follow(routes, 3)

    def row(self, name: str = "a") -> Row | None:
        return read(bytes(self.memory))[1].get(key_of(name))


def test_what_is_open_and_what_is_not_told_can_be_read() -> None:
    """M23: for each side; requests that began have looked at the new app."""
    a, b = route(), route("b")
    seen = Seen(a, b)
    for side in ("new", "old", "old", "new"):
        seen.board.begin(a, side)
    seen.board.end(a, "old")
    seen.board.note(a, "old", failed=True)
    seen.board.end(a, "new")
    seen.board.note(a, "new", failed=False)
    assert read(bytes(seen.memory))[0] == 3
    assert seen.row() == Row(4, 3, Left(1, 1, 1), Left(1, 1, 0))
    seen.board.told(a, "old", 1, 1)
    assert seen.row() == Row(4, 3, Left(1, 0, 0), Left(1, 1, 0))
    assert seen.row("b") == Row(0, 0, Left(0, 0, 0), Left(0, 0, 0))
    assert seen.row("c") is None


def test_what_was_switched_begins_with_nothing() -> None:
    """M23: requests of before it are nobody's; other routes keep theirs."""
    a, b = route(), route("b")
    seen = Seen(a, b)
    for each in (a, b):
        seen.board.begin(each, "new")
    other = route(share=10)
    seen.board.follow([b, other, route("c")], 4)
    for ended in (a, a):
        seen.board.end(ended, "new")
        seen.board.note(ended, "new", failed=True)
    seen.board.begin(a, "old")
    assert seen.row() == seen.row("c") == Row(0, 0, Left(0, 0, 0), Left(0, 0, 0))
    assert seen.row("b") == Row(1, 0, Left(0, 0, 0), Left(1, 0, 0))
    seen.board.told(b, "new", 5, 5)  # never below nothing
    assert seen.row("b") == Row(1, 0, Left(0, 0, 0), Left(1, 0, 0))
    seen.board.clear()
    assert read(bytes(seen.memory)) == (0, {})


def test_there_is_room_for_hundreds_of_routes_and_what_makes_no_sense_is_left_out() -> None:
    """M23: a fault in C may have written anything; the last routes of very many have no row."""
    routes = [route(f"a{number}") for number in range(1000)]
    seen = Seen(*routes)
    for each in routes:
        seen.board.begin(each, "new")
    rows = read(bytes(seen.memory))[1]
    assert len(rows) > 500
    assert {row.new.open for row in rows.values()} == {1}
    struct.pack_into("q", seen.memory, 8 * 3, -1)
    assert len(read(bytes(seen.memory))[1]) == len(rows) - 1
    assert read(b"\xff" * SIZE)[1] == {}
    assert read(bytes(SIZE)) == (0, {})
