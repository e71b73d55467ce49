"""Functions that run in a thread while the greenlet that called them waits (G6).

For what cannot be made cooperative: names that the system looks up, C code that blocks, files. A
few threads serve all greenlets of the process. They are started when they are needed, and end when
they are not; none of them keeps the process from ending.

If the wait is interrupted, what runs goes on, and nobody gets its result; what has not begun yet
does not begin.
"""

from __future__ import annotations

from _queue import Empty, SimpleQueue
from _thread import allocate_lock
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final, TypeVar

from bridge.loops.by_process import ByProcess
from bridge.loops.waiters import NativeThread
from bridge.runners.greenlets.waiting import GreenletWaiter
from bridge.runners.greenlets.worker import Worker
from bridge.runners.thread_end import close_connections

T = TypeVar("T")

#: The most threads in a process; further calls wait for one.
LIMIT: Final = 32
#: Seconds after which a thread without a call ends.
IDLE_TIMEOUT: Final = 10.0


def run_in_thread(worker: Worker, function: Callable[..., T], *args: object, **kwargs: object) -> T:
    """In `worker`: return or raise what ``function(*args, **kwargs)`` does, in a thread.

    It runs in a copy of the caller's context. Raises what interrupts the job, too, and RuntimeError
    if the system has no thread at all.
    """
    call = _Call(worker, function, args, kwargs)
    _pool.get().put(call)
    try:
        call.waiter.wait()
    except BaseException:
        call.given_up = True
        raise
    if call.error is None:
        return call.result  # type: ignore[no-any-return]
    try:
        raise call.error
    finally:
        call.error = None  # whose traceback has this frame: no cycle is left behind


class _Call:
    """One call, and what has become of it."""

    __slots__ = ("args", "context", "error", "function", "given_up", "kwargs", "result", "waiter")

    def __init__(self, worker: Worker, function: Any, args: Any, kwargs: Any) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.context = copy_context()
        self.waiter = GreenletWaiter(worker)
        self.result: Any = None
        self.error: BaseException | None = None
        self.given_up = False

    def run(self) -> None:
        """In a thread: call the function, and wake the greenlet."""
        if self.given_up:
            return
        try:
            self.result = self.context.run(self.function, *self.args, **self.kwargs)
        except BaseException as error:
            self.error = error
        self.waiter.wake()


class _Pool:
    """At most `LIMIT` threads that take calls from a queue."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        #: Guards the figures. Nobody may wait while it is held: not even for a thread to start.
        self._lock = allocate_lock()
        self._threads = self._idle = self._queued = self._number = 0
        self._idle_timeout = IDLE_TIMEOUT

    def put(self, call: _Call) -> None:
        """Have a thread run `call`, a new one if none is idle."""
        with self._lock:
            self._queued += 1
            more = self._queued > self._idle and self._threads < LIMIT
            if more:
                self._threads += 1
                self._number += 1
        if more:
            try:
                NativeThread(self._run, f"bridge-in-thread-{self._number}").start()
            except (RuntimeError, MemoryError):
                with self._lock:
                    self._threads -= 1
                    if not self._threads:
                        self._queued -= 1
                        raise
        self._calls.put(call)

    def _run(self) -> None:
        """In a thread: run calls, until none has come for a while."""
        while self._run_next():
            pass
        close_connections()

    def _run_next(self) -> bool:
        """Run the next call; False if none has come for a while, and the thread is over."""
        with self._lock:
            self._idle += 1
        call: _Call | None = None
        try:
            call = self._calls.get(timeout=self._idle_timeout)
        except Empty:
            pass
        with self._lock:
            self._idle -= 1
            if call is not None:
                self._queued -= 1
            elif not self._queued:
                self._threads -= 1
                return False
        if call is not None:
            call.run()
        return True


_pool = ByProcess(_Pool)
