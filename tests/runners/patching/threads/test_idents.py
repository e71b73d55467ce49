"""The numbers by which threads and greenlets are told apart."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import threading
import time
from _thread import get_ident as imported_before
from typing import Any

import greenlet
import pytest

from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.patching.threads import idents
from tests.runners.patching.threads.jobs import Begin, run_jobs


def test_numbers() -> None:
    """G7: each greenlet has a number of its own, also by a name that was imported before."""

    async def main(begin: Begin) -> None:
        def job() -> tuple[int, ...]:
            before = threading.get_ident(), imported_before()
            time.sleep(0.001)
            made_here = greenlet.greenlet(threading.get_ident).switch()
            return (*before, threading.get_ident(), made_here)

        calls = [begin(job) for _ in range(20)]
        seen = [await call.done for call in calls]
        assert all(len({*numbers}) == 1 for numbers in seen)
        numbers = {numbers[0] for numbers in seen}
        assert len(numbers) == 20
        assert threading.get_ident() == idents.thread_ident() not in numbers

    run_jobs(main)


def test_coroutines() -> None:
    """G7: a coroutine of the loop has the number of the thread; one of the app's loop has not."""

    async def coroutine() -> list[int]:
        first = threading.get_ident()
        await asyncio.sleep(0.001)
        return [first, threading.get_ident()]

    async def main(begin: Begin) -> None:
        def job() -> list[Any]:
            me = threading.get_ident()
            return [me, asyncio.run(coroutine()), begin.runner.wait(coroutine())]

        me, own, loops = await begin(job).done
        assert own == [me, me]
        assert loops == [threading.get_ident()] * 2

    run_jobs(main)


def test_functions_that_want_a_thread() -> None:
    """G6: signals, clocks and frames of a greenlet's thread are found by the greenlet's number."""
    received: list[int] = []

    async def main(begin: Begin) -> None:
        def job() -> list[Any]:
            me = threading.get_ident()
            signal.pthread_kill(me, signal.SIGUSR1)
            frames = sys._current_frames()
            here = [frames[me].f_code.co_name, frames[idents.thread_ident()].f_code.co_name]
            clock = time.pthread_getcpuclockid(me)
            return [here, clock == time.pthread_getcpuclockid(idents.thread_ident())]

        assert await begin(job).done == [["job", "job"], True]
        call = begin(lambda: (threading.get_ident(), time.sleep(0.05)))
        await asyncio.sleep(0.01)
        assert sys._current_frames()[threading.get_ident()].f_code.co_name == "main"
        other, _ = await call.done
        signal.pthread_kill(other, signal.SIGUSR1)  # it is free now, and lives
        with pytest.raises(ProcessLookupError):
            os.kill(2**22 + 1, 0)

    before = signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    try:
        run_jobs(main)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert received == [signal.SIGUSR1] * 2


def test_sqlite() -> None:
    """G7: a connection of sqlite3, which belongs to a thread, can be used by all its greenlets."""

    async def main(begin: Begin) -> None:
        connection = await begin(lambda: sqlite3.connect(":memory:")).done
        one = await begin(lambda: connection.execute("select 1").fetchone()).done
        assert one == (1,)
        connection.close()

    run_jobs(main)


def test_debug_mode() -> None:
    """G6: a greenlet may wait in a loop that checks which thread calls it; others may not call."""

    async def run() -> None:
        runner = GreenletRunner()
        loop = asyncio.get_running_loop()
        runner.start(loop)
        begin = Begin(runner)
        await begin(lambda: time.sleep(0.001)).done
        errors: list[str] = []

        def thread() -> None:
            try:
                loop.call_soon(print)
            except RuntimeError as error:
                errors.append(str(error))

        other = threading.Thread(target=thread)
        other.start()
        await begin(other.join).done
        assert "Non-thread-safe operation" in errors[0]
        assert await runner.stop(10)

    asyncio.run(run(), debug=True)


def test_scopes_of_libraries() -> None:
    """G7: Django's check of threads, asgiref's locals and scopes by number are per greenlet."""
    from asgiref.local import Local
    from sqlalchemy.orm import scoped_session, sessionmaker

    async def main(begin: Begin) -> None:
        local: Any = Local()
        sessions = scoped_session(sessionmaker(), scopefunc=threading.get_ident)

        def job() -> Any:
            assert not hasattr(local, "value")
            local.value = threading.get_ident()
            session = sessions()
            time.sleep(0.001)
            assert local.value == threading.get_ident()
            assert sessions() is session
            return session

        calls = [begin(job) for _ in range(10)]
        assert len({id(session) for session in [await call.done for call in calls]}) == 10

    run_jobs(main)
