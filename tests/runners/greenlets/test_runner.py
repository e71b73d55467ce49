"""The greenlet runner: one greenlet for each job, used again, on the loop's own thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import sys
import threading
from typing import Any

import pytest
from greenlet import GreenletExit, getcurrent

import bridge
from bridge.errors import ClientDisconnected, Overloaded, RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from tests.runners.jobs import Call, run_with, until

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

#: The running task is hidden with the loop, where it is not the loop that has it.
_TASK_OF_LOOP = pytest.mark.skipif(sys.version_info >= (3, 14), reason="a thread has one task")


def test_one_greenlet_for_a_job() -> None:
    """G1: from its beginning to its end a job stays in one greenlet, on the loop's thread."""

    def job() -> list[tuple[Any, int]]:
        seen = [(getcurrent(), threading.get_ident())]
        for _ in range(3):
            bridge.await_(asyncio.sleep(0.001))
            seen.append((getcurrent(), threading.get_ident()))
        return seen

    async def main(runner: Runner) -> None:
        call = Call(job)
        runner.submit(call)
        (seen,) = set(await call.done)
        assert seen[0] is not getcurrent()
        assert seen[1] == threading.get_ident()

    run_with(GreenletRunner(), main)


def test_greenlets_are_reused() -> None:
    """G2: a greenlet runs one job after the other; only so many are made as run at once."""

    async def main(runner: Runner) -> None:
        calls = [Call(getcurrent) for _ in range(100)]
        for call in calls:
            runner.submit(call)
        assert len({await call.done for call in calls}) == 1
        assert runner.stats().idle == 1

        waiting = [Call(lambda: bridge.await_(asyncio.sleep(0.001))) for _ in range(300)]
        for call in waiting:
            runner.submit(call)
        await asyncio.sleep(0)
        assert runner.stats().busy == 300
        for call in waiting:
            await call.done
        await until(lambda: runner.stats().busy == 0)
        assert 1 <= runner.stats().idle < 300, "after a crowd some are kept, not all"

    run_with(GreenletRunner(), main)


def test_one_that_waits_holds_up_no_other() -> None:
    """G2: what came together runs in turn, and a job that waits lets the others go on."""

    async def main(runner: Runner) -> None:
        ended: list[int] = []

        def job(number: int) -> None:
            if number % 2:
                bridge.await_(asyncio.sleep(0.05))
            ended.append(number)

        calls = [Call(lambda n=n: job(n)) for n in range(6)]
        for call in calls:
            runner.submit(call)
        assert runner.stats().queued == 6
        for call in calls:
            await call.done
        assert ended == [0, 2, 4, 1, 3, 5]
        await until(lambda: runner.stats().busy == 0)
        assert runner.stats().served == 6

    run_with(GreenletRunner(), main)


def test_context() -> None:
    """G3: the request's context is the greenlet's, before and after it waits, and only its own."""

    async def main(runner: Runner) -> None:
        def job(name: str) -> tuple[str, str, str]:
            before = variable.get()
            variable.set(name)
            bridge.await_(asyncio.sleep(0.001))
            context = getcurrent().gr_context
            return before, variable.get(), context[variable]

        variable.set("request")
        calls = [Call(lambda n=n: job(f"job {n}")) for n in range(5)]
        for call in calls:
            runner.submit(call)
        for number, call in enumerate(calls):
            assert await call.done == ("request", f"job {number}", f"job {number}")
        assert variable.get() == "request"

    run_with(GreenletRunner(), main)


