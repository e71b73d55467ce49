"""The thread runner: a pool of threads of its own, woken only when that is needed (W50-W53).

Waking a thread costs more than running a small app. So the loop puts jobs in a deque, and wakes a
thread only if every one of them sleeps: a thread that is awake takes job after job until there are
none. That alone would let a job wait behind one that blocks, so while jobs wait, one timer of the
loop looks at the queue every millisecond, and wakes more threads if it does not move
(`queue_watch.py`). Threads are started up to the bound when none sleeps, and end after some idle
seconds.

    submit: append(job) -> all asleep? wake one when the loop has read all there is : arm the timer
    worker: popleft -> run -> ... -> empty: put itself among the idle, look once more, sleep

Either the loop sees the worker among the idle, or the worker sees the job: no wake-up is lost.

Where the system gives no more threads, jobs wait for those that there are, and are refused if
there are none; each look at the queue tries again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable
from contextvars import copy_context
from functools import partial

from bridge.errors import (
    BridgeError,
    ClientDisconnected,
    Overloaded,
    SelfRequest,
    WaitNotPossible,
    counted,
)
from bridge.loops.tasks import as_coroutine, close_unawaited
from bridge.runners.base import CANCEL_GRACE, Job, Runner, Stats, T, current, occupied_runners
from bridge.runners.lending import publish_loop, watch_imports
from bridge.runners.queue_watch import QueueWatch
from bridge.runners.threads import Starter, check_threads

logger = logging.getLogger("bridge.error")


class _Worker:
    """One thread of the pool. Its lock is held while it sleeps; releasing it wakes the thread."""

    __slots__ = ("job", "served", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.served = 0
        self.job: Job | None = None  # what it runs now


class ThreadRunner(Runner):
    """A pool of at most `threads` threads with at most `queue_limit` jobs waiting.

    `queue_timeout`: seconds that a job may wait before it is refused; 0: any time.
    `idle_timeout`: seconds after which a thread without work ends.
    """

    multithread = True
    threaded = True
    can_wait = True

    def __init__(
        self,
        threads: int = 8,
        queue_limit: int = 1024,
        queue_timeout: float = 0.0,
        *,
        idle_timeout: float = 10.0,
    ) -> None:
        self.threads = threads
        self.queue_limit = queue_limit
        self.multithread = threads > 1
        self._idle_timeout = idle_timeout
        self._queue_timeout = queue_timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._rejected = 0
        self._reset()

    def _reset(self) -> None:
        self._jobs: deque[Job] = deque()
        self.queue = self._jobs
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._retired = 0  # jobs served by threads that have ended
        self._lock = threading.Lock()  # for _workers and _retired, which change rarely
        self._waits: set[concurrent.futures.Future[object]] = set()
        self._watch: QueueWatch | None = None
        self._stopping: asyncio.Event | None = None
        self._waking = False  # whether `_wake_first` is to be called
        self._starter = Starter()

    # --------------------------------------------------------- on the loop's thread

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve `loop`; threads start with the first jobs, in a copy of this context.

        Raises `AppLoadError` where threads are greenlets.
        """
        check_threads(loop)
        if self._pid != os.getpid():  # new, or the parent's threads did not come with the fork
            self._pid = os.getpid()
            self._reset()
        self._stopping = None
        watch_imports()
        if self._loop is not loop or self._watch is None:
            self._loop = loop
            self._watch = QueueWatch(self, self._jobs, loop, self._queue_timeout)
            self._waking = False
        self._context = copy_context()
        self._context.run(occupied_runners.set, (*occupied_runners.get(), self))

    def submit(self, job: Job) -> None:
        """Queue `job` and see to it that a thread takes it."""
        jobs = self._jobs
        if not self._idle and (
            len(self._workers) >= self.threads or self._starter.shortage is not None
        ):
            self._admit(len(jobs))
        loop, watch = self._loop, self._watch
        if self._stopping is not None or loop is None or watch is None:
            raise Overloaded("the thread runner is not running")
        job.since = loop.time()
        jobs.append(job)
        if len(self._idle) == len(self._workers):
            if not self._waking:
                self._waking = True
                loop.call_soon(self._wake_soon)
        else:
            watch.begin()

    def _wake_soon(self) -> None:
        """At the end of the loop's step: wake after the next, when what this one wrote has left.

        A thread that is woken before that only waits for the interpreter lock.
        """
        if self._loop is not None:
            self._loop.call_soon(self._wake_first)

    def _wake_first(self) -> None:
        """Every thread sleeps, and jobs have come."""
        self._waking = False
        if not self._jobs or self._watch is None:
            return
        # Whoever is woken takes the first; where nobody can be, that waits too.
        still_waiting = len(self._jobs) > self.wake()
        if still_waiting and not self.nobody_can_run():
            self._watch.begin()

    def _admit(self, queued: int) -> None:
        """Every thread is awake: refuse a job that has no place, or that would wait for itself."""
        if queued >= self.queue_limit:
            self._rejected += 1
            raise Overloaded(
                f"{counted(queued, 'request')} waiting for a thread: that is the queue's limit"
            )
        if self in occupied_runners.get():
            self._rejected += 1
            raise SelfRequest(
                f"the app waits for a request to itself, and its threads ({self.threads}) are all "
                "busy: one of them would have to answer it; raise `threads`"
            )

    def wake(self) -> bool:
        """Wake or start one thread; False if that cannot be."""
        try:
            self._idle.pop().wake.release()
        except IndexError:
            if len(self._workers) >= self.threads or self._pid != os.getpid():
                return False
            return self._start_thread()
        return True

    def _start_thread(self) -> bool:
        """Start one thread more; False if the system has none left."""
        others, loop = len(self._workers), self._loop
        try:
            worker = _Worker()
            main = partial(self._context.copy().run, self._work, worker)
        except MemoryError as error:
            self._starter.failed(error, others)
            return False
        with self._lock:
            self._workers.add(worker)
        if loop is not None and self._starter.start(main, f"bridge-{others + 1}", loop, others):
            return True
        with self._lock:
            self._workers.discard(worker)
        return False

    def nobody_can_run(self) -> bool:
        """Whether there is no thread and none can be started; then all that wait are refused."""
        if self._workers or self._starter.shortage is None:
            return False
        self._refuse_all(Overloaded(f"no thread can be started: {self._starter.shortage!r}"))
        return True

    def running(self) -> list[Job]:
        """The jobs that run now, one for each busy thread."""
        with self._lock:
            return [worker.job for worker in self._workers if worker.job is not None]

    def withdraw(self, job: Job) -> bool:
        """Take `job` out of the queue, where it still is."""
        try:
            self._jobs.remove(job)
        except (ValueError, IndexError):  # a thread has it, or takes another just now
            return False
        return True

    def _refuse_all(self, error: BridgeError) -> None:
        while self._jobs:
            try:
                job = self._jobs.popleft()
            except IndexError:  # a thread came free just now
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

    async def stop(self, timeout: float | None = None) -> bool:
        """Refuse what waits, then wait for the threads to end."""
        if self._loop is None or self._pid != os.getpid():
            return True
        self._loop = asyncio.get_running_loop()  # not always the one that was served
        self._stopping = asyncio.Event()
        self._refuse_all(Overloaded("the server is stopping"))
        if self._watch is not None:
            self._watch.stop()
            self._watch = None  # of the loop that was served
        while self._idle:
            try:
                self._idle.pop().wake.release()
            except IndexError:  # it has just woken by itself
                break
        if self._workers:
            try:
                await asyncio.wait_for(self._stopping.wait(), timeout)
            except TimeoutError:
                await self._cancel_waits()
                with self._lock:
                    self._workers.clear()  # given up: nobody waits for them a second time
                return False
        return True

    async def _cancel_waits(self) -> None:
        """End the jobs that wait for the loop; they have a moment to clean up."""
        waits = tuple(self._waits)
        for waiting in waits:
            waiting.cancel()
        if waits and self._stopping is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), CANCEL_GRACE)

    # --------------------------------------------------------- in the pool's threads

    def _work(self, worker: _Worker) -> None:
        """The life of a thread: however it ends, it is counted out."""
        current.runner = self
        with self._lock:
            self._workers.add(worker)  # also where whoever started it met an error after that
        try:
            self._take_jobs(worker)
        except BaseException:
            logger.exception("a thread of the pool has ended; that is an error of the bridge")
        finally:
            self._retire(worker)

    def _take_jobs(self, worker: _Worker) -> None:
        popleft, served_loop, modules = self._jobs.popleft, None, 0
        while True:
            try:
                job = popleft()
            except IndexError:
                if self._sleep(worker):
                    continue
                return
            worker.job, context = job, None
            try:
                if served_loop is not self._loop or len(sys.modules) != modules:
                    served_loop, modules = self._loop, len(sys.modules)
                    if served_loop is not None and not publish_loop(served_loop):
                        modules = 0  # one is just being imported: look again
                context = copy_context()
                context.run(job)
            except BaseException as error:
                self._raised(job, error, begun=context is not None)
            worker.served += 1
            worker.job = None
            del job, context  # or they live until the next one

    def _raised(self, job: Job, error: BaseException, *, begun: bool) -> None:
        """A job raised, which none should, or could not be begun: then it is refused."""
        if not begun and self._loop is not None:
            refusal = Overloaded(f"the request could not be begun: {error!r}")
            try:
                self._loop.call_soon_threadsafe(self.refuse, job, refusal)
            except RuntimeError:  # the loop has closed: nobody waits
                pass
        logger.error(
            "a job of the thread runner %s; that is an error of the bridge",
            "raised" if begun else "could not be begun",
            exc_info=error,
        )

    def _sleep(self, worker: _Worker) -> bool:
        """Sleep until there is work; False: there was none for long, and the thread ends."""
        if self._stopping is None:
            self._idle.append(worker)
            if self._jobs and self._withdraw(worker):
                return True
            if worker.wake.acquire(timeout=self._idle_timeout):
                return True
            if not self._withdraw(worker):  # woken in this very moment
                worker.wake.acquire()
                return True
        return False

    def _retire(self, worker: _Worker) -> None:
        """The thread ends: it is not counted any more, and what waits does not wait for it."""
        with self._lock:
            self._workers.discard(worker)
            self._retired += worker.served
            stopping = self._stopping if not self._workers else None
        if self._loop is None or (stopping is None and not self._jobs):
            return
        try:
            self._loop.call_soon_threadsafe(self._wake_first if stopping is None else stopping.set)
        except RuntimeError:  # the loop has closed without waiting
            pass

    def _withdraw(self, worker: _Worker) -> bool:
        """Take `worker` off the idle; False: somebody else has, and wakes it."""
        try:
            self._idle.remove(worker)
        except ValueError:
            return False
        return True

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Run `awaitable` on the loop while this thread waits."""
        loop = self._loop
        if current.runner is not self or loop is None or loop.is_closed():
            close_unawaited(awaitable)
            raise WaitNotPossible("wait() works in a thread of the pool, while its loop runs")
        coroutine = _shielded(awaitable) if asyncio.isfuture(awaitable) else as_coroutine(awaitable)
        waiting = asyncio.run_coroutine_threadsafe(coroutine, loop)
        self._waits.add(waiting)
        try:
            return waiting.result()
        finally:
            self._waits.discard(waiting)
            del waiting  # else what it raised holds itself, by way of this frame

    def lends(self) -> asyncio.AbstractEventLoop | None:
        """The loop, in a thread of the pool."""
        return self._loop

    # --------------------------------------------------------- from anywhere

    def stats(self) -> Stats:
        """The figures of this moment."""
        with self._lock:
            total, served = len(self._workers), self._retired
            served += sum(worker.served for worker in self._workers)
        idle, queued = min(len(self._idle), total), len(self._jobs)
        oldest = 0.0
        try:
            if queued and self._loop is not None:
                oldest = max(0.0, self._loop.time() - self._jobs[0].since)
        except IndexError:  # just taken
            pass
        return Stats(total - idle, idle, queued, oldest, served, self._rejected)


async def _shielded(future: asyncio.Future[T]) -> T:
    """Await a future of the app's; when the pool gives up waiting, others may still want it."""
    return await asyncio.shield(future)
