"""Jobs of a greenlet runner that share things with threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.errors import ClientDisconnected
from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from tests.runners.jobs import Call, run_with


class Begin:
    """Called with a function: it is a job that has run to its first wait after the next step."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def __call__(self, function: Callable[[], Any]) -> Call:
        call = Call(function)
        self.runner.submit(call)
        return call

    def interrupt(self, call: Call, reason: ClientDisconnected) -> None:
        """Have the job end at its wait."""
        self.runner.interrupt(call, reason)


def run_jobs(main: Callable[[Begin], Coroutine[Any, Any, None]]) -> None:
    """Run ``main(begin)`` on a loop."""

    async def with_runner(runner: Runner) -> None:
        await main(Begin(runner))

    run_with(GreenletRunner(), with_runner)


async def paused(*calls: Call) -> None:
    """Let the loop run for some steps; the jobs are not over then."""
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not any(call.done.done() for call in calls)
