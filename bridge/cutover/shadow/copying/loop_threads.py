"""Threads in which async apps have blocking code run for copies, apart from those of clients (M10).

An app that hangs in ``asyncio.to_thread`` holds a thread for ever, also when nobody waits for it
any more. The loop has few threads for that, and those of anyio, in which Starlette and FastAPI run
synchronous views, are bounded, too: copies that hang would take them from clients, one by one. So

- what a copy hands to the loop's own threads (``run_in_executor(None, ...)``) runs in others here,
  as many as there may be copies at once; and what asgiref runs in one thread for all, in one thread
  for each copy. `divert` has the loop ask `IN_COPY` for that;
- a copy is there until all its jobs have ended (`OfCopy.is_open`), whoever's threads run them;
- the threads of anyio cannot be told apart. Copies take half of its tokens at most
  (`most_at_once`), and one that is in such a thread is not cancelled before that ends
  (`is_in_thread`): anyio would leave the thread behind, and count it no more.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Final, Protocol, TypeAlias

from bridge.loops.waiters import NativeThread

#: Seconds that a thread waits for the next job.
_IDLE: Final = 5.0
_Job: TypeAlias = "tuple[Future[Any], Callable[[], Any]]"


class _Executor(Protocol):
    """What a loop needs of an executor."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run a job."""


class CopyThreads:
    """At most `most` threads, which nobody waits for at the end of the process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._jobs = 0
        self._threads = 0
        self._closed = False

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run a job, as an executor does."""
        future: Future[Any] = Future()
        with self._lock:
            self._jobs += 1
            starts = self._threads < min(self._jobs, self._most)
            self._threads += starts
            self._waiting.put((future, partial(function, *args)))
        if starts:
            try:
                NativeThread(self._run, "bridge-shadow-copy").start()
            except BaseException:  # the system has none left; another one takes the job
                with self._lock:
                    self._threads -= 1
                raise
        return future

    def close(self) -> None:
        """Have threads that have nothing to do end now."""
        self._closed = True
        self._waiting.put(None)

    def _run(self) -> None:
        while True:
            try:
                job = self._waiting.get(timeout=0 if self._closed else _IDLE)
            except Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._threads -= 1
                        return
                continue
            if job is not None:
                _do(*job)
                del job  # what it holds ends now
                with self._lock:
                    self._jobs -= 1


def _do(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
        del future  # the error knows this frame
    else:
        future.set_result(result)


class OfCopy:
    """The jobs of one copy, and their threads. `task`: the call of the app."""

    task: asyncio.Task[None] | None = None

    def __init__(self, threads: CopyThreads) -> None:
        self._threads = threads
        self._lane: CopyThreads | None = None
        self._lock = Lock()
        self._jobs = 0

    @property
    def is_open(self) -> bool:
        """Whether the app still works on the copy."""
        return self._jobs > 0 or (self.task is not None and not self.task.done())

    def instead_of(self, executor: _Executor | None) -> _Executor:
        """Return what runs a job that is meant for this executor; None: for the loop's own."""
        if executor is None:
            executor = self._threads
        elif _is_of_asgiref(executor):
            if self._lane is None:
                self._lane = CopyThreads(1)
            executor = self._lane
        return _Counted(executor, self._count)

    def close(self) -> None:
        """End the copy's own thread when it has nothing to do."""
        if self._lane is not None:
            self._lane.close()

    def _count(self, jobs: int) -> None:
        with self._lock:
            self._jobs += jobs


class _Counted:
    """An executor whose jobs are counted until they end; those that never begin are not."""

    def __init__(self, executor: _Executor, count: Callable[[int], None]) -> None:
        self._executor = executor
        self._count = count

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future = self._executor.submit(function, *args)
        self._count(1)
        future.add_done_callback(lambda _: self._count(-1))
        return future


def _is_of_asgiref(executor: _Executor) -> bool:
    """Whether these are threads for "thread-sensitive" calls: one for all, or for one request.

    asgiref joins that of a request, in the loop, when the request is cancelled.
    """
    sync = sys.modules.get("asgiref.sync")
    if sync is None or type(executor) is not ThreadPoolExecutor:
        return False
    known = sync.SyncToAsync
    if executor is known.single_thread_executor:
        return True
    return any(each is executor for each in known.context_to_thread_executor.values())


# ------------------------------------------------------------- the loop

#: The copy in whose name code runs; tasks that it starts inherit it.
IN_COPY: ContextVar[OfCopy | None] = ContextVar("bridge_in_copy", default=None)


class _Diverted:
    """A loop's `run_in_executor`, for which jobs of copies go elsewhere."""

    def __init__(self, run: Callable[..., asyncio.Future[Any]]) -> None:
        self._run = run

    def __call__(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        copy = IN_COPY.get()
        if copy is not None:
            executor = copy.instead_of(executor)
        return self._run(executor, func, *args)


def divert(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop run jobs of copies in their own threads; those of others as before."""
    if not isinstance(loop.run_in_executor, _Diverted):
        changed: Any = loop
        with suppress(AttributeError):  # a loop that cannot be changed
            changed.run_in_executor = _Diverted(loop.run_in_executor)


# ------------------------------------------------------------- anyio


def find_limiter() -> Any:
    """Return what counts the threads of anyio in this loop; None: it is not used. In a task."""
    to_thread = sys.modules.get("anyio.to_thread")
    return None if to_thread is None else to_thread.current_default_thread_limiter()


def most_at_once(most: int, limiter: Any) -> int:
    """Return how many copies there may be: as many as is said, and half of anyio's threads."""
    return most if limiter is None else int(min(most, limiter.total_tokens / 2))


def is_in_thread(task: asyncio.Task[Any], copy: OfCopy, limiter: Any) -> bool:
    """Whether a thread of anyio works for this task, or for one that it has started.

    Python 3.11 does not say who has started a task, so there only the first one is seen.
    """
    if limiter is None:
        return False
    for each in limiter.statistics().borrowers:
        if each is task:
            return True
        context = getattr(each, "get_context", None)
        if context is not None and context().get(IN_COPY) is copy:
            return True
    return False
