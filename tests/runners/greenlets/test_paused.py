"""Where greenlets wait, and what for."""

from __future__ import annotations

import asyncio

from bridge.runners import Runner, paused_jobs
from bridge.runners.greenlets.paused import paused_greenlets
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.greenlets.waiting import sleep
from bridge.runners.greenlets.worker import current_worker
from bridge.runners.inline import InlineRunner
from tests.runners.jobs import Call, run_with, until


def test_each_greenlet_that_waits_has_a_frame() -> None:
    """R3: of those that wait for an awaitable, it is told; for a time, the frame shows it."""

    async def main(runner: Runner) -> None:
        assert isinstance(runner, GreenletRunner)
        loop = asyncio.get_running_loop()
        event = loop.create_future()

        def wait_for_event() -> None:
            runner.wait(event)

        def wait_for_time() -> None:
            worker = current_worker()
            assert worker is not None
            sleep(worker, 0.3)

        calls = [Call(wait_for_event), Call(wait_for_time)]
        for call in calls:
            runner.submit(call)
        await until(lambda: len([*paused_greenlets(runner)]) == 2)
        (first, awaited), (second, nothing) = paused_jobs(runner)
        assert (first.f_code.co_name, second.f_code.co_name) == ("wait", "pause")
        assert "Future" in awaited
        assert nothing == ""
        event.set_result(None)
        for call in calls:
            await call.done
        await until(lambda: not [*paused_jobs(runner)])

    run_with(GreenletRunner(), main)


def test_other_runners_have_none() -> None:
    """R3: their jobs are seen in their threads."""
    assert [*paused_jobs(InlineRunner())] == []
