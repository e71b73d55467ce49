"""The threads of a pool: when they start, sleep and end, and whatever goes wrong in them."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from bridge.errors import Overloaded
from bridge.runners import Runner
from bridge.runners.thread import ThreadRunner
from tests.runners.jobs import Call, blocked, run_with, until

before: set[threading.Thread] = set()


def pool_threads() -> list[threading.Thread]:
    """Those that this test has started."""
    return [thread for thread in threading.enumerate() if thread not in before]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before.clear()
    before.update(threading.enumerate())
    yield
    for thread in pool_threads():
        thread.join(10)
    assert pool_threads() == []


def test_no_more_threads_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: jobs that never block are all run by one thread, however many may be started."""
    # On a busy machine a thread may be given no time for longer than the pool's patience.
    monkeypatch.setattr("bridge.runners.queue_watch.TICK", 60)

    async def main(runner: Runner) -> None:
        for _ in range(100):
            call = Call(int)
            runner.submit(call)
            await call.done
            await until(lambda: runner.stats().busy == 0)
        assert len(pool_threads()) == 1

    # The bound on `idle_timeout` is another test's.
    run_with(ThreadRunner(8, idle_timeout=60), main)


def test_grows_to_its_bound() -> None:
    """W52: jobs behind blocked threads start more of these, up to `threads` and no further."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        calls = blocked(runner, 5, gate)
        await until(lambda: runner.stats().busy == 3 and runner.stats().queued == 2)
        await asyncio.sleep(0.02)  # many looks at the queue later it is still so
        assert (runner.stats().busy, runner.stats().queued) == (3, 2)
        assert runner.stats().oldest_wait > 0
        assert len(pool_threads()) == 3
        gate.set()
        for call in calls:
            assert await call.done
        await until(lambda: runner.stats().idle == 3)

    run_with(ThreadRunner(3), main)


def test_threads_retire() -> None:
    """W52: threads without work end after `idle_timeout` seconds, and start again when needed."""

    async def main(runner: Runner) -> None:
        for _ in range(2):
            gate = threading.Event()
            calls = blocked(runner, 4, gate)
            await until(lambda: runner.stats().busy == 4)
            gate.set()
            for call in calls:
                await call.done
            await until(lambda: runner.stats()[:2] == (0, 0))
            assert runner.stats().queued == 0
        assert runner.stats().served == 8

    run_with(ThreadRunner(4, idle_timeout=0.02), main)


def test_no_more_threads_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: where there are fewer threads than `threads` allows, jobs wait for those there are."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            behind = Call(lambda: "ran")
            runner.submit(behind)
            await asyncio.sleep(0.02)
            assert runner.stats()[:3] == (1, 0, 1)
            gate.set()
            assert await behind.done == "ran"
        await stuck.done
        assert runner.stats().rejected == 0

    run_with(ThreadRunner(4), main)


def test_while_a_module_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: a job that begins while another thread imports asgiref or anyio runs all the same."""
    for name in ("asgiref.sync", "anyio"):
        half = ModuleType(name)
        half.__spec__ = ModuleSpec(name, None)
        half.__spec__._initializing = True  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, half)

    async def main(runner: Runner) -> None:
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"

    run_with(ThreadRunner(1), main)


def test_a_job_that_cannot_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: whatever goes wrong before a job begins, it is refused, and its thread is free."""

    async def main(runner: Runner) -> None:
        for _ in range(3):
            with monkeypatch.context() as patch:
                patch.setattr("bridge.runners.pool.copy_context", _no_memory)
                call = Call(int)
                runner.submit(call)
                with pytest.raises(Overloaded, match="MemoryError"):
                    await call.done
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"
        await until(lambda: runner.stats()[:3] == (0, 1, 0))
        assert runner.stats().rejected == 3

    run_with(ThreadRunner(1, idle_timeout=60), main)


def _no_memory() -> None:
    raise MemoryError


def test_a_thread_that_ends_by_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: a thread that an error ends is counted out, and another one takes what waits."""

    async def main(runner: ThreadRunner) -> None:
        take_jobs = runner._pool._take_jobs
        for _ in range(3):
            monkeypatch.setattr(runner._pool, "_take_jobs", lambda worker: _no_memory())
            call = Call(lambda: "ran")
            runner.submit(call)
            await until(lambda: runner.stats().queued == 1 and bool(runner._pool.workers))
            monkeypatch.setattr(runner._pool, "_take_jobs", take_jobs)
            assert await call.done == "ran"

    run_with(ThreadRunner(1, idle_timeout=0.01), main)  # type: ignore[arg-type]


def test_loop_that_closes_without_a_word() -> None:
    """W54: where nobody stops the pool its threads end by themselves."""

    async def main() -> None:
        runner.start(asyncio.get_running_loop())
        call = Call(int)
        runner.submit(call)
        await call.done

    runner = ThreadRunner(idle_timeout=0.02)
    asyncio.run(main())
    for thread in pool_threads():
        thread.join(10)
    assert runner.stats() == (0, 0, 0, 0.0, 1, 0)


def test_jobs_are_freed() -> None:
    """W52: a thread that sleeps does not keep its last job alive."""

    async def main(runner: Runner) -> None:
        call = Call(int)
        seen = weakref.ref(call)
        runner.submit(call)
        await call.done
        del call
        await until(lambda: gc.collect() >= 0 and seen() is None)

    run_with(ThreadRunner(idle_timeout=60), main)


def test_nothing_is_lost_in_a_storm() -> None:
    """W52: of many jobs that come in bursts, some of which block, each runs exactly once."""
    runs: list[int] = []
    interval = sys.getswitchinterval()

    def job(number: int, gate: threading.Event) -> int:
        if number % 17 == 0:
            gate.wait(0.002)
        runs.append(number)
        return number

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        for burst in range(40):
            calls = [Call(lambda n=burst * 100 + n: job(n, gate)) for n in range(100)]
            for call in calls:
                runner.submit(call)
            assert await asyncio.gather(*(call.done for call in calls)) == [
                burst * 100 + n for n in range(100)
            ]
            await until(lambda: runner.stats()[:3:2] == (0, 0))
        assert sorted(runs) == list(range(4000))

    sys.setswitchinterval(1e-6)
    try:
        run_with(ThreadRunner(8), main)
    finally:
        sys.setswitchinterval(interval)
