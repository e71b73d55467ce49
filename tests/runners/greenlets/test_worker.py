"""What a greenlet has for itself, from one job to the next."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import bridge
from bridge.runners import Runner
from bridge.runners.base import current_runner
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.greenlets.waiting import sleep
from bridge.runners.greenlets.worker import current_worker
from tests.runners.greenlets.test_waiting import here
from tests.runners.jobs import Call, run_with

local = threading.local()


def test_thread_locals() -> None:
    """G7: requests at the same time never see each other's `threading.local`, nor the loop's."""

    async def main(runner: Runner) -> None:
        def job(number: int) -> tuple[Any, Any]:
            before = getattr(local, "value", None)
            local.value = number
            sleep(here(), 0.01)
            return before, local.value

        local.value = "loop"
        calls = [Call(lambda n=n: job(n)) for n in range(50)]
        for call in calls:
            runner.submit(call)
        assert [await call.done for call in calls] == [(None, n) for n in range(50)]
        assert local.value == "loop"
        del local.value

    run_with(GreenletRunner(), main)


def test_thread_locals_stay() -> None:
    """G7: what a request leaves there stays for a later one in this greenlet, as in a thread."""

    async def main(runner: Runner) -> None:
        def job() -> int:
            local.count = getattr(local, "count", 0) + 1
            return local.count

        seen = []
        for _ in range(3):
            call = Call(job)
            runner.submit(call)
            seen.append(await call.done)
        assert seen == [1, 2, 3]
        assert not hasattr(local, "count")

    run_with(GreenletRunner(), main)


def test_runner_of_a_greenlet() -> None:
    """G7, G1: each greenlet knows its runner, though that is kept for each thread."""

    async def main(runner: Runner) -> None:
        other = GreenletRunner()
        calls = [Call(current_runner), Call(current_runner)]
        other.start(asyncio.get_running_loop())
        runner.submit(calls[0])
        other.submit(calls[1])
        assert [await call.done for call in calls] == [runner, other]
        waiting = Call(lambda: bridge.await_(asyncio.sleep(0, "here")))
        runner.submit(waiting)
        assert await waiting.done == "here"
        assert await other.stop(1)

    run_with(GreenletRunner(), main)


def test_nobody_here() -> None:
    """G1: outside of all greenlets there is none that could wait."""
    assert current_worker() is None
