"""The threads of a pool: when they start, sleep and end, and whatever goes wrong in them."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeAlias

import pytest

from bridge.errors import BridgeError, Overloaded
from bridge.runners import Runner
from bridge.runners.threads.pool import STREAM, WRITTEN_OFF, ThreadPool, Worker
from bridge.runners.threads.runner import ThreadRunner
from tests.runners.jobs import Call, blocked, run_with, until

pytestmark = pytest.mark.usefixtures("pool_threads")

Threads: TypeAlias = Callable[[], list[threading.Thread]]


def test_no_more_threads_than_needed(
    pool_threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W52: jobs that never block are all run by one thread, however many may be started."""
    # On a busy machine a thread may be given no time for longer than the pool's patience.
    monkeypatch.setattr("bridge.runners.threads.queue_watch.TICK", 60)

    async def main(runner: Runner) -> None:
        for _ in range(100):
            call = Call(int)
            runner.submit(call)
            await call.done
            await until(lambda: runner.stats().busy == 0)
        assert len(pool_threads()) == 1

    # The bound on `idle_timeout` is another test's.
    run_with(ThreadRunner(8, idle_timeout=60), main)


def test_grows_to_its_bound(pool_threads: Threads) -> None:
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
    """W52: if there are fewer threads than `threads` allows, jobs wait for those there are."""

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
                patch.setattr("bridge.runners.threads.pool.copy_context", _no_memory)
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


def test_loop_that_closes_without_a_word(pool_threads: Threads) -> None:
    """W54: if nobody stops the pool its threads end by themselves."""

    async def main() -> None:
        runner.start(asyncio.get_running_loop())
        call = Call(int)
        runner.submit(call)
        await call.done

    runner = ThreadRunner(idle_timeout=0.02)
    asyncio.run(main())
    for thread in pool_threads():
        thread.join(10)
    assert runner.stats()[:6] == (0, 0, 0, 0.0, 1, 0)


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


class Owner:
    """A runner as its pool knows it."""

    def __init__(self) -> None:
        self.refused: list[Any] = []
        self.served = 0

    def enter_thread(self) -> None:
        pass

    def refuse(self, job: Any, error: BridgeError) -> None:
        self.refused.append((job, error))

    def serve_queue(self) -> None:
        self.served += 1


class Still:
    """A thread of the pool, as one that never runs."""

    served = 0
    job = None
    sleep: Sleep


class Sleep:
    """The lock of a thread that the loop wakes in the very moment in which its time is up."""

    def __init__(self, pool: ThreadPool) -> None:
        self.pool = pool
        self.acquired = 0

    def acquire(self, timeout: float = -1) -> bool:
        self.acquired += 1
        if timeout >= 0:
            self.pool.idle.pop()  # by the loop, which then releases the lock
            return False
        return True


def make_pool(
    limit: int = 1, jobs: deque[Any] | None = None, loop: Any = None
) -> tuple[ThreadPool, Owner]:
    owner = Owner()
    pool = ThreadPool(owner, limit, deque() if jobs is None else jobs, 60)
    if loop is not None:
        pool.open(loop, copy_context())
    return pool, owner


def test_closed_and_given_up() -> None:
    """W54: idle threads end at once when the pool closes; one that is busy can be given up."""

    async def main() -> None:
        loop, gate, jobs = asyncio.get_running_loop(), threading.Event(), deque[Any]()
        pool, _ = make_pool(2, jobs, loop)
        idle, stuck = Call(int), Call(gate.wait)
        jobs.append(idle)
        assert pool.wake()
        await idle.done
        await until(lambda: len(pool.idle) == 1)
        jobs.append(stuck)
        assert pool.wake()
        await until(lambda: pool.running() == [stuck])
        assert pool.wake()
        await until(lambda: len(pool.idle) == 1)
        assert pool.figures()[:3] == (2, 1, 1)
        pool.close(loop)
        assert not await pool.join(0.01)
        await until(lambda: pool.figures()[:3] == (1, 0, 1))
        pool.give_up()
        assert await pool.join(None)
        assert pool.figures()[:3] == (0, 0, 0)
        gate.set()
        await stuck.done
        await until(lambda: pool.figures()[:3] == (0, 0, 2))

    asyncio.run(main())


def test_never_more_than_its_limit() -> None:
    """W52: no thread is started beyond the limit, nor in a child of the process that made it."""

    async def main() -> None:
        pool, _ = make_pool(1, loop=asyncio.get_running_loop())
        assert await pool.join(None)
        pool.pid += 1
        assert not pool.wake()
        pool.pid -= 1
        pool.limit = 0
        assert not pool.wake()

    asyncio.run(main())


