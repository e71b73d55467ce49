"""The runner of threads: what it takes and refuses, and how it stops."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import threading
import warnings
from collections import deque
from typing import Any

import pytest

import bridge
from bridge.errors import BridgeError, ClientDisconnected, Overloaded, SelfRequest, WaitNotPossible
from bridge.runners import Runner
from bridge.runners.threads.runner import ThreadRunner
from tests.runners.jobs import Call, blocked, run_with, until

pytestmark = pytest.mark.usefixtures("pool_threads")


def test_queue_limit() -> None:
    """W52: beyond `queue_limit` jobs are refused, and counted; below it none is."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        calls = blocked(runner, 2, gate)
        await until(lambda: runner.stats()[:3] == (2, 0, 0))
        calls += blocked(runner, 3, gate)
        for _ in range(2):
            with pytest.raises(Overloaded, match="3 requests waiting"):
                runner.submit(Call(int))
        assert runner.stats().rejected == 2
        gate.set()
        for call in calls:
            assert await call.done

    run_with(ThreadRunner(2, queue_limit=3), main)


@pytest.mark.parametrize("asleep", [0, 1, 2])
def test_queue_limit_in_one_turn(asleep: int) -> None:
    """W52: it holds for jobs of one turn of the loop too, whether threads sleep or none is yet."""

    async def main(runner: Runner) -> None:
        first, gate = threading.Event(), threading.Event()
        calls = blocked(runner, asleep, first)
        await until(lambda: runner.stats().busy == asleep)
        first.set()
        for call in calls:
            assert await call.done
        await until(lambda: runner.stats()[:2] == (0, asleep))
        calls = blocked(runner, 5, gate)  # two threads take one each, three wait
        with pytest.raises(Overloaded, match="3 requests waiting"):
            runner.submit(Call(int))
        gate.set()
        for call in calls:
            assert await call.done

    run_with(ThreadRunner(2, queue_limit=3), main)


@pytest.mark.parametrize("how", ["await_", "async_to_sync", "anyio"])
def test_request_to_itself(how: str) -> None:
    """W53: a job that waits for one more job of its full pool gets an error, at once."""
    import anyio.from_thread
    from asgiref.sync import async_to_sync

    async def nested(runner: Runner) -> str:
        call = Call(int)
        runner.submit(call)
        return str(await call.done)

    def job(runner: Runner) -> str:
        if how == "await_":
            return bridge.await_(nested(runner))
        if how == "anyio":
            return anyio.from_thread.run(nested, runner)
        return async_to_sync(nested)(runner)

    async def main(runner: Runner) -> None:
        call = Call(lambda: job(runner))
        runner.submit(call)
        with pytest.raises(SelfRequest, match="request to itself"):
            await call.done
        assert runner.stats().rejected == 1

    run_with(ThreadRunner(1), main)


def test_request_to_itself_that_can_be_answered() -> None:
    """W53: if another thread can answer it, a nested request is no error."""

    async def nested(runner: Runner) -> int:
        call = Call(lambda: 7)
        runner.submit(call)
        result: int = await call.done
        return result

    async def main(runner: Runner) -> None:
        call = Call(lambda: bridge.await_(nested(runner)))
        runner.submit(call)
        assert await call.done == 7

    run_with(ThreadRunner(2), main)


