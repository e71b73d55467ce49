"""The threads of the thread runner: those that are awake take jobs, those that are not sleep.

    thread: popleft -> run -> ... -> empty: put itself among the idle, look once more, sleep
    loop:   append(job) -> is every thread among the idle? wake one

Either the loop sees the thread among the idle, or the thread sees the job: no wake-up is lost.

A busy thread can be let go: it keeps its job, and counts no more, so that another may start in its
place. When its job ends it comes back into the pool if that has a place, else it ends.

    loop:   kind = STREAM; still the same job? count it out : kind = None
    thread: job = None; kind set? come back, or end

Either the loop sees that the job has ended, or the thread sees that it was let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from bridge.errors import BridgeError, Overloaded
from bridge.log import logger
from bridge.runners.base import Job
from bridge.runners.interop import publish_loop
from bridge.runners.thread_end import close_connections
from bridge.runners.threads.thread_start import ThreadStarter

#: Why a thread was let go.
Kind: TypeAlias = Literal["stream", "written off"]
#: Its response streams, for long or while others wait (R1).
STREAM: Final = "stream"
#: Its job is stuck, and cannot be interrupted (R2).
WRITTEN_OFF: Final = "written off"


class PoolOwner(Protocol):
    """The runner, as its pool needs it."""

    def enter_thread(self) -> None:
        """In a new thread of the pool: jobs that it runs are the runner's."""

    def refuse(self, job: Job, error: BridgeError) -> None:
        """On the loop: answer `job`, which could not be begun, with `error`."""

    def serve_queue(self) -> None:
        """On the loop: a thread has ended, and jobs wait."""


class Figures(NamedTuple):
    """A pool's figures at one moment."""

    threads: int
    idle: int
    served: int
    #: Threads that were let go, and have not come back.
    streams: int
    written_off: int


class Worker:
    """One thread of the pool. Its lock is held while it sleeps; releasing it wakes the thread."""

    __slots__ = ("ident", "job", "kind", "served", "sleep")

    def __init__(self) -> None:
        self.sleep = threading.Lock()
        self.sleep.acquire()
        #: Jobs that it has run.
        self.served = 0
        #: The one that it runs now.
        self.job: Job | None = None
        #: Why it was let go; None: it counts.
        self.kind: Kind | None = None
        #: The thread's `threading.get_ident()`, once it runs.
        self.ident: int | None = None


