"""The server's clock stands still while the loop is late (S2)."""

from __future__ import annotations

from typing import Any

from bridge.server.clock import TICK, Clock


class Loop:
    """A loop whose time the test sets."""

    def __init__(self) -> None:
        self.now = 50.0

    def time(self) -> float:
        return self.now


def test_a_loop_that_keeps_its_time() -> None:
    """S2: the clock goes as the loop's does, within a tick and from one to the next."""
    loop: Any = Loop()
    clock = Clock(loop)
    assert clock.tick() == 50
    loop.now += TICK / 2
    assert clock.time() == 50 + TICK / 2
    loop.now += TICK / 2
    assert clock.time() == clock.tick() == 50 + TICK


def test_a_loop_that_is_late() -> None:
    """S2: what the loop was too busy to hear costs no client its time."""
    loop: Any = Loop()
    clock = Clock(loop)
    clock.tick()
    loop.now += 60
    assert clock.time() == 50 + TICK
    assert clock.tick() == 50 + TICK
    loop.now += TICK
    assert clock.time() == 50 + 2 * TICK
