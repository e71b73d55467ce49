"""The inline runner: jobs that pause, go on, and are given up."""

from __future__ import annotations

import asyncio
import warnings
from contextvars import ContextVar
from typing import Any

import pytest

from bridge.errors import WaitNotPossible
from bridge.runners.inline import InlineRunner

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Pausing:
    """A job that pauses twice before it is over, and writes down what it sees."""

    queued_at = 0.0
    streams = False
    peer = None

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self) -> bool:
        self.seen.append((variable.get(), asyncio._get_running_loop()))
        variable.set("changed")
        return len(self.seen) == 3

    def on_long_wait(self) -> None:
        raise AssertionError

    def refuse(self, error: Exception) -> None:
        raise error

    def cancel(self) -> None:
        self.seen.append(("given up", variable.get(), asyncio._get_running_loop()))


def test_a_job_that_pauses_goes_on_in_its_own_context() -> None:
    """W50, G5: submitted again a paused job goes on in its context; it never sees the loop."""

    async def main() -> None:
        runner, job = InlineRunner(), Pausing()
        runner.start(asyncio.get_running_loop())
        runner.submit(job)
        assert runner.stats()[:5] == (1, 0, 0, 0.0, 0)
        runner.submit(job)
        runner.submit(job)
        assert job.seen == [("unset", None), ("changed", None), ("changed", None)]
        assert runner.stats()[:5] == (0, 0, 0, 0.0, 1)
        assert variable.get() == "unset"
        assert asyncio._get_running_loop() is not None

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_a_paused_job_is_given_up(how: str) -> None:
    """A paused job is given up in its own context, once; also when the runner stops."""

    async def main() -> None:
        runner, job = InlineRunner(), Pausing()
        runner.submit(job)
        if how == "cancel":
            runner.cancel(job)
        else:
            assert await runner.stop()
        assert job.seen[1:] == [("given up", "changed", None)]
        runner.cancel(job)
        assert len(job.seen) == 2
        assert runner.stats().busy == 0
        assert asyncio._get_running_loop() is not None

    asyncio.run(main())


def test_a_job_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """W38: a job should never raise; if it does, that is logged, and the loop is back."""

    class Raising(Pausing):
        def __call__(self) -> bool:
            raise SystemExit

    async def main() -> None:
        runner = InlineRunner()
        runner.submit(Raising())
        assert runner.stats().busy == 0
        assert asyncio._get_running_loop() is not None

    asyncio.run(main())
    assert "a job of the inline runner raised" in caplog.text


def test_nothing_can_be_awaited() -> None:
    """W51: `wait` is an error that names the other runners, and closes the coroutine."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(WaitNotPossible, match="use the thread or greenlet runner"):
            InlineRunner().wait(asyncio.sleep(0))