class ThreadPool:
    """At most `limit` threads of this process that run what is in `jobs`, and those let go.

    A thread ends after `idle_timeout` seconds without a job, or when the pool is closed.
    """

    def __init__(self, owner: PoolOwner, limit: int, jobs: deque[Job], idle_timeout: float) -> None:
        self.pid = os.getpid()
        self.limit = limit
        #: Which loop is called; None before the first `open`.
        self.loop: asyncio.AbstractEventLoop | None = None
        #: All threads that count, and those of them that sleep.
        self.workers: set[Worker] = set()
        self.idle: list[Worker] = []
        #: Those that were let go, and count no more.
        self.beside: set[Worker] = set()
        #: Why no thread could be started at the last try, and what starts them.
        self.starter = ThreadStarter()
        self._owner = owner
        self._jobs = jobs
        self._idle_timeout = idle_timeout
        self._lock = threading.Lock()  # for `workers`, `beside`, `_retired`: they change rarely
        self._retired = 0  # jobs served by threads that have ended
        self._ended: asyncio.Event | None = None  # closed, and set when the last thread has ended
        self._context: Context
        #: Called with the `queued_at` of each job that begins.
        self._tell_wait: Callable[[float], object] | None = None

    # --------------------------------------------------------- on the loop's thread

    def open(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Start threads for `loop` when they are needed, each in a copy of `context`."""
        self.loop = loop
        self._context = context
        self._ended = None

    def call_with_waits(self, function: Callable[[float], object] | None) -> None:
        """Have threads that start from now on call `function` with the `queued_at` of each job."""
        self._tell_wait = function

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have every thread end when the queue is empty; `loop`, which runs now, is told."""
        self.loop = loop
        self._ended = asyncio.Event()
        with self._lock:  # these are not waited for: they may never end
            stuck = {worker for worker in self.beside if worker.kind == WRITTEN_OFF}
            self.beside -= stuck
        with contextlib.suppress(IndexError):  # threads also wake by themselves
            while True:
                self.idle.pop().sleep.release()

    async def join(self, timeout: float | None) -> bool:
        """After `close`: wait until all threads have ended, at most `timeout` s; whether so."""
        if (self.workers or self.beside) and self._ended is not None:
            try:
                await asyncio.wait_for(self._ended.wait(), timeout)
            except TimeoutError:
                return False
        return True

    def give_up(self) -> None:
        """Count no thread any more: they are waited for once."""
        with self._lock:
            self.workers.clear()
            self.beside.clear()

    def wake(self) -> bool:
        """Wake or start one thread; False if that cannot be."""
        try:
            self.idle.pop().sleep.release()
        except IndexError:
            if len(self.workers) >= self.limit or self.pid != os.getpid():
                return False
            return self._start_thread()
        return True

    def _start_thread(self) -> bool:
        """Start one thread more; False if the system has none left."""
        others, name, loop = len(self.workers), f"bridge-{self.size() + 1}", self.loop
        try:
            worker = Worker()
            main = partial(self._context.copy().run, self._work, worker)
        except MemoryError as error:
            self.starter.failed(error, others)
            return False
        with self._lock:
            if len(self.workers) >= self.limit:  # one that was let go has just come back
                return False
            self.workers.add(worker)
        if loop is not None and self.starter.start(main, name, loop, others):
            return True
        with self._lock:
            self.workers.discard(worker)
        return False

    # --------------------------------------------------------- from any thread

    def let_go(self, worker: Worker, job: Job, kind: Kind) -> bool:
        """Count `worker`, which runs `job`, no more; False if it does not run that any more.

        Another thread may start in its place; nothing is started here. One that was let go for
        another reason counts under `kind` from now on.
        """
        with self._lock:
            before, worker.kind = worker.kind, kind
            counted = worker in self.workers
            if worker.job is not job or not (counted or worker in self.beside):
                worker.kind = before
                return False
            self.workers.discard(worker)
            self.beside.add(worker)
        return True

    def busy(self) -> list[tuple[Worker, Job]]:
        """Return the busy threads that count, each with the job that it runs now."""
        with self._lock:
            pairs = [(worker, worker.job) for worker in self.workers]
        return [(worker, job) for worker, job in pairs if job is not None]

    def worker_of(self, ident: int) -> Worker | None:
        """Return the thread of the pool with this `threading.get_ident()`."""
        with self._lock:
            workers = (*self.workers, *self.beside)
        return next((worker for worker in workers if worker.ident == ident), None)

    def running(self) -> list[Job]:
        """Return the jobs that run now, also those in threads that were let go."""
        with self._lock:
            jobs = [worker.job for worker in (*self.workers, *self.beside)]
        return [job for job in jobs if job is not None]

    def size(self) -> int:
        """Return how many threads there are, with those that were let go."""
        return len(self.workers) + len(self.beside)

    def figures(self) -> Figures:
        """Return the figures of this moment."""
        with self._lock:
            threads, served = len(self.workers), self._retired
            served += sum(worker.served for worker in (*self.workers, *self.beside))
            kinds = [worker.kind for worker in self.beside]
        streams = kinds.count(STREAM)
        idle = min(len(self.idle), threads)
        return Figures(threads, idle, served, streams, len(kinds) - streams)

    # --------------------------------------------------------- in the pool's threads

    def _work(self, worker: Worker) -> None:
        """Live as a thread of the pool: however it ends, it is counted out."""
        self._owner.enter_thread()
        worker.ident = threading.get_ident()
        with self._lock:
            self.workers.add(worker)  # it may have started after all, after an error
        try:
            self._take_jobs(worker)
        except BaseException:
            logger.exception("a thread of the pool has ended; that is an error of the bridge")
        finally:
            close_connections()  # before another may start in its place
            self._retire(worker)

    def _take_jobs(self, worker: Worker) -> None:
        popleft, served_loop, modules = self._jobs.popleft, None, 0
        tell_wait = self._tell_wait
        while True:
            try:
                job = popleft()
            except IndexError:
                if self._sleep(worker):
                    continue
                return
            worker.job, context = job, None
            try:
                if served_loop is not self.loop or len(sys.modules) != modules:
                    served_loop, modules = self.loop, len(sys.modules)
                    if served_loop is not None and not publish_loop(served_loop):
                        modules = 0  # one is just being imported: look again
                if tell_wait is not None:
                    tell_wait(job.queued_at)
                context = copy_context()
                context.run(job)
            except BaseException as error:
                self._raised(job, error, begun=context is not None)
            worker.served += 1
            worker.job = None
            del job, context  # or they live until the next one
            if worker.kind is not None and not self._come_back(worker):
                return

    def _come_back(self, worker: Worker) -> bool:
        """Count a thread that was let go again, if there is a place; False: it ends."""
        with self._lock:
            worker.kind = None
            if worker in self.workers:  # its job had ended before it could be let go
                return True
            if worker in self.beside and len(self.workers) < self.limit:
                self.beside.discard(worker)
                self.workers.add(worker)
                return True
        return False

    def _raised(self, job: Job, error: BaseException, *, begun: bool) -> None:
        """Log that a job raised, which none should, or refuse one that could not be begun."""
        if not begun and self.loop is not None:
            refusal = Overloaded(f"the request could not be begun: {error!r}")
            try:
                self.loop.call_soon_threadsafe(self._owner.refuse, job, refusal)
            except RuntimeError:  # the loop has closed: nobody waits
                pass
        logger.error(
            "a job of the thread runner %s; that is an error of the bridge",
            "raised" if begun else "could not be begun",
            exc_info=error,
        )

    def _sleep(self, worker: Worker) -> bool:
        """Sleep until there is work; False: there was none for long, and the thread ends."""
        if self._ended is None:
            self.idle.append(worker)
            news = self._jobs or self._ended is not None  # what the loop did before it saw us idle
            if news and self._leave_idle(worker):
                return True
            if worker.sleep.acquire(timeout=self._idle_timeout):
                return True
            if not self._leave_idle(worker):  # woken in this very moment
                worker.sleep.acquire()
                return True
        return False

    def _leave_idle(self, worker: Worker) -> bool:
        """Take `worker` off the idle; False: another thread has, and wakes it."""
        try:
            self.idle.remove(worker)
        except ValueError:
            return False
        return True

    def _retire(self, worker: Worker) -> None:
        """Count the thread no more, as it ends; what waits does not wait for it."""
        with self._lock:
            self.workers.discard(worker)
            self.beside.discard(worker)
            self._retired += worker.served
            ended = self._ended if not self.size() else None
        if self.loop is None or (ended is None and not self._jobs):
            return
        tell = self._owner.serve_queue if ended is None else ended.set
        try:
            self.loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop has closed without waiting
            pass
