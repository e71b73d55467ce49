"""Greenlets that wait for something which threads give, too."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from bridge.errors import RequestCancelled
from bridge.runners.greenlets.worker import Worker, current_worker
from bridge.runners.patching.threads.waiters import WaitingGreenlets, undisturbed
from tests.runners.jobs import until
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs


def here() -> Worker:
    """The greenlet that calls."""
    worker = current_worker()
    assert worker is not None
    return worker


def test_each_wake_up_wakes_one() -> None:
    """G6: one wake-up is for one greenlet, in their order, whoever gives it."""

    async def main(begin: Begin) -> None:
        waiting, given, got = WaitingGreenlets(), list[int](), list[int]()

        def job(number: int) -> None:
            def attempt() -> bool:
                if not given:
                    return False
                got.append(number)
                return bool(given.pop())

            assert waiting.wait_until(here(), attempt)

        calls = [begin(lambda number=number: job(number)) for number in range(3)]  # type: ignore[misc]
        await paused(*calls)
        given.append(1)
        waiting.wake_one()
        await calls[0].done
        await paused(*calls[1:])
        given.append(1)
        other = threading.Thread(target=waiting.wake_one)
        other.start()
        await calls[1].done
        waiting.wake_one()  # in vain
        await paused(calls[2])
        given.append(1)
        waiting.wake_one()
        await calls[2].done
        assert got == [0, 1, 2]
        waiting.wake_one()  # nobody is there

    run_jobs(main)


def test_looks() -> None:
    """G6: what nobody tells is seen all the same, if one looks."""

    async def main(begin: Begin) -> None:
        given: list[int] = []

        def job() -> list[bool]:
            waiting = WaitingGreenlets()
            return [
                waiting.wait_until(here(), lambda: bool(given), 0.01, looks=True),
                waiting.wait_until(here(), lambda: bool(given), looks=True),
            ]

        call = begin(job)
        await paused(call)
        await asyncio.sleep(0.02)
        given.append(1)
        assert await call.done == [False, True]

    run_jobs(main)


def test_undisturbed() -> None:
    """G4: what must be taken back is waited for, though the request has ended; then it ends."""

    async def main(begin: Begin) -> None:
        lock, events = threading.Lock(), list[str]()

        def job() -> None:
            try:
                time.sleep(1000)
            except RequestCancelled:
                undisturbed(here(), lock.acquire)
                events.append("has it")
                time.sleep(1000)

        lock.acquire()
        calls = [begin(job), begin(job)]
        await paused(*calls)
        for call in calls:
            begin.interrupt(call, RequestCancelled("enough"))
        await paused(*calls)
        begin.interrupt(calls[1], RequestCancelled("once more"))
        await paused(*calls)
        lock.release()
        await until(lambda: len(events) == 1)
        lock.release()
        for call in calls:
            with pytest.raises(RequestCancelled, match="enough"):
                await call.done
        assert len(events) == 2

    run_jobs(main)


def test_errors_of_the_function() -> None:
    """G4: an error that has nothing to do with the end of the request is raised."""

    async def main(begin: Begin) -> None:
        def fail() -> Any:
            raise RequestCancelled("of the app's own")

        call = begin(lambda: undisturbed(here(), fail))
        with pytest.raises(RequestCancelled, match="own"):
            await call.done

    run_jobs(main)
