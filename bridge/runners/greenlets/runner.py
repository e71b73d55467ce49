"""The greenlet runner: the app on the loop's own thread, and waiting without blocking it (G1-G4).

A job runs in a greenlet. When it waits, the greenlet gives the loop what it waits for and goes
to sleep; the request's task awaits that, and switches back with the result:

    switch ->  job ... wait(x) -> switch back with x
               task: result = await x
    switch <- result ... job ends -> switch back, the greenlet is free for the next

A greenlet is expensive to make, mostly in the kernel; switching to one costs less, but more than
a small app. So those that are free wait in a stack, and what is submitted in one step of the loop
runs at its end, one job after the other in the same greenlet, until one of them waits.

If the host has a task for the request, the app runs as a part of it: what it awaits is cancelled
with it. If it has none, a task is made when the app first waits.

While the app's own code runs the loop is hidden (G5): code that asks whether a loop is running
(Django's ORM, `asyncio.run`) sees none. It is back when the greenlet has switched back. No
blocking call is made cooperative, unless `bridge.greenlet_patch` has changed it (G6).

A greenlet waits in one of two ways: `worker.py` says which.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections import deque
from collections.abc import Awaitable
from contextvars import Context, copy_context
from typing import Any, NoReturn

from greenlet import getcurrent

from bridge.errors import ClientDisconnected, Overloaded, RequestCancelled, WaitNotPossible
from bridge.loops.tasks import close_unawaited
from bridge.runners.base import (
    CANCEL_GRACE,
    Job,
    Runner,
    Stats,
    T,
    current_runner,
    set_current_runner,
)
from bridge.runners.greenlets.descriptors import DescriptorWatch
from bridge.runners.greenlets.garbage import collect_less_often
from bridge.runners.greenlets.worker import OVER, PAUSED, Worker
from bridge.runners.interop import switch_calls, watch_imports

#: Free greenlets that are kept; more than that end.
_MAX_FREE = 128


class GreenletRunner(Runner):
    """Runs up to `queue_limit` jobs at once, each in a greenlet on the loop's thread."""

    multithread = True  # two calls of one app can be under way at once
    can_wait = True

    def __init__(self, queue_limit: int = 1024) -> None:
        self.queue_limit = queue_limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._free: list[Worker] = []
        self._busy: dict[Job, Worker] = {}
        self._queue: deque[tuple[Job, Context]] = deque()
        self._drivers: set[asyncio.Task[None]] = set()
        self._served = 0
        self._rejected = 0
        self._stopped: asyncio.Event | None = None
        #: The descriptors for which greenlets wait.
        self.descriptors: DescriptorWatch

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve `loop`; greenlets are made with the first jobs."""
        if self._loop is not loop:
            self._free.clear()  # greenlets cannot leave their thread
            self._queue.clear()
            self.descriptors = DescriptorWatch(loop)
        self._loop = loop
        self._stopped = None
        watch_imports()
        switch_calls(loop)
        collect_less_often()
        set_current_runner(self)  # for this thread; `wait` finds the runner of its greenlet

    # --------------------------------------------------------- the loop's side

    def submit(self, job: Job) -> None:
        """Run `job` at the end of the loop's step; from its first wait on, in a task."""
        queue = self._queue
        if len(self._busy) + len(queue) >= self.queue_limit or self._stopped is not None:
            self._reject()
        if not queue:
            assert self._loop is not None
            self._loop.call_soon(self._run_queued)
        queue.append((job, copy_context()))

    def _run_queued(self) -> None:
        try:
            while self._queue:
                self._run_some()
        finally:
            if self._queue and self._loop is not None:
                self._loop.call_soon(self._run_queued)

    def _run_some(self) -> None:
        """Run jobs of the queue in one greenlet, until there is none left or one waits."""
        worker = self._free_worker()
        worker.takes_queue = True
        awaited = worker.enter(worker.switch)
        if awaited is OVER:
            self._release(worker)
            return
        assert worker.job is not None
        self._busy[worker.job] = worker
        self.resumed(worker, awaited)

    def resumed(self, worker: Worker, awaited: Any) -> None:
        """Have a task await what `worker` waits for, if it needs one."""
        if awaited is PAUSED:
            return
        if awaited is OVER:
            self._ended(worker)
            return
        assert self._loop is not None
        worker.driven = True
        driver = self._loop.create_task(self._drive(worker, awaited))
        self._drivers.add(driver)
        driver.add_done_callback(self._drivers.discard)

    def _free_worker(self) -> Worker:
        if self._free:
            return self._free.pop()
        assert self._loop is not None
        return Worker(self, self, self._loop)

    def take_next(self, worker: Worker) -> bool:
        """In `worker`: take the next job of the queue; False if there is none."""
        if not self._queue:
            return False
        if worker.job is not None:
            self._served += 1
        worker.job, worker.gr_context = self._queue.popleft()
        return True

    async def run(self, job: Job) -> None:
        """Run `job` as a part of the current task."""
        if len(self._busy) + len(self._queue) >= self.queue_limit or self._stopped is not None:
            self._reject()
        worker = self._free_worker()
        worker.job = job
        worker.gr_context = copy_context()
        worker.task = asyncio.current_task(self._loop)
        worker.driven = True
        awaited = worker.enter(worker.switch)
        if awaited is OVER:
            self._release(worker)
            return
        self._busy[job] = worker
        await self._drive(worker, awaited)

    def interrupt(self, job: Job, reason: ClientDisconnected) -> None:
        """Raise `reason` in the app when it waits (G4); a job that never waits is not busy."""
        worker = self._busy.get(job)
        if worker is not None:
            worker.break_off(reason)

    def _reject(self) -> NoReturn:
        """Raise `Overloaded`: the limit is reached, or the runner stops."""
        self._rejected += 1
        raise Overloaded(
            f"{len(self._busy) + len(self._queue)} requests are under way, which is "
            "the limit; raise queue_limit, or see what they wait for"
            if self._stopped is None
            else "the server is stopping"
        )

    def _resume(self, worker: Worker, value: Any = None, error: BaseException | None = None) -> Any:
        """Let the app go on; returns what it waits for next, or `OVER`."""
        worker.task = asyncio.current_task(self._loop)
        waits = worker.inner or worker
        if error is None:
            awaited = worker.enter(waits.switch, value)
        else:
            awaited = worker.enter(waits.throw, type(error), error, error.__traceback__)
        if awaited is OVER:
            self._ended(worker)
        return awaited

    def _ended(self, worker: Worker) -> None:
        """Note that a job that has waited is over."""
        assert worker.job is not None
        del self._busy[worker.job]
        worker.awaited = worker.interrupt = None
        worker.waits_refused = 0
        self._release(worker)
        if self._stopped is not None and not self._busy:
            self._stopped.set()

    async def _drive(self, worker: Worker, awaited: asyncio.Future[Any]) -> None:
        """In the request's task: await what the app waits for, until the job is over."""
        cancelled: asyncio.CancelledError | None = None
        while awaited is not OVER:
            value: Any = None
            error: BaseException | None = None
            try:
                value = await awaited
            except asyncio.CancelledError as cancellation:
                if not worker.heeds_interrupt() and asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    worker.interrupt = RequestCancelled("the request was cancelled")
                if isinstance(worker.interrupt, RequestCancelled):
                    cancelled = cancellation
                error = worker.interrupt or concurrent.futures.CancelledError()
            except BaseException as raised:
                error = raised
            awaited = self._resume(worker, value, error)
        if cancelled is not None:
            raise cancelled

    def _release(self, worker: Worker) -> None:
        self._served += 1
        worker.job = worker.task = None
        worker.takes_queue = worker.driven = False
        if len(self._free) < _MAX_FREE:
            self._free.append(worker)
        else:
            worker.enter(worker.switch)  # without a job it ends

    async def stop(self, timeout: float | None = None) -> bool:
        """Wait for what runs; then interrupt it, and it ends at its next wait."""
        self._stopped = asyncio.Event()
        if self._queue:
            await asyncio.sleep(0)  # what is queued runs in this step of the loop
        if self._busy:
            try:
                await asyncio.wait_for(self._stopped.wait(), timeout)
            except TimeoutError:
                for job in tuple(self._busy):
                    self.interrupt(job, RequestCancelled("the server is stopping"))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), CANCEL_GRACE)
                return False
        if current_runner() is self:
            set_current_runner(None)
        while self._free:
            worker = self._free.pop()
            worker.enter(worker.switch)
        self.descriptors.close()
        return True

    # --------------------------------------------------------- the app's side

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Switch to the loop until `awaitable` is done."""
        worker = getcurrent()
        if not isinstance(worker, Worker) or not worker.runs_app_code():
            close_unawaited(awaitable)
            raise WaitNotPossible(
                "await_() works in the app's own synchronous code, which the thread or greenlet "
                "runner runs, not in a coroutine, nor in a greenlet that the app made; use `await`"
            )
        return worker.wait(awaitable)

    def in_greenlet(self) -> bool:
        """Whether the caller is the app's own code, in a greenlet."""
        worker = getcurrent()
        return isinstance(worker, Worker) and worker.runs_app_code()

    def app_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop, if the caller is the app's own code."""
        return self._loop if self.in_greenlet() else None

    def stats(self) -> Stats:
        """Return the figures of this moment; what is queued runs within this step of the loop."""
        busy = len(self._busy)
        free, queued = len(self._free), len(self._queue)
        timed_out = self.timed_out or 0
        return Stats(busy, free, queued, 0.0, self._served, self._rejected, 0, timed_out)
