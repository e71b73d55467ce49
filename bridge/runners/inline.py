"""The inline runner: the app is called right there, on the loop's own thread.

For apps that never block. Its jobs have all their input before they start, cannot wait, and pause
if their client is slow.

While the app's own code runs the loop is hidden (G5): code that asks whether a loop is running
(Django's ORM, `asyncio.run`) sees none.
"""

from __future__ import annotations

import asyncio
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Awaitable
from contextvars import Context, copy_context
from typing import Any

from bridge.errors import WaitNotPossible
from bridge.log import logger
from bridge.loops.hidden import TASK_OF_THREAD, call_without_loop, remember_loop, swap_task
from bridge.loops.tasks import close_unawaited
from bridge.runners.base import Job, Runner, Stats, T


class InlineRunner(Runner):
    """Runs each job at once. A paused one goes on, in its own context, when submitted again."""

    multithread = False
    can_wait = False

    def __init__(self) -> None:
        self._paused: dict[Job, Context] = {}
        self._served = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the app find the loop that is hidden from it (``layer.loop`` of ASGI 1)."""
        remember_loop(loop)

    def submit(self, job: Job) -> None:
        """Run `job` to its end or its next pause."""
        context = (self._paused.pop(job, None) if self._paused else None) or copy_context()
        # `call_without_loop` here would cost 2 % of a request.
        loop = _get_running_loop()
        task = swap_task(loop, None) if TASK_OF_THREAD and loop is not None else None
        _set_running_loop(None)
        try:
            if context.run(job) is False:
                self._paused[job] = context
            else:
                self._served += 1
        except BaseException:
            logger.exception("a job of the inline runner raised; that is an error of the bridge")
        finally:
            _set_running_loop(loop)
            if TASK_OF_THREAD and loop is not None:
                swap_task(loop, task)

    def cancel(self, job: Any) -> None:
        """Give up a paused job, in its context."""
        context = self._paused.pop(job, None)
        if context is not None:
            call_without_loop(context.run, job.cancel)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Raise `WaitNotPossible`: the loop stands still while the app runs."""
        close_unawaited(awaitable)
        raise WaitNotPossible("the inline runner cannot wait; use the thread or greenlet runner")

    async def stop(self, timeout: float | None = None) -> bool:
        """Give up paused jobs; no other is under way between two steps of the loop."""
        for job in list(self._paused):
            self.cancel(job)
        return True

    def stats(self) -> Stats:
        """Return the figures of this moment: only paused jobs are busy."""
        return Stats(len(self._paused), 0, 0, 0.0, self._served, 0, 0, self.timed_out or 0)
