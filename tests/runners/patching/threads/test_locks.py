"""Locks for threads and greenlets together."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from bridge.errors import RequestCancelled, WaitNotPossible
from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.patching.threads import locks
from bridge.runners.patching.threads.locks import Lock
from tests.runners.jobs import Call, until
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs


def test_the_interface() -> None:
    """G6: a lock has all that one of the standard library has, and looks like it."""
    lock, real = threading.Lock(), locks.make_real_lock()
    assert type(lock) is Lock
    assert {name for name in dir(real) if not name.startswith("__")} <= {*dir(lock)}
    for each in (lock, real):
        assert each.acquire() is True
        assert each.locked() is True
        assert each.acquire(False) is False
        assert each.acquire(timeout=0.01) is False
        assert each.acquire(True, 0) is False
        with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock' object"):
            pickle.dumps(each)
        with pytest.raises(TypeError):
            copy.copy(each)
        assert repr(each) == f"<locked _thread.lock object at {id(each):#x}>"
        each.release()
        assert repr(each) == f"<unlocked _thread.lock object at {id(each):#x}>"
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            each.release()
        with each as entered:
            assert entered is True
            each._at_fork_reinit()  # type: ignore[attr-defined]
            assert not each.locked()
            each.acquire()
        gone = weakref.ref(each)
        assert gone() is each


@pytest.mark.parametrize(
    "arguments", [(False, 1), (True, -2), (True, 1e300), (True, "1"), (True, float("nan"))]
)
def test_bad_arguments(arguments: Any) -> None:
    """G6: bad arguments get the errors of the standard library, whether the lock is free or not."""
    with pytest.raises(Exception) as expected:
        locks.make_real_lock().acquire(*arguments)
    lock = threading.Lock()
    for _ in range(2):
        with pytest.raises(expected.type) as raised:
            lock.acquire(*arguments)
        assert str(raised.value) == str(expected.value)
        lock.acquire(False)


def test_held_across_a_switch() -> None:
    """G6: a greenlet that waits while it has a lock stops neither the loop nor the others."""

    async def main(begin: Begin) -> None:
        lock, inside = threading.Lock(), []

        def job(number: int) -> None:
            with lock:
                inside.append(number)
                time.sleep(0.001)
                assert inside[-1] == number

        calls = [begin(lambda number=number: job(number)) for number in range(50)]
        await asyncio.gather(*(call.done for call in calls))
        assert sorted(inside) == [*range(50)]
        assert not lock.locked()

    run_jobs(main)


def test_timeouts() -> None:
    """G6: a greenlet that waits for a lock gives up in its time, and leaves nothing behind."""

    async def main(begin: Begin) -> None:
        lock = threading.Lock()
        lock.acquire()
        waits: list[Callable[[], bool]] = [
            lambda: lock.acquire(timeout=0.02),
            lambda: lock.acquire(True, 0),
            lambda: lock.acquire(False),
        ]
        for wait in waits:
            assert await begin(wait).done is False
        call = begin(lambda: lock.acquire(timeout=30))
        await paused(call)
        lock.release()
        assert await call.done is True

    run_jobs(main)


@pytest.mark.parametrize("first_woken", [False, True])
def test_cancelled(first_woken: bool) -> None:
    """G4: a request that ends while it waits for a lock does not keep it, nor a wake-up."""

    async def main(begin: Begin) -> None:
        lock = threading.Lock()
        lock.acquire()

        def job() -> bool:
            with lock:
                return True

        first, second = begin(job), begin(job)
        await paused(first, second)
        if first_woken:
            lock.release()
            begin.interrupt(first, RequestCancelled("enough"))
        else:
            begin.interrupt(first, RequestCancelled("enough"))
            await until(first.done.done)
            lock.release()
        results = await asyncio.gather(first.done, second.done, return_exceptions=True)
        assert isinstance(results[0], RequestCancelled) or first_woken
        assert results[1] is True
        assert lock.acquire(False)

    run_jobs(main)


@pytest.mark.parametrize("patient", [False, True])
def test_cancelled_when_handed_over(patient: bool) -> None:
    """G4: a lock that is handed to a request which ends goes on to the next."""

    async def main(begin: Begin) -> None:
        lock = threading.Lock()
        lock.acquire()
        first, second = begin(lock.acquire), begin(lock.acquire)
        await paused(first, second)
        if patient:
            lock.release()
            assert lock.acquire(False)  # faster than the one that was woken
            await paused(first, second)
        begin.interrupt(first, RequestCancelled("enough"))
        lock.release()
        with pytest.raises(RequestCancelled):
            await first.done
        assert await second.done is True
        assert lock.locked()

    run_jobs(main)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_no_wake_up_is_lost(run: Any) -> None:
    """G6: 8 threads and 200 greenlets share a lock: one has it at a time, and all get it."""
    lock, inside, done = threading.Lock(), [0], [0]
    over = threading.Event()

    def enter() -> None:
        inside[0] += 1
        assert inside == [1]

    def leave() -> None:
        inside[0] -= 1
        done[0] += 1

    def job() -> None:
        for turn in range(20):
            with lock:
                enter()
                if turn % 5 == 0:
                    time.sleep(0)
                leave()

    def thread() -> None:
        while not over.is_set():
            if lock.acquire(timeout=30):
                enter()
                leave()
                lock.release()

    async def main() -> None:
        runner = GreenletRunner()
        runner.start(asyncio.get_running_loop())
        threads = [threading.Thread(target=thread) for _ in range(8)]
        for each in threads:
            each.start()
        calls = [Call(job) for _ in range(200)]
        for call in calls:
            runner.submit(call)
        for call in calls:
            await call.done
        over.set()
        await until(lambda: not any(each.is_alive() for each in threads))
        assert await runner.stop(10)

    run(main())
    assert done[0] >= 200 * 20
    assert not lock.locked()


def test_between_threads_and_greenlets() -> None:
    """G6: a lock that a greenlet has stops a thread, and the other way round."""

    async def main(begin: Begin) -> None:
        lock, order = threading.Lock(), []

        def thread() -> None:
            with lock:
                order.append("thread")

        def job() -> None:
            with lock:
                other.start()
                time.sleep(0.02)
                order.append("greenlet")

        other = threading.Thread(target=thread)
        await begin(job).done
        await until(lambda: not other.is_alive())
        assert order == ["greenlet", "thread"]
        holds, go = threading.Event(), threading.Event()

        def holder() -> None:
            with lock:
                holds.set()
                go.wait()

        other = threading.Thread(target=holder)
        other.start()
        holds.wait()
        call = begin(lock.acquire)
        await paused(call)
        go.set()
        assert await call.done is True

    run_jobs(main)


def test_the_loop_wants_it() -> None:
    """G6: the loop's own code that wants what a paused greenlet has gets an error, no freeze."""

    async def coroutine(lock: Any) -> None:
        lock.acquire()

    async def main(begin: Begin) -> None:
        lock, go = threading.Lock(), threading.Event()

        def job() -> None:
            with lock:
                go.wait()

        call = begin(job)
        await paused(call)
        with pytest.raises(WaitNotPossible, match=r"test_locks\.py, line \d+") as raised:
            lock.acquire()
        assert repr(lock) in str(raised.value)
        assert lock.acquire(timeout=1000) is False
        assert lock.acquire(False) is False
        # also if it begins in a greenlet
        with pytest.raises(WaitNotPossible):
            await begin(lambda: begin.runner.wait(coroutine(lock))).done
        go.set()
        await call.done
        with lock:
            pass

    run_jobs(main)