def test_let_go() -> None:
    """R1: a busy thread that is let go counts no more, and another may start in its place."""

    async def main() -> None:
        loop, jobs = asyncio.get_running_loop(), deque[Any]()
        pool, _ = make_pool(1, jobs, loop)
        gates = [threading.Event() for _ in range(3)]
        calls = [Call(gate.wait) for gate in gates]
        for call in calls:
            jobs.append(call)
            assert pool.wake()
            await until(lambda call=call: call in pool.running())
            ((worker, job),) = pool.busy()
            assert job is call
            assert not pool.let_go(worker, calls[0] if call is not calls[0] else calls[1], STREAM)
            assert pool.let_go(worker, call, STREAM if call is calls[0] else WRITTEN_OFF)
        assert pool.figures() == (0, 0, 0, 1, 2)
        assert (pool.size(), pool.busy(), {*pool.running()}) == (3, [], {*calls})
        assert pool.let_go(worker, calls[2], STREAM)  # for another reason
        assert pool.figures() == (0, 0, 0, 2, 1)
        gates[0].set()  # there is a place: it comes back
        await until(lambda: pool.figures() == (1, 1, 1, 1, 1))
        gates[1].set()  # there is none: it ends
        await until(lambda: pool.figures() == (1, 1, 2, 1, 0))
        pool.close(loop)
        assert not await pool.join(0.01)
        gates[2].set()
        assert await pool.join(10)
        assert pool.figures() == (0, 0, 3, 0, 0)

    asyncio.run(main())


def test_let_go_and_given_up() -> None:
    """R1, W54: a thread that was let go ends with its job if the pool has given it up."""

    async def main() -> None:
        loop, jobs, gate = asyncio.get_running_loop(), deque[Any](), threading.Event()
        pool, _ = make_pool(1, jobs, loop)
        call = Call(gate.wait)
        jobs.append(call)
        assert pool.wake()
        await until(lambda: pool.running() == [call])
        ((worker, _),) = pool.busy()
        assert pool.let_go(worker, call, STREAM)
        pool.close(loop)
        pool.give_up()
        assert await pool.join(None)
        assert not pool.let_go(worker, call, STREAM)
        gate.set()
        await call.done
        await until(lambda: pool.figures().served == 1)

    asyncio.run(main())


def test_let_go_as_its_job_ends() -> None:
    """R1: a thread whose job ends while it is let go counts once, and goes on."""
    pool, _ = make_pool()
    worker = Worker()
    pool.workers.add(worker)
    worker.kind = STREAM  # the loop was just about to
    assert pool._come_back(worker)
    assert (worker.kind, pool.workers, pool.beside) == (None, {worker}, set())


def test_a_place_is_taken_while_a_thread_starts() -> None:
    """R1: a thread that comes back takes the last place, and no other starts there."""

    async def main() -> None:
        pool, _ = make_pool(1, loop=asyncio.get_running_loop())
        pool.workers.add(Worker())
        assert not pool._start_thread()
        assert pool.size() == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "missing", ["bridge.runners.threads.pool.Worker", "threading.Thread.start"]
)
def test_a_shortage(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W52: if no thread can be started it is not counted, and that is logged."""

    async def main() -> None:
        pool, _ = make_pool(1, loop=asyncio.get_running_loop())
        with monkeypatch.context() as patch:
            patch.setattr(missing, lambda *_: _no_memory())
            assert not pool.wake()
        assert isinstance(pool.starter.shortage, MemoryError)
        assert pool.figures()[:3] == (0, 0, 0)

    asyncio.run(main())
    assert "no thread can be started" in caplog.text


def test_woken_when_its_time_is_up() -> None:
    """W52: a thread that the loop wakes in the moment in which it would end takes the job."""
    pool, _ = make_pool()
    worker: Any = Still()
    worker.sleep = Sleep(pool)
    assert pool._sleep(worker)
    assert (worker.sleep.acquired, pool.idle) == (2, [])


@pytest.mark.parametrize("news", ["a job", "the end"])
def test_news_before_it_sleeps(news: str) -> None:
    """W52, W54: a job or the pool's end that came just before a thread sleeps is not missed."""
    jobs: deque[Any] = deque()
    pool, _ = make_pool(1, jobs)

    class Idle(list[Any]):
        def append(self, worker: Any) -> None:
            if news == "a job":
                jobs.append("job")
            else:
                pool.close(loop)
            super().append(worker)

    loop = asyncio.new_event_loop()
    pool.idle = Idle()
    worker: Any = Still()
    worker.sleep = Sleep(pool)
    assert pool._sleep(worker)
    assert (worker.sleep.acquired, pool.idle) == (0, [])
    if news == "the end":
        assert not pool._sleep(worker)
    loop.close()


def test_the_loop_has_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W54: a thread that has something to say to a loop that has closed ends without a word."""
    loop, jobs = asyncio.new_event_loop(), deque[Any](["first", "second"])
    pool, owner = make_pool(1, jobs, loop)
    loop.close()
    monkeypatch.setattr("bridge.runners.threads.pool.copy_context", _no_memory)
    taken: list[str] = []

    class Jobs(deque[Any]):
        def popleft(self) -> Any:
            if taken:
                raise SystemExit  # ends the thread while a job waits
            taken.append("one")
            return super().popleft()

    pool._jobs = Jobs(jobs)
    worker: Any = Still()
    pool._work(worker)
    assert (owner.refused, owner.served, pool.figures()[:3]) == ([], 0, (0, 0, 1))
    assert "could not be begun" in caplog.text
    assert "a thread of the pool has ended" in caplog.text


def test_without_a_loop() -> None:
    """W54: a pool that was never opened has nobody to tell."""
    pool, owner = make_pool()
    pool._raised(Call.__new__(Call), ValueError("?"), begun=False)
    pool._retire(Still())  # type: ignore[arg-type]
    assert (owner.refused, owner.served) == ([], 0)
