"""Greenlets that wait for a wake-up or for some time."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest
import uvloop

from bridge.errors import ClientDisconnected, RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.greenlets.waiting import GreenletWaiter, sleep
from bridge.runners.greenlets.worker import Worker, current_worker
from tests.runners.jobs import Call, run_with, until
from tests.support.waiting import Together


def here() -> Worker:
    """The greenlet that calls."""
    worker = current_worker()
    assert worker is not None
    return worker


async def in_both(runner: Runner, job: Any) -> list[Any]:
    """What `job` returns, run without a task and as part of one."""
    first, second = Call(job), Call(job)
    runner.submit(first)
    await runner.run(second)
    return [await first.done, await second.done]


def test_sleep() -> None:
    """G6: greenlets that sleep do so side by side, with a task of their own and without."""

    async def main(runner: Runner) -> None:
        begin, together = time.monotonic(), Together()
        job = partial(together.during, lambda: sleep(here(), 0.2))
        calls = [Call(job) for _ in range(100)]
        for call in calls:
            runner.submit(call)
        await asyncio.gather(*(runner.run(Call(job)) for _ in range(100)))
        for call in calls:
            await call.done
        assert time.monotonic() - begin >= 0.2
        assert together.most > 1
        await until(lambda: runner.stats().busy == 0)

    run_with(GreenletRunner(), main)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_never_too_short(run: Any) -> None:
    """G6: a greenlet sleeps at least as long as it said, though timers of uvloop count by 1 ms."""
    short: list[float] = []

    def job() -> None:
        for turn in range(40):
            seconds = 0.0004 + turn * 0.00013
            begin = time.monotonic()
            sleep(here(), seconds)
            short.append(max(0, seconds - (time.monotonic() - begin)))

    async def main() -> None:
        runner = GreenletRunner()
        runner.start(asyncio.get_running_loop())
        await in_both(runner, job)
        assert await runner.stop(10)

    run(main())
    assert short == [0] * 80


def test_sleep_for_no_time() -> None:
    """G6: even the shortest sleep lets the loop have its turn."""

    async def main(runner: Runner) -> None:
        turns: list[str] = []

        def job() -> None:
            turns.append("begins")
            asyncio.iscoroutine(turns)  # any other code
            sleep(here(), 0)
            turns.append("ends")

        call = Call(job)
        runner.submit(call)
        asyncio.get_running_loop().call_soon(turns.append, "loop")
        await call.done
        assert turns == ["begins", "loop", "ends"]

    run_with(GreenletRunner(), main)


@pytest.mark.parametrize("thread", [False, True])
def test_wake(thread: bool) -> None:
    """G6: a waiter is woken from its own thread and from others, also before it waits."""

    async def main(runner: Runner) -> None:
        waiters: list[GreenletWaiter] = []

        def job() -> list[bool]:
            waiter = GreenletWaiter(here())
            waiters.append(waiter)
            results = [waiter.wait(), waiter.wait(0.01)]
            waiter.wake()
            waiter.wake()
            return [*results, waiter.wait(10), waiter.wait(0.01)]

        def wake() -> None:
            for waiter in waiters:
                waiter.wake()

        results = asyncio.ensure_future(in_both(runner, job))
        await until(lambda: len(waiters) == 2)
        if thread:
            other = threading.Thread(target=wake)
            other.start()
            other.join()
        else:
            wake()
        assert await results == [[True, False, True, False]] * 2

    run_with(GreenletRunner(), main)


def test_interrupts() -> None:
    """G4: what ends the request ends a wait; a client that leaves does not."""

    async def main(runner: Runner) -> None:
        waiters: list[GreenletWaiter] = []

        def job() -> str:
            waiter = GreenletWaiter(here())
            waiters.append(waiter)
            try:
                waiter.wait()
            except RequestCancelled as error:
                return str(error)
            return "woken"

        assert isinstance(runner, GreenletRunner)
        calls = [Call(job) for _ in range(3)]
        for call in calls:
            runner.submit(call)
        driven = Call(job)
        task = asyncio.ensure_future(runner.run(driven))
        await until(lambda: len(waiters) == 4)
        runner.interrupt(calls[0], RequestCancelled("enough"))
        runner.interrupt(calls[1], ClientDisconnected("gone"))
        assert await calls[0].done == "enough"
        task.cancel()
        assert await driven.done == "the request was cancelled"
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)
        assert not calls[1].done.done()
        for waiter in waiters:
            waiter.wake()
        assert [await call.done for call in calls] == ["enough", "woken", "woken"]

    run_with(GreenletRunner(), main)


@pytest.mark.parametrize("driven", [False, True])
def test_stop_after_a_client_has_left(driven: bool) -> None:
    """G4: a stop ends the wait of a request whose client has left before."""

    async def main(runner: Runner) -> None:
        waiters: list[GreenletWaiter] = []

        def job() -> None:
            waiters.append(GreenletWaiter(here()))
            waiters[-1].wait(None)

        call = Call(job)
        if driven:
            task = asyncio.ensure_future(runner.run(call))
        else:
            runner.submit(call)
        await until(lambda: waiters)
        assert isinstance(runner, GreenletRunner)
        runner.interrupt(call, ClientDisconnected("gone"))
        await asyncio.sleep(0.01)
        assert not call.done.done()
        await runner.stop(timeout=0.01)
        with pytest.raises(RequestCancelled, match="stopping"):
            await call.done
        if driven:
            with pytest.raises(asyncio.CancelledError):
                await task

    run_with(GreenletRunner(), main)


def test_app_that_goes_on_waiting() -> None:
    """G4: an app that swallows that it was cancelled still ends."""

    async def main(runner: Runner) -> None:
        waits: list[int] = []

        def job() -> None:
            while True:
                try:
                    sleep(here(), 1000)
                except Exception:
                    waits.append(1)

        call = Call(job)
        runner.submit(call)
        await asyncio.sleep(0.01)
        runner.interrupt(call, RequestCancelled("enough"))
        await until(lambda: runner.stats().busy == 0)
        assert len(waits) == 4

    run_with(GreenletRunner(), main)


def test_where_nobody_can_wait() -> None:
    """G6: only the app's own code in a greenlet can wait: no coroutine, no thread, no loop."""

    async def coroutine() -> Any:
        return current_worker()

    async def main(runner: Runner) -> None:
        def job() -> list[Any]:
            seen: list[Any] = [current_worker()]
            thread = threading.Thread(target=lambda: seen.append(current_worker()))
            thread.start()
            thread.join()
            return [*seen, runner.wait(coroutine()), asyncio.run(coroutine())]

        assert current_worker() is None
        call = Call(job)
        runner.submit(call)
        own, thread, in_loop, in_own_loop = await call.done
        assert isinstance(own, Worker)
        assert thread is None
        assert in_loop is None
        assert in_own_loop is own, "a loop of the app's own stands still, and nobody else does"

    run_with(GreenletRunner(), main)


def test_loop_of_the_apps_own() -> None:
    """G5: a loop that an app runs in its greenlet is hidden while the greenlet waits."""

    async def inner() -> Any:
        loop = asyncio.get_running_loop()
        sleep(here(), 0.01)
        return loop is asyncio.get_running_loop()

    async def main(runner: Runner) -> None:
        calls = [Call(lambda: asyncio.run(inner())) for _ in range(5)]
        for call in calls:
            runner.submit(call)
        assert [await call.done for call in calls] == [True] * 5

    run_with(GreenletRunner(), main)
