"""The thread runner: a pool of threads of its own, woken only when that is needed (W50-W53).

Waking a thread costs more than running a small app. So the loop puts jobs in a deque, and wakes a
thread only if every one of them sleeps: a thread that is awake takes job after job until there are
none (`pool.py`). That alone would let a job wait behind one that blocks, so while jobs wait, one
timer of the loop looks at the queue every millisecond, and wakes more threads if it does not move
(`queue_watch.py`). Threads are started up to the bound when none sleeps, and end after some idle
seconds.

    submit: append(job) -> all asleep? wake one when the loop has read all there is : arm the timer

If the system gives no more threads, jobs wait for those that there are, and are refused if there
are none; each look at the queue tries again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from bridge.errors import (
    BridgeError,
    ClientDisconnected,
    Overloaded,
    SelfRequest,
    WaitNotPossible,
    pluralize,
)
from bridge.log import logger
from bridge.loops.tasks import as_coroutine, close_unawaited
from bridge.runners.base import (
    CANCEL_GRACE,
    Job,
    Runner,
    Stats,
    T,
    current_code,
    current_runner,
    occupied_runners,
    set_current_runner,
)
from bridge.runners.interop import watch_imports
from bridge.runners.threads.pool import WRITTEN_OFF, ThreadPool
from bridge.runners.threads.queue_watch import QueueWatch
from bridge.runners.threads.stream_watch import StreamWatch
from bridge.runners.threads.thread_start import check_threads


class ThreadRunner(Runner):
    """A pool of at most `threads` threads with at most `queue_limit` jobs waiting.

    `queue_timeout`: seconds that a job may wait before it is refused; 0: any time.
    `stream_after`: seconds after which the thread of a response that streams leaves the pool, and
    `stream_limit`: how many may be beside it; 0: none.
    `idle_timeout`: seconds after which a thread without work ends.
    """

    multithread = True
    threaded = True
    can_wait = True
    queue: deque[Job]

    def __init__(
        self,
        threads: int = 8,
        queue_limit: int = 1024,
        queue_timeout: float = 0.0,
        *,
        stream_after: float = 1.0,
        stream_limit: int = 256,
        idle_timeout: float = 10.0,
    ) -> None:
        self.threads = threads
        self.queue_limit = queue_limit
        self.multithread = threads > 1
        self._queue_timeout = queue_timeout
        self._of_streams = stream_after, stream_limit
        self._idle_timeout = idle_timeout
        self._rejected = 0
        #: Called with the `queued_at` of each job that begins.
        self._tell_wait: Callable[[float], object] | None = None
        self._reset()

    def _reset(self) -> None:
        #: `queue` under a name that has no default in a base class: that is slow to read.
        self._jobs = self.queue = deque[Job]()
        self._pool = pool = ThreadPool(self, self.threads, self._jobs, self._idle_timeout)
        pool.call_with_waits(self._tell_wait)
        #: The pool's own, at hand for each job.
        self._idle, self._workers = pool.idle, pool.workers
        self._streams: StreamWatch
        #: Watches the queue for the loop that is served; None: jobs are not taken (any more).
        self._watch: QueueWatch | None = None
        #: The loop will call `serve_queue`.
        self._wake_scheduled = False
        #: What jobs wait for on the loop.
        self._waits: set[concurrent.futures.Future[object]] = set()

    # --------------------------------------------------------- on the loop's thread

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve `loop`; threads start with the first jobs, in a copy of this context.

        Raises `AppLoadError` if threads are greenlets.
        """
        check_threads(loop)
        if self._pool.pid != os.getpid():  # the parent's threads did not come with the fork
            self._reset()
        watch_imports()
        if self._watch is None or self._pool.loop is not loop:
            if self._watch is not None:
                self._watch.stop()
            self._streams = StreamWatch(self._pool, loop, *self._of_streams)
            self._watch = QueueWatch(self, self._streams, self.queue, loop, self._queue_timeout)
            self._wake_scheduled = False
        context = copy_context()
        context.run(occupied_runners.set, (*occupied_runners.get(), self))
        self._pool.open(loop, context)

    def submit(self, job: Job) -> None:
        """Queue `job`, and make sure that a thread takes it."""
        watch, jobs = self._watch, self._jobs
        if watch is None:
            raise Overloaded("the thread runner has not been started, or has been stopped")
        idle, workers, queued = self._idle, self._workers, len(jobs)
        if not idle and (len(workers) >= self.threads or self._pool.starter.shortage is not None):
            self._admit(queued)
        elif queued >= self.queue_limit:  # so many in one turn of the loop
            self._check_queue(queued - len(idle) - self.threads + len(workers))
        loop = watch.loop
        job.queued_at = loop.time()
        jobs.append(job)
        if len(idle) == len(workers):
            if not self._wake_scheduled:
                self._wake_scheduled = True
                loop.call_soon(self._schedule_wake)
        else:
            watch.start()

    def _admit(self, queued: int) -> None:
        """Every thread is awake: refuse a job that has no place, or that would wait for itself."""
        self._check_queue(queued)
        if self in occupied_runners.get() and not self._streams.make_room(1, late=False):
            self._rejected += 1
            raise SelfRequest(
                f"the app waits for a request to itself, and its threads ({self.threads}) are all "
                "busy: one of them would have to answer it; raise `threads`"
            )

    def _check_queue(self, waiting: int) -> None:
        """Refuse a job if as many wait, beside those for which there is a thread, as may."""
        if waiting >= self.queue_limit:
            self._rejected += 1
            raise Overloaded(
                f"{pluralize(waiting, 'request')} waiting for a thread, which is the limit; "
                "raise queue_limit or threads, or see what they wait for"
            )

    def _schedule_wake(self) -> None:
        """At the end of the loop's step: wake after the next, when what this one wrote has left.

        A thread that is woken before that only waits for the interpreter lock.
        """
        if self._watch is not None:
            self._watch.loop.call_soon(self.serve_queue)

    def serve_queue(self) -> None:
        """Wake a thread for jobs that have come while all sleep, or that an ended one has left."""
        self._wake_scheduled = False
        if not self.queue or self._watch is None:
            return
        # A thread that is woken takes the first; if none can be, that one waits too.
        still_waiting = len(self.queue) > self.wake()
        if still_waiting and not self.nobody_can_run():
            self._watch.start()

    def wake(self) -> bool:
        """Wake or start one thread; False if that cannot be."""
        if not self._streams.watching:
            self._streams.start()
        return self._pool.wake()

    def nobody_can_run(self) -> bool:
        """Whether there is no thread and none can be started; then all that wait are refused."""
        shortage = self._pool.starter.shortage
        if self._pool.workers or shortage is None:
            return False
        self._refuse_all(Overloaded(f"no thread can be started: {shortage}"))
        return True

    def running(self) -> list[Job]:
        """Return the jobs that run now in the pool, one for each busy thread that counts."""
        return [job for _, job in self._pool.busy()]

    def withdraw(self, job: Job) -> bool:
        """Take `job` out of the queue, if it is still there."""
        try:
            self.queue.remove(job)
        except (ValueError, IndexError):  # a thread has it, or takes another just now
            return False
        return True

    def _refuse_all(self, error: BridgeError) -> None:
        while True:
            try:
                job = self.queue.popleft()
            except IndexError:  # empty: threads take from it, too
                return
            self.refuse(job, error)

    def refuse(self, job: Job, error: BridgeError) -> None:
        """Answer `job`, which is out of the queue, with `error`."""
        self._rejected += 1
        try:
            job.refuse(error)
        except ClientDisconnected:
            pass
        except Exception:
            logger.exception("could not refuse a request")

    def write_off(self, thread: int, runs: Callable[[], bool]) -> None:
        """Count the thread no more whose job is stuck (R2); another starts in its place."""
        worker = self._pool.worker_of(thread)
        job = None if worker is None else worker.job
        if worker is None or job is None or not runs():  # then the job is another, or none
            return
        if self._pool.let_go(worker, job, WRITTEN_OFF):
            self.serve_queue()

    async def stop(self, timeout: float | None = None) -> bool:
        """Refuse what waits, then wait for the threads to end."""
        pool = self._pool
        if pool.loop is None or pool.pid != os.getpid():
            return True
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self._refuse_all(Overloaded("the server is stopping"))
        pool.close(asyncio.get_running_loop())  # not always the loop that was served
        if await pool.join(timeout):
            return True
        waits = tuple(self._waits)
        for waiting in waits:
            waiting.cancel()
        if waits:
            await pool.join(CANCEL_GRACE)
        pool.give_up()
        return False

    def call_with_waits(self, function: Callable[[float], object]) -> None:
        """Have `function` called with the `queued_at` of each job that begins, in its thread."""
        self._tell_wait = function
        self._pool.call_with_waits(function)

    # --------------------------------------------------------- in the pool's threads

    def enter_thread(self) -> None:
        """Make this thread's jobs this runner's."""
        set_current_runner(self)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Run `awaitable` on the loop while this thread waits."""
        loop = self._pool.loop
        if current_runner() is not self or loop is None or loop.is_closed():
            close_unawaited(awaitable)
            raise WaitNotPossible("wait() works in a thread of the pool, while its loop runs")
        coroutine = _shielded(awaitable) if asyncio.isfuture(awaitable) else as_coroutine(awaitable)
        waiting = asyncio.run_coroutine_threadsafe(coroutine, loop)
        self._waits.add(waiting)
        code = current_code() if self.timed_out is not None else None
        try:
            if code is not None:
                return code.wait(waiting.result, waiting.cancel)
            return waiting.result()
        finally:
            self._waits.discard(waiting)
            del waiting  # else what it raised holds itself, by way of this frame

    def app_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop, in a thread of the pool."""
        return self._pool.loop

    # --------------------------------------------------------- from anywhere

    def stats(self) -> Stats:
        """Return the figures of this moment."""
        threads, idle, served, streams, written_off = self._pool.figures()
        queued, loop, oldest = len(self.queue), self._pool.loop, 0.0
        try:
            if queued and loop is not None:
                oldest = max(0.0, loop.time() - self.queue[0].queued_at)
        except IndexError:  # just taken
            pass
        counts = (streams, self.timed_out or 0, written_off)
        return Stats(threads - idle, idle, queued, oldest, served, self._rejected, *counts)


async def _shielded(future: asyncio.Future[T]) -> T:
    """Await a future of the app's; when the pool gives up waiting, others may still want it."""
    return await asyncio.shield(future)
