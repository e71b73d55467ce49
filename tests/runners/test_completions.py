"""The completion queue: what many threads have finished wakes the loop once."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable

import pytest

from bridge.runners.completions import CompletionQueue


class Handed:
    """An exchange as the queue knows it."""

    def __init__(self, seen: list[Handed]) -> None:
        self.seen = seen

    def on_completed(self) -> None:
        self.seen.append(self)


def test_many_are_collected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """W50: what is handed in before the loop has its turn wakes it once; later ones, again."""
    seen: list[Handed] = []
    first, second, third = (Handed(seen) for _ in range(3))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        asked: list[Callable[[], None]] = []
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda call, context: asked.append(call))
        queue = CompletionQueue(loop)
        queue.put(first)
        queue.put(second)
        assert (len(asked), seen) == (1, [])
        asked.pop()()
        assert seen == [first, second]
        queue.put(third)
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
    queue = CompletionQueue(loop)
    queue.put(late)
    queue.put(late)
    del late
    assert (kept(), seen) == (None, [])


def test_one_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """W38: a response that cannot be sent is logged, and the others are."""
    seen: list[Handed] = []

    class Broken(Handed):
        def on_completed(self) -> None:
            raise OSError("no way to send it")

    async def run() -> None:
        queue = CompletionQueue(asyncio.get_running_loop())
        last = Handed(seen)
        queue.put(Broken(seen))
        queue.put(last)
        await asyncio.sleep(0.01)
        assert seen == [last]

    asyncio.run(run())
    assert "could not send a response" in caplog.text
