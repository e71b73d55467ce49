"""Sockets in jobs of a greenlet runner, while the loop has other things to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from tests.runners.jobs import Call, run_with


@contextmanager
def pair(
    timeout: float | None, family: int = socket.AF_UNIX, kind: int = socket.SOCK_STREAM
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected; the first has the timeout."""
    left, right = socket.socketpair(family, kind)
    with left, right:
        left.settimeout(timeout)
        yield left, right


def run_jobs(main: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run ``main(begin)`` on a loop; ``begin(function)`` starts a job, and returns its `Call`.

    The job has run to its first wait when the loop is in its next step.
    """

    async def with_runner(runner: Runner) -> None:
        def begin(function: Callable[[], Any]) -> Call:
            call = Call(function)
            runner.submit(call)
            return call

        await main(begin)

    run_with(GreenletRunner(), with_runner)


async def paused(*calls: Call) -> None:
    """Let the loop run for some steps; the jobs are not over then."""
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not any(call.done.done() for call in calls)
