"""`queue.SimpleQueue` for threads and greenlets together."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import time
from typing import Any

import pytest

from bridge.errors import RequestCancelled
from bridge.runners.patching.threads import queues
from bridge.runners.patching.threads.queues import SimpleQueue
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs


def test_the_interface() -> None:
    """G6: it is a queue as that of the standard library, and an instance of that."""
    items: Any = queue.SimpleQueue()
    assert type(items) is SimpleQueue
    assert isinstance(items, queues.RealQueue)
    items.put(1, block=False, timeout=3)
    items.put_nowait(2)
    assert (items.qsize(), items.empty(), items.get(), items.get_nowait()) == (2, False, 1, 2)
    with pytest.raises(queue.Empty):
        items.get(timeout=0.01)
    with pytest.raises(queue.Empty):
        items.get_nowait()
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        items.get(timeout=-1)
    assert queue.SimpleQueue[int]


def test_between_threads_and_greenlets() -> None:
    """G6: each item goes to one getter, thread or greenlet, and all of them end."""

    async def main(begin: Begin) -> None:
        items: Any = queue.SimpleQueue()
        got: list[int] = []

        def get() -> None:
            for _ in range(10):
                got.append(items.get())

        def put() -> None:
            for number in range(50):
                items.put(number)
                if number % 10 == 0:
                    time.sleep(0.001)

        getters = [threading.Thread(target=get) for _ in range(5)]
        putters = [threading.Thread(target=put) for _ in range(3)]
        calls = [begin(get) for _ in range(20)]
        await paused(*calls)
        for thread in getters + putters:
            thread.start()
        calls += [begin(put), begin(put)]
        await asyncio.gather(*(call.done for call in calls))
        for thread in getters + putters:
            await begin(thread.join).done
        assert sorted(got) == sorted([*range(50)] * 5)
        assert items.empty()

    run_jobs(main)


def test_timeouts_and_cancelled() -> None:
    """G4: a getter that gives up takes no item with it, nor the wake-up for one."""

    async def main(begin: Begin) -> None:
        items: Any = queue.SimpleQueue()
        with pytest.raises(queue.Empty):
            await begin(lambda: items.get(timeout=0.01)).done
        with pytest.raises(queue.Empty):
            await begin(lambda: items.get(False)).done
        with pytest.raises(ValueError, match="non-negative"):
            await begin(lambda: items.get(timeout=-1)).done
        first, second = begin(items.get), begin(items.get)
        await paused(first, second)
        begin.interrupt(first, RequestCancelled("enough"))
        items.put(1)
        items.put(2)
        results = await asyncio.gather(first.done, second.done, return_exceptions=True)
        left = [items.get() for _ in range(items.qsize())]
        got = [result for result in results if isinstance(result, int)]
        assert sorted(got + left) == [1, 2]
        assert isinstance(results[1], int)

    run_jobs(main)


def test_put_by_a_finalizer() -> None:
    """G6: a finalizer that puts something in wakes a greenlet, too."""

    class Cycle:
        def __init__(self, items: Any) -> None:
            self.itself, self.items = self, items

        def __del__(self) -> None:
            self.items.put("finalized")

    async def main(begin: Begin) -> None:
        items: Any = queue.SimpleQueue()
        call = begin(items.get)
        await paused(call)
        Cycle(items)
        gc.collect()
        assert await call.done == "finalized"

    run_jobs(main)
