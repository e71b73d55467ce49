"""What every runner keeps, whatever it runs in. A new runner passes this file unchanged."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from typing import Any

import anyio.from_thread
import asgiref.sync
import pytest

import bridge
from bridge.errors import ConfigError, RequestCancelled, WaitNotPossible
from bridge.runners import Runner, make_runner
from tests.runners.jobs import Call, run_with, until

NAMES = ["thread", "greenlet", "inline"]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(params=NAMES)
def runner(request: pytest.FixtureRequest) -> Runner:
    return make_runner(request.param, threads=4)


@pytest.fixture(params=[name for name in NAMES if make_runner(name).can_wait])
def waiting_runner(request: pytest.FixtureRequest) -> Runner:
    return make_runner(request.param, threads=4)


def test_runs(runner: Runner) -> None:
    """W50: each job runs, once, and only runners that say so use other threads."""

    async def main(runner: Runner) -> None:
        calls = [Call(threading.get_ident) for _ in range(50)]
        for call in calls:
            runner.submit(call)
        threads = {await call.done for call in calls}
        assert (threading.get_ident() in threads) is not runner.threaded
        await until(lambda: runner.stats().served == 50)
        stats = runner.stats()
        assert (stats.busy, stats.queued, stats.rejected, stats.oldest_wait) == (0, 0, 0, 0)

    run_with(runner, main)


def test_context(runner: Runner) -> None:
    """W50: each job runs in a context of its own, a copy of the one that the runner started in."""

    def job() -> str:
        seen = variable.get()
        variable.set("changed")
        return seen

    async def main(runner: Runner) -> None:
        for _ in range(10):
            call = Call(job)
            runner.submit(call)
            assert await call.done == "outside"
        assert variable.get() == "outside"

    variable.set("outside")
    run_with(runner, main)


def test_job_that_raises(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    """W38: a job should never raise; if one does, it is logged and the runner goes on."""

    async def main(runner: Runner) -> None:
        for error in (ValueError, SystemExit, KeyboardInterrupt):

            class Raising(Call):
                def __call__(self, error: Any = error) -> bool:
                    raise error

            runner.submit(Raising(int))
        call = Call(lambda: "fine")
        runner.submit(call)
        assert await call.done == "fine"
        await until(lambda: len(caplog.records) == 3)

    run_with(runner, main)


def test_run(runner: Runner) -> None:
    """W50: `run` returns when the job is over, on runners that stay on the loop's thread."""
    if runner.threaded:
        assert make_runner("thread").threaded
        return  # `run` is not for these: see its docstring

    async def main(runner: Runner) -> None:
        seen = []
        await runner.run(Call(lambda: seen.append(1)))
        assert seen == [1]

    run_with(runner, main)


def test_start_again(runner: Runner) -> None:
    """W54: a runner that was stopped starts again, on another loop too."""

    async def main(runner: Runner) -> None:
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"

    run_with(runner, main)
    run_with(runner, main)


def test_wait(waiting_runner: Runner) -> None:
    """W51, G1: `bridge.await_` runs an awaitable on the loop, in a copy of the app's context."""

    async def work(value: str) -> tuple[str, str, int]:
        await asyncio.sleep(0.001)
        seen = variable.get()
        variable.set("changed in the coroutine")
        return value, seen, threading.get_ident()

    def job() -> Any:
        variable.set("set by the app")
        result = bridge.await_(work("result"))
        return (*result, variable.get())

    async def main(runner: Runner) -> None:
        call = Call(job)
        runner.submit(call)
        assert await call.done == (
            "result",
            "set by the app",
            threading.get_ident(),
            "set by the app",
        )

    run_with(waiting_runner, main)


def test_wait_for_what_is_done(waiting_runner: Runner) -> None:
    """W51: a coroutine that never suspends, and any other awaitable, are awaited too."""

    class Awaitable:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "awaited"

    async def at_once() -> str:
        return "at once"

    async def main(runner: Runner) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result("was done")
        call = Call(lambda: [bridge.await_(thing) for thing in (at_once(), Awaitable(), future)])
        runner.submit(call)
        assert await call.done == ["at once", "awaited", "was done"]

    run_with(waiting_runner, main)


@pytest.mark.parametrize("suspends", [False, True])
def test_wait_raises(waiting_runner: Runner, suspends: bool) -> None:
    """W51: what the awaitable raises is raised in the app, with its traceback."""

    async def work() -> None:
        if suspends:
            await asyncio.sleep(0.001)
        raise LookupError("from the coroutine")

    def job() -> str:
        with pytest.raises(LookupError, match="from the coroutine") as caught:
            bridge.await_(work())
        return caught.traceback[-1].name

    async def main(runner: Runner) -> None:
        call = Call(job)
        runner.submit(call)
        assert await call.done == "work"

    run_with(waiting_runner, main)


