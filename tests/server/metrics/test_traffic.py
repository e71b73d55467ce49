"""Bytes of connections that come, are read now and then, and go (O2)."""

from __future__ import annotations

from bridge.server.metrics.traffic import Traffic


class Pipe:
    """What went through a connection, which may not be told."""

    def __init__(self) -> None:
        self.now: tuple[int, int] | None = (0, 0)
        self.asked = 0

    def __call__(self) -> tuple[int, int] | None:
        self.asked += 1
        return self.now


def test_what_is_read_adds_up() -> None:
    """O2: each byte counts once, however often its connection is read."""
    traffic, one, other = Traffic(), Pipe(), Pipe()
    traffic.open(one)
    traffic.open(other)
    one.now = (10, 100)
    traffic.update()
    traffic.update()
    assert (traffic.received, traffic.sent) == (10, 100)
    one.now, other.now = (15, 100), (1, 2)
    traffic.close(one)
    traffic.close(one)
    one.now = (1000, 1000)
    traffic.update()
    assert (traffic.opened, traffic.received, traffic.sent) == (2, 16, 102)
    other.now = None
    traffic.close(other)
    traffic.update()
    assert (traffic.opened, traffic.received, traffic.sent) == (2, 16, 102)


def test_some_at_a_time() -> None:
    """O2: many connections are read in turn, and none that has gone."""
    traffic, pipes = Traffic(), [Pipe() for _ in range(5)]
    for pipe in pipes:
        traffic.open(pipe)
    traffic.update(2)
    assert [pipe.asked for pipe in pipes] == [1, 1, 0, 0, 0]
    traffic.close(pipes[2])
    traffic.update(2)
    assert [pipe.asked for pipe in pipes] == [1, 1, 1, 1, 1]
    traffic.update(2)
    assert [pipe.asked for pipe in pipes] == [2, 2, 1, 1, 1]
    traffic.update()
    assert [pipe.asked for pipe in pipes] == [3, 3, 1, 2, 2]
