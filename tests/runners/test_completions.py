"""The desk: what many threads have finished wakes the loop once."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable

import pytest

from bridge.runners.completions import Desk


class Handed:
    """An exchange as the desk knows it."""

    def __init__(self, seen: list[Handed]) -> None:
        self.seen = seen

    def collected(self) -> None:
        self.seen.append(self)


def test_many_are_collected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """W50: what is handed in before the loop has its turn wakes it once; later ones, again."""
    seen: list[Handed] = []
    first, second, third = (Handed(seen) for _ in range(3))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        asked: list[Callable[[], None]] = []
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda call, context: asked.append(call))
        desk = Desk(loop)
        desk.hand_in(first)
        desk.hand_in(second)
        assert (len(asked), seen) == (1, [])
        asked.pop()()
        assert seen == [first, second]
        desk.hand_in(third)
        asked.pop()()
        assert seen == [first, second, third]

    asyncio.run(run())


def test_nobody_collects_on_a_closed_loop() -> None:
    """W54: a thread that finishes when the loop has closed keeps nothing, and raises nothing."""
    seen: list[Handed] = []
    late = Handed(seen)
    kept = weakref.ref(late)
    loop = asyncio.new_event_loop()
    loop.close()
    desk = Desk(loop)
    desk.hand_in(late)
    desk.hand_in(late)
    del late
    assert (kept(), seen) == (None, [])


def test_one_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """W38: a response that cannot be sent is logged, and the others are."""
    seen: list[Handed] = []

    class Broken(Handed):
        def collected(self) -> None:
            raise OSError("no way to send it")

    async def run() -> None:
        desk = Desk(asyncio.get_running_loop())
        last = Handed(seen)
        desk.hand_in(Broken(seen))
        desk.hand_in(last)
        await asyncio.sleep(0.01)
        assert seen == [last]

    asyncio.run(run())
    assert "could not send a response" in caplog.text