def test_wait_for_what_is_cancelled(waiting_runner: Runner) -> None:
    """W51: an awaitable that is cancelled raises an Exception, and the app goes on."""

    async def main(runner: Runner) -> None:
        for _ in range(2):  # to be cancelled, and cancelled before
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            def job(future: Any = future) -> str:
                try:
                    bridge.await_(future)
                except Exception as error:
                    return type(error).__name__
                return "no error"

            call = Call(job)
            asyncio.get_running_loop().call_later(0.005, future.cancel)
            runner.submit(call)
            assert await call.done == "CancelledError"

    run_with(waiting_runner, main)


@pytest.mark.parametrize("kind", ["future", "task"])
def test_what_others_wait_for_too(waiting_runner: Runner, kind: str) -> None:
    """G4, W51: a wait that is given up cancels no future or task of the app; others get it."""

    def leaver(shared: Any) -> str:
        try:
            return bridge.await_(shared)
        except Exception as error:
            return type(error).__name__

    async def main() -> None:
        loop = asyncio.get_running_loop()
        filled: asyncio.Future[str] = loop.create_future()

        async def fill() -> str:
            return await filled

        shared: Any = filled if kind == "future" else loop.create_task(fill())
        waiting_runner.start(loop)
        left = Call(lambda: leaver(shared))
        waiting_runner.submit(left)
        await until(lambda: waiting_runner.stats().busy == 1)
        await asyncio.sleep(0.01)  # it waits
        await waiting_runner.stop(0.01)
        assert await left.done in ("CancelledError", "RequestCancelled")
        assert not shared.done()
        filled.set_result("filled")
        waiting_runner.start(loop)
        stays = Call(lambda: bridge.await_(shared))
        waiting_runner.submit(stays)
        assert await stays.done == "filled"
        assert await waiting_runner.stop(10)

    asyncio.run(main())


def test_a_coroutine_goes_with_its_wait(waiting_runner: Runner) -> None:
    """G4, W51: a wait that is given up cancels the coroutine that was made for it."""
    events: list[str] = []

    async def work() -> None:
        events.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    async def main() -> None:
        waiting_runner.start(asyncio.get_running_loop())
        call = Call(lambda: bridge.await_(work()))
        waiting_runner.submit(call)
        await until(lambda: events == ["begun"])
        await waiting_runner.stop(0.01)
        with pytest.raises((concurrent.futures.CancelledError, RequestCancelled)):
            await call.done
        await until(lambda: events == ["begun", "cancelled"])
        assert await waiting_runner.stop(10)

    asyncio.run(main())


def test_many_wait_at_once(waiting_runner: Runner) -> None:
    """W50, G1: while one job waits others run, and each gets what it waited for."""

    async def main(runner: Runner) -> None:
        gates = [asyncio.Event() for _ in range(4)]

        async def pass_gate(number: int) -> int:
            await gates[number].wait()
            return number

        calls = [Call(lambda n=n: bridge.await_(pass_gate(n))) for n in range(4)]
        for call in calls:
            runner.submit(call)
        await until(lambda: runner.stats().busy == 4)
        for number in (2, 0, 3, 1):
            gates[number].set()
            assert await calls[number].done == number

    run_with(waiting_runner, main)