@_TASK_OF_LOOP
def test_current_task() -> None:
    """G3: the loop's current task inside is the request's, if the host has one."""

    def job(loop: asyncio.AbstractEventLoop) -> list[Any]:
        tasks = [asyncio.current_task(loop)]
        bridge.await_(asyncio.sleep(0.001))
        return [*tasks, asyncio.current_task(loop)]

    async def main(runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        call = Call(lambda: job(loop))
        await runner.run(call)
        assert await call.done == [asyncio.current_task()] * 2

    run_with(GreenletRunner(), main)


@_TASK_OF_LOOP
def test_without_a_task() -> None:
    """G1, G3: a job that starts from a bare callback has a task of its own once it has waited."""

    def job(loop: asyncio.AbstractEventLoop) -> list[Any]:
        tasks = [asyncio.current_task(loop)]
        for _ in range(2):
            bridge.await_(asyncio.sleep(0.001))
            tasks.append(asyncio.current_task(loop))
        return tasks

    async def main(runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        call = Call(lambda: job(loop))
        asyncio.get_running_loop().call_soon(runner.submit, call)
        first, second, third = await call.done
        assert first is None
        assert second is third is not None

    run_with(GreenletRunner(), main)


def test_cancelled() -> None:
    """G4: cancelling the request's task throws an Exception of ours where the app waits."""
    seen: list[BaseException] = []

    def job() -> None:
        try:
            bridge.await_(asyncio.Event().wait())
        except Exception as error:
            seen.append(error)
            raise

    async def main(runner: Runner) -> None:
        call = Call(job)
        task = asyncio.ensure_future(runner.run(call))
        await until(lambda: runner.stats().busy == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(RequestCancelled) as caught:
            await call.done
        assert seen == [caught.value]
        assert isinstance(caught.value, bridge.ClientDisconnected)
        assert runner.stats().busy == 0

    run_with(GreenletRunner(), main)


def test_cancelled_and_swallowed() -> None:
    """G4: an app that swallows it, and waits again for ever, still ends."""
    swallowed: list[str] = []

    def job() -> None:
        while True:
            try:
                bridge.await_(asyncio.Event().wait())
            except Exception as error:
                swallowed.append(type(error).__name__)

    async def main(runner: Runner) -> None:
        call = Call(job)
        task = asyncio.ensure_future(runner.run(call))
        await until(lambda: runner.stats().busy == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(swallowed) == {"RequestCancelled"}
        assert 1 < len(swallowed) < 10
        with pytest.raises(GreenletExit):
            await call.done

    run_with(GreenletRunner(), main)


def test_cleans_up_after_cancellation() -> None:
    """G4: the app's own clean-up runs, and the greenlet serves the next job."""
    steps: list[str] = []

    def job() -> None:
        try:
            bridge.await_(asyncio.Event().wait())
        except Exception:
            steps.append("except")
        finally:
            steps.append("finally")

    async def main(runner: Runner) -> None:
        task = asyncio.ensure_future(runner.run(Call(job)))
        await until(lambda: runner.stats().busy == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps == ["except", "finally"]
        call = Call(lambda: bridge.await_(asyncio.sleep(0, "fine")))
        runner.submit(call)
        assert await call.done == "fine"

    run_with(GreenletRunner(), main)


def test_interrupted() -> None:
    """G4: a disconnect is thrown in where the app waits; the host's task is not cancelled."""
    seen: list[BaseException] = []

    def job() -> str:
        try:
            bridge.await_(asyncio.Event().wait())
        except ClientDisconnected as error:
            seen.append(error)
        return "ended"

    async def main(runner: GreenletRunner) -> None:
        call = Call(job)
        task = asyncio.ensure_future(runner.run(call))
        await until(lambda: runner.stats().busy == 1)
        reason = ClientDisconnected("gone")
        runner.interrupt(call, reason)
        runner.interrupt(call, ClientDisconnected("later"))
        await task
        assert await call.done == "ended"
        assert seen == [reason]
        runner.interrupt(call, reason)  # over already: nothing happens

    run_with(GreenletRunner(), main)  # type: ignore[arg-type]


def test_interrupted_while_others_wait_too() -> None:
    """G4: a client that leaves cancels nothing that the requests of others wait for."""

    async def main(runner: GreenletRunner) -> None:
        shared = asyncio.ensure_future(asyncio.sleep(0.05, "filled"))
        leaver, stays = (Call(lambda: bridge.await_(shared)) for _ in range(2))
        runner.submit(leaver)
        runner.submit(stays)
        await until(lambda: runner.stats().busy == 2)
        runner.interrupt(leaver, ClientDisconnected("gone"))
        with pytest.raises(ClientDisconnected):
            await leaver.done
        assert await stays.done == "filled"

    run_with(GreenletRunner(), main)  # type: ignore[arg-type]


def test_nested() -> None:
    """G1, W53: an app that waits for another job of its runner, or for itself, is answered."""

    async def inner(runner: Runner, depth: int) -> int:
        call = Call(lambda: job(runner, depth - 1))
        await runner.run(call)
        result: int = await call.done
        return result

    def job(runner: Runner, depth: int) -> int:
        bridge.await_(asyncio.sleep(0))
        return depth if depth == 0 else bridge.await_(inner(runner, depth)) + 1

    async def main(runner: Runner) -> None:
        for _ in range(2):  # the second time in greenlets that were made elsewhere
            call = Call(lambda: job(runner, 10))
            runner.submit(call)
            assert await call.done == 10

    run_with(GreenletRunner(), main)


def test_limit() -> None:
    """W52, G2: more requests at once than the limit are refused."""

    async def main(runner: Runner) -> None:
        gate = asyncio.Event()
        calls = [Call(lambda: bridge.await_(gate.wait())) for _ in range(3)]
        for call in calls:
            runner.submit(call)
        with pytest.raises(Overloaded, match=r"3 requests.*; raise queue_limit"):
            runner.submit(Call(int))
        with pytest.raises(Overloaded, match="3 requests"):
            await runner.run(Call(int))
        assert runner.stats().rejected == 2
        gate.set()
        for call in calls:
            assert await call.done

    run_with(GreenletRunner(3), main)


def test_more_than_are_kept() -> None:
    """G2: a greenlet that is one too many ends, and takes no job along that has just come."""

    async def main(runner: Runner) -> None:
        begin = asyncio.Event()
        crowd = [Call(lambda: bridge.await_(begin.wait())) for _ in range(140)]
        for call in crowd:
            runner.submit(call)
        await asyncio.sleep(0)
        begin.set()
        late = []
        for _ in range(5):
            call = Call(lambda: bridge.await_(asyncio.sleep(0.001, "late")))
            late.append(call)
            runner.submit(call)
            await asyncio.sleep(0)
        assert [await call.done for call in late] == ["late"] * 5
        for call in crowd:
            await call.done
        await until(lambda: runner.stats().busy == 0)
        assert runner.stats().served == 145

    run_with(GreenletRunner(), main)


def test_waits_go_on_while_it_stops() -> None:
    """W54: what runs when the runner stops can still wait, within the time that it gets."""

    async def main() -> None:
        runner = GreenletRunner()
        runner.start(asyncio.get_running_loop())

        def job() -> str:
            bridge.await_(asyncio.sleep(0.02))
            return bridge.await_(asyncio.sleep(0.02, "done"))

        call = Call(job)
        runner.submit(call)
        await asyncio.sleep(0)
        assert await runner.stop(5)
        assert await call.done == "done"

    asyncio.run(main())


def test_a_loop_that_ended_with_a_job_in_the_queue() -> None:
    """W54: what another loop left behind does not hold up this one."""
    runner = GreenletRunner()
    ended = asyncio.new_event_loop()

    async def leave_one() -> None:
        runner.start(ended)
        runner.submit(Call(int))
        ended.stop()

    leaving = ended.create_task(leave_one())
    ended.call_soon(ended.stop)
    ended.run_forever()
    assert leaving.done()
    assert runner.stats().queued == 1
    ended.close()

    async def main() -> None:
        runner.start(asyncio.get_running_loop())
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await asyncio.wait_for(call.done, 5) == "ran"
        await runner.stop(1)

    asyncio.run(main())


def test_stopping() -> None:
    """W54: a runner that stops takes no more."""

    async def main() -> None:
        runner = GreenletRunner()
        runner.start(asyncio.get_running_loop())
        call = Call(int)
        runner.submit(call)
        await call.done
        assert await runner.stop(1)
        with pytest.raises(Overloaded, match="stopping"):
            runner.submit(Call(int))

    asyncio.run(main())


def test_run_at_once() -> None:
    """G1: a job that waits for nothing is over in the task that runs it."""

    async def main(runner: Runner) -> None:
        runner.start(asyncio.get_running_loop())  # once more: nothing happens
        call = Call(lambda: "ran")
        await runner.run(call)
        assert runner.stats()[:2] == (0, 1)
        assert await call.done == "ran"

    run_with(GreenletRunner(), main)


def test_what_it_waited_for_fails() -> None:
    """W51: what is raised, or cancelled, comes out where the app waits."""

    async def broken() -> None:
        await asyncio.sleep(0)
        raise LookupError("mine")

    async def main(runner: Runner) -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        for awaitable, error in (
            (broken(), LookupError),
            (cancelled, concurrent.futures.CancelledError),
        ):
            call = Call(lambda given=awaitable: bridge.await_(given))
            runner.submit(call)
            with pytest.raises(error):
                await call.done

    run_with(GreenletRunner(), main)


def test_where_an_app_may_wait() -> None:
    """W51: in a greenlet that runs the app's own code, and nowhere else."""

    async def main(runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        call = Call(lambda: (runner.in_greenlet(), runner.app_loop()))
        runner.submit(call)
        assert await call.done == (True, loop)
        assert (runner.in_greenlet(), runner.app_loop()) == (False, None)
        with pytest.raises(bridge.WaitNotPossible):
            runner.wait(asyncio.sleep(0))

    run_with(GreenletRunner(), main)


class Bare:
    """A job that is nothing but its function: what that raises comes to the runner."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self) -> bool:
        self.function()
        return True


@pytest.mark.parametrize("error", [LookupError, GreenletExit])
def test_a_job_that_raises(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    """W51: none should; it is logged as an error of ours, and its greenlet serves others."""

    def broken() -> None:
        raise error

    async def main(runner: Runner) -> None:
        runner.submit(Bare(broken))  # type: ignore[arg-type]
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"

    run_with(GreenletRunner(), main)
    assert ("that is an error of the bridge" in caplog.text) is (error is LookupError)


def test_a_job_that_swallows_its_cancellation() -> None:
    """G4: it is ended by what no `except Exception` catches, and its greenlet serves others."""

    def stubborn() -> None:
        while True:
            with contextlib.suppress(Exception):
                bridge.await_(asyncio.Event().wait())

    async def main(runner: Runner) -> None:
        task = asyncio.ensure_future(runner.run(Bare(stubborn)))  # type: ignore[arg-type]
        await until(lambda: runner.stats().busy == 1)
        task.cancel()
        await asyncio.wait([task])
        assert runner.stats()[:2] == (0, 1)
        call = Call(lambda: bridge.await_(asyncio.sleep(0, "ran")))
        runner.submit(call)
        assert await call.done == "ran"

    run_with(GreenletRunner(), main)


def test_a_task_that_cannot_be_made() -> None:
    """G2: then the others that came with this request run all the same."""
    failed: list[str] = []

    async def main() -> None:
        loop, runner = asyncio.get_running_loop(), GreenletRunner()

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
            loop.set_task_factory(None)
            coroutine.close()
            raise MemoryError

        loop.set_exception_handler(lambda _, about: failed.append(repr(about["exception"])))
        runner.start(loop)
        gate = loop.create_future()
        unlucky, other = Call(lambda: bridge.await_(gate)), Call(lambda: "ran")
        runner.submit(unlucky)
        runner.submit(other)
        loop.set_task_factory(factory)
        assert await other.done == "ran"
        assert failed == ["MemoryError()"]
        assert not await runner.stop(0)

    asyncio.run(main())


def test_stopped_while_it_waits() -> None:
    """W54: what does not end in time is interrupted; what is queued has its turn before."""
    heard: list[type] = []

    def job() -> None:
        try:
            bridge.await_(asyncio.Event().wait())
        except ClientDisconnected as error:
            heard.append(type(error))

    async def main() -> None:
        runner = GreenletRunner()
        runner.start(asyncio.get_running_loop())
        call = Call(job)
        runner.submit(call)
        assert not await runner.stop(0.01)
        await call.done
        assert runner.stats().busy == 0

    asyncio.run(main())
    assert heard == [RequestCancelled]


def test_two_in_one_thread() -> None:
    """W54: the one that stops leaves the other alone."""

    async def main() -> None:
        loop, runners = asyncio.get_running_loop(), [GreenletRunner(), GreenletRunner()]
        for runner in runners:
            runner.start(loop)
        for runner in runners:
            call = Call(lambda: bridge.await_(asyncio.sleep(0, "ran")))
            runner.submit(call)
            assert await call.done == "ran"
            assert await runner.stop(10)

    asyncio.run(main())


def test_interrupted_between_two_waits() -> None:
    """G4: the app hears of it when it waits the next time."""

    async def main(runner: GreenletRunner) -> None:
        async def interrupt() -> None:
            runner.interrupt(call, ClientDisconnected("gone"))

        def job() -> None:
            bridge.await_(asyncio.sleep(0))
            for _ in range(2):
                bridge.await_(interrupt())

        call = Call(job)
        runner.submit(call)
        with pytest.raises(ClientDisconnected, match="gone"):
            await call.done

    run_with(GreenletRunner(), main)  # type: ignore[arg-type]
