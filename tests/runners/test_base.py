"""What runners share: their defaults, `await_`, and which runner a thread runs jobs for."""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import Any

import pytest

import bridge
from bridge.errors import ClientDisconnected, WaitNotPossible
from bridge.runners.base import Runner, Stats, current_runner, set_current_runner


class Job:
    """A job as the simplest runner knows it."""

    queued_at = 0.0
    streams = False
    peer = None
    runs = 0
    cancelled = False

    def on_long_wait(self) -> None:
        raise AssertionError

    def __call__(self) -> bool:
        self.runs += 1
        return True

    def refuse(self, error: Exception) -> None:
        raise error

    def cancel(self) -> None:
        self.cancelled = True


class Simplest(Runner):
    """A runner that has only what every runner must have."""

    multithread = False
    can_wait = True
    waited: Any = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        pass

    def submit(self, job: Any) -> None:
        job()

    def wait(self, awaitable: Any) -> Any:
        self.waited = awaitable
        return "result"

    async def stop(self, timeout: float | None = None) -> bool:
        return True

    def stats(self) -> Stats:
        return Stats(0, 0, 0, 0.0, 0, 0)


def test_defaults() -> None:
    """W50: a runner without threads, greenlets and pauses needs no more than five methods."""
    runner, job = Simplest(), Job()
    assert (runner.threaded, len(runner.queue)) == (False, 0)
    assert runner.app_loop() is None
    assert runner.in_greenlet() is False
    assert runner.withdraw(job) is False
    runner.interrupt(job, ClientDisconnected("gone"))
    asyncio.run(runner.run(job))
    assert (job.runs, job.cancelled) == (1, False)
    runner.cancel(job)
    assert job.cancelled


def test_await_asks_the_runner_of_its_thread() -> None:
    """W51: `bridge.await_` waits with the runner whose jobs run in this thread, and no other's."""
    runner, awaited = Simplest(), asyncio.sleep(0)
    seen: list[Runner | None] = []
    set_current_runner(runner)
    try:
        assert bridge.await_(awaited) == "result"
        assert runner.waited is awaited
        awaited.close()
        thread = threading.Thread(target=lambda: seen.append(current_runner()))
        thread.start()
        thread.join()
    finally:
        set_current_runner(None)
    assert seen == [None]


def test_await_without_a_runner() -> None:
    """W51: elsewhere it is an error that says what to do, and the coroutine is closed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(WaitNotPossible, match="use `await` in async code"):
            bridge.await_(asyncio.sleep(0))
