"""Functions that run in threads while their greenlets wait."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

import bridge
from bridge.errors import RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets import in_thread
from bridge.runners.greenlets.runner import GreenletRunner
from tests.runners.jobs import Call, run_with, until
from tests.support.programs import run


def submit(runner: Runner, *jobs: Callable[[], Any]) -> list[Call]:
    calls = [Call(job) for job in jobs]
    for call in calls:
        runner.submit(call)
    return calls


@pytest.fixture(autouse=True)
def no_threads_left(
    pool_threads: Callable[[], list[threading.Thread]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[threading.Thread]]:
    """Each test has a pool of its own, whose threads are not idle for long."""
    monkeypatch.setattr(in_thread, "IDLE_TIMEOUT", 0.1)
    monkeypatch.setattr(in_thread, "_pool", in_thread.ByProcess(in_thread._Pool))
    return pool_threads


def test_in_a_thread() -> None:
    """G6: a function runs in another thread, other greenlets go on, and its result comes back."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()

        def waits(*args: int, **kwargs: int) -> Any:
            assert gate.wait(30)
            return threading.get_ident(), args, kwargs

        first, second = submit(
            runner, lambda: bridge.in_thread(waits, 1, 2, three=3), lambda: gate.set()
        )
        await second.done
        thread, args, kwargs = await first.done
        assert thread != threading.get_ident()
        assert (args, kwargs) == ((1, 2), {"three": 3})

    run_with(GreenletRunner(), main)


def test_errors() -> None:
    """G6: what the function raises is raised in the greenlet, with the place where it was."""

    def fails() -> None:
        raise LookupError("not here")

    async def main(runner: Runner) -> None:
        (call,) = submit(runner, lambda: bridge.in_thread(fails))
        with pytest.raises(LookupError, match="not here") as raised:
            await call.done
        assert "fails" in [frame.name for frame in traceback.extract_tb(raised.tb)]
        (call,) = submit(runner, lambda: bridge.in_thread(sys.exit, 3))
        with pytest.raises(SystemExit):
            await call.done

    run_with(GreenletRunner(), main)


def test_context() -> None:
    """G6: the function sees the context of its request, and changes nothing in it."""
    variable: ContextVar[str] = ContextVar("variable")

    def swap(value: str) -> str:
        seen = variable.get()
        variable.set(value)
        return seen

    async def main(runner: Runner) -> None:
        def job(name: str) -> tuple[str, str]:
            variable.set(name)
            return bridge.in_thread(swap, "other"), variable.get()

        calls = submit(runner, *(lambda n=name: job(n) for name in "abc"))
        assert [await call.done for call in calls] == [(name, name) for name in "abc"]

    run_with(GreenletRunner(), main)


def test_limit(
    no_threads_left: Callable[[], list[threading.Thread]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """G6: there are never more threads than the limit; what is beyond waits, and threads end."""
    monkeypatch.setattr(in_thread, "LIMIT", 3)

    async def main(runner: Runner) -> None:
        gate, begun = threading.Event(), []

        def job(number: int) -> int:
            begun.append(number)
            assert gate.wait(30)
            return number

        calls = submit(runner, *(lambda n=n: bridge.in_thread(job, n) for n in range(10)))
        await until(lambda: len(begun) == 3)
        await asyncio.sleep(0.05)
        assert len(begun) == len(no_threads_left()) == 3
        gate.set()
        assert [await call.done for call in calls] == [*range(10)]
        await until(lambda: no_threads_left() == [])
        (call,) = submit(runner, lambda: bridge.in_thread(job, 11))
        assert await call.done == 11

    run_with(GreenletRunner(), main)


def test_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: a request that ends drops what runs for it, and what has not begun does not begin."""
    monkeypatch.setattr(in_thread, "LIMIT", 1)

    async def main(runner: Runner) -> None:
        gate, begun, ended = threading.Event(), [], []

        def job(number: int) -> None:
            begun.append(number)
            assert gate.wait(30)
            ended.append(number)

        calls = submit(runner, *(lambda n=n: bridge.in_thread(job, n) for n in range(3)))
        await until(lambda: begun == [0])
        for call in calls[:2]:
            runner.interrupt(call, RequestCancelled("enough"))
            with pytest.raises(RequestCancelled, match="enough"):
                await call.done
        gate.set()
        await calls[2].done
        await until(lambda: sorted(ended) == [0, 2])  # the first has nobody who waits for it

    run_with(GreenletRunner(), main)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: if the system has no thread, the greenlet is told; with some threads it waits for one."""

    async def main(runner: Runner) -> None:
        gate, begun = threading.Event(), []

        def job() -> None:
            begun.append(1)
            assert gate.wait(30)

        def no_thread(*args: Any) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(in_thread.NativeThread, "start", no_thread)
            (call,) = submit(runner, lambda: bridge.in_thread(job))
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await call.done
        (first,) = submit(runner, lambda: bridge.in_thread(job))
        await until(lambda: bool(begun))
        with monkeypatch.context() as patch:
            patch.setattr(in_thread.NativeThread, "start", no_thread)
            (second,) = submit(runner, lambda: bridge.in_thread(job))
            await until(lambda: runner.stats().busy == 2)
        gate.set()
        await asyncio.gather(first.done, second.done)

    run_with(GreenletRunner(), main)


def test_elsewhere() -> None:
    """G6: where nobody can wait by switching, the function is just called."""

    async def coroutine() -> int:
        return bridge.in_thread(threading.get_ident)

    async def main(runner: Runner) -> None:
        assert bridge.in_thread(threading.get_ident) == threading.get_ident()
        (call,) = submit(runner, lambda: runner.wait(coroutine()))
        assert await call.done == threading.get_ident()

    run_with(GreenletRunner(), main)
    code = """
        import sys, threading
        assert bridge.in_thread(threading.get_ident) == threading.get_ident()
        print("bridge.runners.greenlets.worker" in sys.modules)
    """
    assert run("import bridge\n", code).strip().endswith("False")


def test_end_of_the_process() -> None:
    """G6: a function that never returns keeps no process from ending."""
    code = """
        async def main():
            runner = GreenletRunner()
            runner.start(asyncio.get_running_loop())
            call = Call(lambda: bridge.in_thread(threading.Event().wait))
            runner.submit(call)
            await asyncio.sleep(0.1)
            runner.interrupt(call, bridge.RequestCancelled("enough"))
            try:
                await call.done
            except bridge.RequestCancelled:
                print("cancelled")
            assert await runner.stop(10)

        asyncio.run(main())
    """
    head = (
        "import asyncio, threading, bridge\nfrom tests.runners.jobs import Call\n"
        "from bridge.runners.greenlets.runner import GreenletRunner\n"
    )
    assert "cancelled" in run(head, code)


def test_fork() -> None:
    """G6: a child process has threads of its own."""
    pool = in_thread._pool.get()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"own" if in_thread._pool.get() is not pool else b"same")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"own"
    os.close(reader)
    os.close(writer)
