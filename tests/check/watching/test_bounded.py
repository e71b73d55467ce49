"""Whoever waits for an app gives up in time (M51)."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest

from bridge.check.watching.bounded import Loop, Worker, run_here
from bridge.loops.watchdog.block import Block
from tests.support.waiting import eventually


def ignored(*arguments: object) -> None: ...


def test_a_job_runs_in_the_thread_of_the_worker() -> None:
    """M51: one after another, in the same thread; what it raises is raised."""
    worker = Worker()
    idents = {worker.run(threading.get_ident, 5).value for _ in range(3)}
    assert len(idents - {threading.get_ident(), None}) == 1
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0, 5)
    worker.close()


def test_a_job_that_hangs_is_left() -> None:
    """M51: its place is told, and the worker is lost."""
    worker, end = Worker(), threading.Event()
    outcome = worker.run(lambda: end.wait(20), 0.5)  # its thread may be slow to begin
    assert outcome.hangs
    assert worker.hangs
    assert outcome.place is not None
    assert "test_a_job_that_hangs_is_left" in outcome.place.function
    end.set()
    worker.close()


def test_a_timeout_of_the_job_is_its_own() -> None:
    """M51: an app may raise TimeoutError; that is no hang."""

    def job() -> None:
        raise TimeoutError("mine")

    worker = Worker()
    with pytest.raises(TimeoutError, match="mine"):
        worker.run(job, 5)
    assert not worker.hangs
    worker.close()


def test_a_job_in_this_thread() -> None:
    """M51: is bounded, too, in the main one, and told by its place."""
    before = signal.getsignal(signal.SIGALRM)
    assert run_here(threading.get_ident, 60).value == threading.get_ident()
    end = threading.Event()
    outcome = run_here(lambda: end.wait(60), 0.05)
    assert outcome.hangs
    assert outcome.place is not None
    assert "test_a_job_in_this_thread" in outcome.place.function
    assert signal.getsignal(signal.SIGALRM) == before


def test_a_loop_runs_coroutines() -> None:
    """M51: and ends, with the tasks that are left."""
    loop = Loop(ignored, ignored)
    left: list[asyncio.Task[None]] = []

    async def job() -> int:
        left.append(asyncio.ensure_future(asyncio.sleep(60)))
        return 3

    assert loop.run(job(), 5).value == 3
    loop.close()
    assert left[0].cancelled()


def test_a_loop_that_is_blocked_for_good() -> None:
    """M51: its place is told; `on_block` hears of it, and the watcher of the call."""
    blocks: list[Block] = []
    events: list[str] = []
    end = threading.Event()
    loop = Loop(blocks.append, lambda event, arguments, frame: events.append(event))

    async def job() -> None:
        time.sleep(0.001)
        end.wait(20)

    outcome = loop.run(job(), 0.5)
    assert outcome.hangs
    assert outcome.place is not None
    assert outcome.place.function.endswith("job")
    eventually(lambda: bool(blocks))
    assert "time.sleep" in events
    end.set()
    loop.hangs = False
    loop.close()