def test_the_loop_is_hidden(runner: Runner) -> None:
    """G5: the app's own code sees no running loop, whatever it has waited for, and may run one."""

    async def work() -> bool:
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is not None

    def job() -> list[Any]:
        seen: list[Any] = [asyncio._get_running_loop()]
        if runner.can_wait:
            seen.append(bridge.await_(work()))
            seen.append(asyncio._get_running_loop())
        if not runner.threaded:  # in a thread it is not forbidden, and waits for nobody else
            seen.append(asyncio.run(work()))
        seen.append(asyncio._get_running_loop())
        return seen

    async def main(runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        call = Call(job)
        runner.submit(call)
        assert asyncio.get_running_loop() is loop
        seen = await call.done
        assert asyncio.get_running_loop() is loop
        assert set(seen) == ({None, True} if len(seen) > 2 else {None})

    run_with(runner, main)


@pytest.mark.parametrize("how", ["async_to_sync", "anyio.run", "anyio.run_sync"])
def test_other_libraries(waiting_runner: Runner, how: str) -> None:
    """W51: asgiref's and anyio's ways to the loop lead to the server's, and carry the context."""

    async def work(value: str) -> tuple[str, str, Any]:
        seen = variable.get()
        await asyncio.sleep(0.001)
        variable.set("set in the coroutine")
        return value, seen, asyncio.get_running_loop()

    def plain(value: str) -> tuple[str, str, Any]:
        return value, variable.get(), asyncio.get_running_loop()

    def job() -> tuple[Any, ...]:
        variable.set("set by the app")
        calls: dict[str, Any] = {
            "async_to_sync": asgiref.sync.async_to_sync(work),
            "anyio.run": lambda value: anyio.from_thread.run(work, value),
            "anyio.run_sync": lambda value: anyio.from_thread.run_sync(plain, value),
        }
        return (*calls[how]("result"), variable.get())

    async def main(runner: Runner) -> None:
        after = "set in the coroutine" if how == "async_to_sync" else "set by the app"
        for _ in range(2):
            call = Call(job)
            runner.submit(call)
            expected = ("result", "set by the app", asyncio.get_running_loop(), after)
            assert await call.done == expected

    run_with(waiting_runner, main)


def test_other_libraries_raise(waiting_runner: Runner) -> None:
    """W51: what a coroutine raises comes out of asgiref's and anyio's calls too."""

    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError("from the coroutine")

    async def main(runner: Runner) -> None:
        for function in (
            asgiref.sync.async_to_sync(work),
            lambda: anyio.from_thread.run(work),
        ):
            call = Call(function)
            runner.submit(call)
            with pytest.raises(LookupError, match="from the coroutine"):
                await call.done

    run_with(waiting_runner, main)


def test_sync_in_async_in_sync(waiting_runner: Runner) -> None:
    """W51: an async view that calls synchronous code, and that async code again, gets through."""

    async def innermost() -> str:
        await asyncio.sleep(0)
        return "innermost"

    async def view() -> str:
        inner: str = await asgiref.sync.sync_to_async(
            lambda: asgiref.sync.async_to_sync(innermost)()
        )()
        return inner

    async def main(runner: Runner) -> None:
        call = Call(asgiref.sync.async_to_sync(view))
        runner.submit(call)
        assert await call.done == "innermost"

    run_with(waiting_runner, main)


def test_wait_elsewhere() -> None:
    """W51: `await_` outside of an app under the bridge says where it works."""

    async def work() -> None: ...

    with pytest.raises(WaitNotPossible, match="thread or greenlet"):
        bridge.await_(work())

    async def on_the_loop() -> None:
        with pytest.raises(WaitNotPossible):
            bridge.await_(work())

    asyncio.run(on_the_loop())


@pytest.mark.parametrize("name", NAMES)
def test_wait_in_the_wrong_place(name: str) -> None:
    """W51: in a coroutine that an app awaits, under `inline`, or in a strange thread: an error."""

    async def inner() -> None: ...

    async def outer() -> str:
        with pytest.raises(WaitNotPossible):
            bridge.await_(inner())
        return "refused"

    def in_a_thread() -> str:
        answers: list[str] = []

        def strange() -> None:
            with pytest.raises(WaitNotPossible):
                bridge.await_(inner())
            answers.append("refused")

        thread = threading.Thread(target=strange)
        thread.start()
        thread.join()
        return answers[0]

    def job() -> str:
        if name == "inline":
            with pytest.raises(WaitNotPossible):
                bridge.await_(inner())
            return "refused"
        return bridge.await_(outer())

    async def main(runner: Runner) -> None:
        for function in (job, in_a_thread):
            call = Call(function)
            runner.submit(call)
            assert await call.done == "refused"

    run_with(make_runner(name), main)


def test_direct_wait_is_for_jobs(runner: Runner) -> None:
    """W51: a runner's `wait` outside of its jobs is refused, not a deadlock."""

    async def work() -> None: ...

    async def main(runner: Runner) -> None:
        with pytest.raises(WaitNotPossible):
            runner.wait(work())

    run_with(runner, main)


def test_stop_while_one_waits(waiting_runner: Runner) -> None:
    """W54, G4: stopping does not wait for ever: what waits is interrupted by an Exception."""
    interrupted: list[str] = []
    cleaned = threading.Event()

    def job() -> None:
        try:
            bridge.await_(asyncio.Event().wait())
        except Exception as error:
            interrupted.append(type(error).__name__)
        cleaned.set()

    async def main() -> None:
        waiting_runner.start(asyncio.get_running_loop())
        waiting_runner.submit(Call(job))
        await until(lambda: waiting_runner.stats().busy == 1)
        assert not await waiting_runner.stop(0.01)
        await until(cleaned.is_set)
        assert interrupted in (["CancelledError"], ["RequestCancelled"])
        assert await waiting_runner.stop(10)

    asyncio.run(main())


def test_names() -> None:
    """W52: a runner is made by its name; a wrong one is told what there is."""
    for name in NAMES:
        made = make_runner(name)
        assert make_runner(made) is made
    with pytest.raises(ConfigError, match="thread, greenlet, inline"):
        make_runner("fibre")