def test_withdrawn() -> None:
    """W52: a job that is taken back gives its place to another; one that runs cannot be."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        first, second, third = (Call(lambda n=n: n) for n in range(3))
        runner.submit(first)
        runner.submit(second)
        with pytest.raises(Overloaded):
            runner.submit(third)
        assert runner.withdraw(first)
        assert not runner.withdraw(first)
        assert not runner.withdraw(stuck)
        runner.submit(third)
        gate.set()
        assert [await second.done, await third.done] == [1, 2]
        assert not first.done.done()
        await stuck.done

    run_with(ThreadRunner(1, queue_limit=2), main)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_no_thread_can_be_started(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W52: while no thread can be started requests are refused; after that the pool serves."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        raise error

    async def main(runner: Runner) -> None:
        monkeypatch.setattr(threading.Thread, "start", fail)
        for _ in range(5):
            call = Call(int)
            runner.submit(call)
            with pytest.raises(Overloaded, match="no thread"):
                await call.done
        assert runner.stats()[:3] == (0, 0, 0)
        assert runner.stats().rejected == 5
        monkeypatch.setattr(threading.Thread, "start", start)
        calls = [Call(lambda: "ran") for _ in range(10)]
        for call in calls:
            runner.submit(call)
        assert [await call.done for call in calls] == ["ran"] * 10
        told = [record.getMessage() for record in caplog.records]
        assert sum("no thread can be started" in line for line in told) == 1
        assert "threads can be started again" in told

    run_with(ThreadRunner(2), main)


def test_pools_of_their_own() -> None:
    """W52: one pool that is full does not hold up another."""

    async def main(runner: Runner) -> None:
        other = ThreadRunner(1)
        other.start(asyncio.get_running_loop())
        gate = threading.Event()
        calls = blocked(runner, 2, gate)
        call = Call(lambda: "fine")
        other.submit(call)
        assert await call.done == "fine"
        gate.set()
        for stuck in calls:
            await stuck.done
        assert await other.stop(10)

    run_with(ThreadRunner(1), main)


def test_stop() -> None:
    """W54: stopping refuses what is queued, waits for what runs, and takes no more."""

    async def main() -> None:
        runner = ThreadRunner(1)
        with pytest.raises(Overloaded):
            runner.submit(Call(int))  # not started yet
        runner.start(asyncio.get_running_loop())
        gate = threading.Event()
        (running,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats()[:3] == (1, 0, 0))
        queued = Call(int)
        runner.submit(queued)
        assert not await runner.stop(0.01)
        with pytest.raises(Overloaded, match="stopping"):
            await queued.done
        gate.set()
        assert await running.done
        assert await runner.stop(10)
        with pytest.raises(Overloaded):
            runner.submit(Call(int))
        assert await runner.stop(10)

    asyncio.run(main())


def test_start_again_on_the_loop_that_stopped_it() -> None:
    """W54: a pool that one loop stopped for another starts there, and takes what waits."""
    runner = ThreadRunner(2, idle_timeout=60)

    async def begin() -> None:
        runner.start(asyncio.get_running_loop())
        call = Call(int)
        runner.submit(call)
        await call.done

    async def go_on() -> None:
        assert await runner.stop(10)
        runner.start(asyncio.get_running_loop())
        gate = threading.Event()
        calls = blocked(runner, 2, gate)
        behind = Call(lambda: "ran")
        runner.submit(behind)
        await until(lambda: runner.stats()[:3] == (2, 0, 1))
        gate.set()
        assert await behind.done == "ran"
        for call in calls:
            await call.done
        assert await runner.stop(10)

    asyncio.run(begin())
    asyncio.run(go_on())


def test_stop_before_start() -> None:
    """W54: a pool that never ran stops as well."""
    assert asyncio.run(ThreadRunner().stop(1))


@pytest.mark.skipif(sys.platform == "win32", reason="fork is of Unix")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_fork() -> None:
    """W52: threads do not come along when a process forks: the child's pool starts anew."""
    runner = ThreadRunner(2, idle_timeout=60)

    async def main(runner: Runner) -> None:
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"

    async def parent(runner: Runner) -> None:
        await main(runner)
        child = os.fork()
        if child == 0:
            os._exit(in_child(runner))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    def in_child(runner: Runner) -> int:
        loop = asyncio.new_event_loop()
        asyncio._set_running_loop(None)  # the parent's does not run here

        async def run() -> int:
            assert await runner.stop(10)  # the parent's threads are not its own
            runner.start(loop)
            runner.start(loop)
            await main(runner)
            assert await runner.stop(10)
            return 7

        try:
            return loop.run_until_complete(asyncio.wait_for(run(), 10))
        except BaseException:
            return 1

    run_with(runner, parent)


def test_wait_is_given_up() -> None:
    """W51, W54: jobs that wait for the loop when the time to stop is up have to end."""

    async def main() -> None:
        runner = ThreadRunner(3)
        runner.start(asyncio.get_running_loop())
        never = asyncio.get_running_loop().create_future()
        call = Call(lambda: bridge.await_(never))
        runner.submit(call)
        await until(lambda: runner.stats().busy == 1)
        assert runner.running() == [call]
        assert runner.app_loop() is asyncio.get_running_loop()
        assert not await runner.stop(0.01)
        with pytest.raises(concurrent.futures.CancelledError):
            await call.done
        assert not never.done()

    asyncio.run(main())


def test_wait_outside_of_its_threads() -> None:
    """W51: `wait` is an error in any thread but the pool's own."""

    async def main(runner: Runner) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(WaitNotPossible, match="in a thread of the pool"):
                runner.wait(asyncio.sleep(0))

    run_with(ThreadRunner(), main)


def test_a_job_that_cannot_be_refused(caplog: pytest.LogCaptureFixture) -> None:
    """W52: it is logged if a refusal fails; not if that is since the client has left."""

    class Gone(Call):
        def refuse(self, error: BridgeError) -> None:
            raise ClientDisconnected("gone")

    class Broken(Call):
        def refuse(self, error: BridgeError) -> None:
            raise ValueError("broken")

    async def main() -> None:
        runner = ThreadRunner(1)
        runner.start(asyncio.get_running_loop())
        for call in (Gone(int), Broken(int)):
            runner.submit(call)  # stopped before any thread is woken
        assert await runner.stop(10)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert runner.stats().rejected == 2

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == ["could not refuse a request"]


def test_stopped_by_another_loop_before_a_wake_up() -> None:
    """W54: a wake-up that was under way when the runner stopped wakes nobody."""
    runner = ThreadRunner(1)

    async def main() -> None:
        runner.start(asyncio.get_running_loop())
        runner.submit(Call(int))
        assert await runner.stop(10)
        for _ in range(3):
            await asyncio.sleep(0)
        runner.start(asyncio.get_running_loop())
        runner.submit(refused := Call(int))
        await asyncio.sleep(0)  # the wake-up comes in the next step
        assert runner.withdraw(refused)
        for _ in range(3):
            await asyncio.sleep(0)
        assert runner.stats()[:3] == (0, 0, 0)
        assert await runner.stop(10)

    asyncio.run(main())


def test_figures_while_a_job_is_taken() -> None:
    """W52: the figures do not depend on whether a thread takes the last job at this moment."""

    class Taken(deque[Any]):
        def __len__(self) -> int:
            return 1

    async def main(runner: ThreadRunner) -> None:
        queue, runner.queue = runner.queue, Taken()
        assert (runner.stats().queued, runner.stats().oldest_wait) == (1, 0.0)
        runner.queue = queue

    run_with(ThreadRunner(1), main)  # type: ignore[arg-type]
