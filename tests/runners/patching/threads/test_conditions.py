"""Conditions and what is made of them, for threads and greenlets together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.errors import RequestCancelled
from tests.runners.jobs import until
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_notify(kind: str) -> None:
    """G6: greenlets that wait for a condition are notified by a thread, and have its lock then."""

    async def main(begin: Begin) -> None:
        condition, items = threading.Condition(getattr(threading, kind)()), list[int]()

        def consume() -> int:
            with condition:
                while not items:
                    condition.wait()
                time.sleep(0.001)
                return items.pop()

        def produce() -> None:
            for number in range(20):
                with condition:
                    items.append(number)
                    condition.notify()

        calls = [begin(consume) for _ in range(20)]
        await paused(*calls)
        producer = threading.Thread(target=produce)
        producer.start()
        assert sorted([await call.done for call in calls]) == [*range(20)]
        await until(lambda: not producer.is_alive())

    run_jobs(main)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_without_its_lock(kind: str) -> None:
    """G6: who does not have the lock of a condition gets the error of the standard library."""

    async def main(begin: Begin) -> None:
        condition = threading.Condition(getattr(threading, kind)())

        def use() -> None:
            with pytest.raises(RuntimeError, match="un-acquired lock"):
                condition.notify()
            with pytest.raises(RuntimeError, match="un-acquired lock"):
                condition.wait(0)
            with condition:
                condition.notify_all()
                assert not condition.wait(0)

        use()
        await begin(use).done

    run_jobs(main)


def test_timeouts() -> None:
    """G6: a wait for a condition ends when its time is up, and has the lock then."""

    async def main(begin: Begin) -> None:
        condition: Any = threading.Condition()

        def wait(timeout: float) -> list[Any]:
            with condition, condition:
                return [condition.wait(timeout), condition._is_owned(), len(condition._waiters)]

        for timeout in (0.02, 0, -1):
            assert await begin(lambda timeout=timeout: wait(timeout)).done == [False, True, 0]  # type: ignore[misc]
        with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
            await begin(lambda: condition.wait(1)).done
        assert await begin(lambda: _wait_for(condition)).done is False

    run_jobs(main)


def _wait_for(condition: threading.Condition) -> bool:
    with condition:
        return condition.wait_for(lambda: False, 0.01)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_cancelled(kind: str) -> None:
    """G4: a request that ends in a wait has the lock back first, and gives its notification on."""

    async def main(begin: Begin) -> None:
        condition: Any = threading.Condition(getattr(threading, kind)())

        def job() -> bool:
            with condition:
                try:
                    return bool(condition.wait())
                except RequestCancelled:
                    assert condition._is_owned()
                    raise

        first, second = begin(job), begin(job)
        await paused(first, second)
        condition.acquire()
        begin.interrupt(first, RequestCancelled("enough"))
        await paused(first, second)  # its wait is over, and it waits for the lock
        condition.notify()
        condition.release()
        with pytest.raises(RequestCancelled):
            await first.done
        assert await second.done is True
        assert condition.acquire(False)

    run_jobs(main)


def test_events_semaphores_barriers() -> None:
    """G6: events, semaphores and barriers work between greenlets and threads."""

    async def main(begin: Begin) -> None:
        event, semaphore = threading.Event(), threading.BoundedSemaphore(2)
        barrier = threading.Barrier(4)
        most, inside = [0], [0]

        def job() -> bool:
            assert event.wait()
            assert not event.wait(0) or event.is_set()
            with semaphore:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1
            barrier.wait()
            return True

        calls = [begin(job) for _ in range(3)]
        await paused(*calls)
        others = [threading.Thread(target=job), threading.Thread(target=event.set)]
        for other in others:
            other.start()
        assert [await call.done for call in calls] == [True] * 3
        assert most[0] <= 2
        timer = threading.Timer(0.01, event.clear)
        timer.start()
        await begin(timer.join).done
        assert not event.is_set()

    run_jobs(main)


def test_queues() -> None:
    """G6: `queue.Queue` and its kin work between greenlets and threads, both ways, also if full."""

    async def main(begin: Begin) -> None:
        for kind in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
            there, back = kind(2), kind(2)

            def echo(there: Any = there, back: Any = back) -> None:
                while (item := there.get()) != 1000:
                    back.put(item + 1)
                there.task_done()

            def send(there: Any = there) -> None:
                for number in range(50):
                    there.put(number)

            def receive(back: Any = back) -> list[int]:
                return [back.get(timeout=60) for _ in range(50)]

            thread = threading.Thread(target=echo)
            thread.start()
            sent, received = begin(send), begin(receive)
            await sent.done
            assert sorted(await received.done) == [*range(1, 51)]
            with pytest.raises(queue.Empty):
                await begin(lambda back=back: back.get(timeout=0.01)).done
            await begin(lambda there=there: there.put(1000)).done
            await begin(thread.join).done

    run_jobs(main)


def test_futures() -> None:
    """G6: executors and their futures: `result`, `wait`, `as_completed`, `map`, `shutdown`."""

    async def main(begin: Begin) -> None:
        def job() -> list[Any]:
            with ThreadPoolExecutor(4) as executor:
                futures = [executor.submit(time.sleep, 0.01) for _ in range(8)]
                first = executor.submit(lambda: threading.current_thread().name)
                done, _ = concurrent.futures.wait(futures, timeout=60)
                finished = [*concurrent.futures.as_completed(futures)]
                squares = [*executor.map(lambda number: number**2, range(5))]
                return [len(done), len(finished), squares, first.result()]

        calls = [begin(job) for _ in range(10)]
        beats = 0
        while not all(call.done.done() for call in calls):
            await asyncio.sleep(0.001)
            beats += 1
        for call in calls:
            *figures, name = await call.done
            assert figures == [8, 8, [0, 1, 4, 9, 16]]
            assert name.startswith("ThreadPoolExecutor")
        assert beats > 2

    run_jobs(main)