def test_the_loop_wants_what_was_handed_over() -> None:
    """G6: the loop's code goes before a greenlet that has the lock and does not know it yet."""

    async def main(begin: Begin) -> None:
        lock, go = threading.Lock(), threading.Event()

        def job() -> str:
            with lock:
                go.wait()
                return "done"

        for interrupted in (False, True, False):
            go.clear()
            lock.acquire()
            call = begin(job)
            await paused(call)
            lock.release()
            lock.acquire()
            await paused(call)  # it was too late once
            lock.release()
            with lock:
                if interrupted:
                    begin.interrupt(call, RequestCancelled("enough"))
            lock.acquire()
            if interrupted:
                with pytest.raises(RequestCancelled):
                    await call.done
                lock.release()
                continue
            await paused(call)
            assert lock.locked()
            lock.release()
            await paused(call)
            with pytest.raises(WaitNotPossible):
                lock.acquire()
            go.set()
            assert await call.done == "done"
        assert lock.acquire(False)

    run_jobs(main)


def test_the_loop_waits_for_a_thread() -> None:
    """G6: what a thread gives back to the loop is not handed to a greenlet of the loop's thread."""

    async def main(begin: Begin) -> None:
        lock = threading.Lock()
        lock.acquire()
        call = begin(lock.acquire)
        await paused(call)
        lock.release()
        lock.acquire()
        await paused(call)  # it was too late once
        other = threading.Timer(0.05, lock.release)
        other.start()
        assert lock.acquire()  # stops the loop meanwhile, as ever
        lock.release()
        assert await call.done is True

    run_jobs(main)


def test_adopted() -> None:
    """G6: a lock from before the patch is the same lock; who still has that gives it back."""

    async def main(begin: Begin) -> None:
        real: Any = locks.make_real_lock()
        real.acquire()
        lock = Lock(adopt=real)
        call = begin(lambda: lock.acquire(timeout=60))
        await paused(call)
        real.release()
        assert await call.done is True
        assert real.locked()

    run_jobs(main)


def test_a_loop_that_has_closed() -> None:
    """G6: greenlets whose loop was closed wait no more, and are in nobody's way."""
    lock = threading.Lock()
    lock.acquire()

    async def abandoned() -> None:
        runner: Runner = GreenletRunner()
        runner.start(asyncio.get_running_loop())
        for _ in range(3):
            runner.submit(Call(lock.acquire))
        await asyncio.sleep(0.01)

    asyncio.run(abandoned())

    async def main(begin: Begin) -> None:
        call = begin(lock.acquire)
        await paused(call)
        lock.release()
        assert await call.done is True
        lock.release()

    run_jobs(main)
    gc.collect()
    assert lock.acquire(False)
