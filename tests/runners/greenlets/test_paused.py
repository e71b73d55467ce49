"""Where greenlets wait, and what for."""

from __future__ import annotations

import asyncio
from types import FrameType

from bridge.runners import Runner, paused_jobs
from bridge.runners.greenlets.paused import paused_greenlets
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.greenlets.waiting import GreenletWaiter
from bridge.runners.greenlets.worker import current_worker
from bridge.runners.inline import InlineRunner
from tests.runners.jobs import Call, run_with, until


def calls_of(frame: FrameType | None) -> list[str]:
    """The functions that are called, the last one first."""
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


def test_each_greenlet_that_waits_has_a_frame() -> None:
    """R3: of those that wait for an awaitable, it is told; for a time, the frame shows it."""

    async def main(runner: Runner) -> None:
        assert isinstance(runner, GreenletRunner)
        loop = asyncio.get_running_loop()
        event = loop.create_future()
        waiters: list[GreenletWaiter] = []

        def wait_for_event() -> None:
            runner.wait(event)

        def wait_for_time() -> None:
            worker = current_worker()
            assert worker is not None
            waiters.append(GreenletWaiter(worker))
            waiters[0].wait(60)

        calls = [Call(wait_for_event), Call(wait_for_time)]
        for call in calls:
            runner.submit(call)
        await until(lambda: len([*paused_greenlets(runner)]) == 2)
        (first, awaited), (second, nothing) = paused_jobs(runner)
        assert "wait_for_event" in calls_of(first)
        assert "wait_for_time" in calls_of(second)
        assert "Future" in awaited
        assert nothing == ""
        event.set_result(None)
        waiters[0].wake()
        for call in calls:
            await call.done
        await until(lambda: not [*paused_jobs(runner)])

    run_with(GreenletRunner(), main)


def test_other_runners_have_none() -> None:
    """R3: their jobs are seen in their threads."""
    assert [*paused_jobs(InlineRunner())] == []
