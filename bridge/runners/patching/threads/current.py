"""`threading.current_thread` in greenlets, and `start` and `join` (G6).

Each greenlet has a `threading.Thread` of its own, made when something asks for it. It stands for
the greenlet: it has a name for the log, a number, and is alive as long as that. `threading` does
not list it: `enumerate` and `main_thread` tell of threads only.

A greenlet that starts a thread does not switch until that has begun, which takes a moment:
libraries start threads while they hold locks that code of the event loop needs, too
(`Executor.submit`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from itertools import count
from typing import Any, Final, NoReturn
from weakref import ref

from bridge.runners.greenlets.worker import Worker, current_worker
from bridge.runners.patching.threads.idents import acting_greenlet
from bridge.runners.patching.threads.waiters import WaitingGreenlets

_current_thread: Final = threading.current_thread
_start: Final = threading.Thread.start
_join: Final = threading.Thread.join
_numbers: Final = count(1)


class GreenletThread(threading.Thread):
    """What `threading.current_thread` returns in one greenlet."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name=f"bridge-greenlet-{next(_numbers)}", daemon=True)
        private: Any = self
        private._ident = worker.ident
        private._native_id = threading.get_native_id()
        private._started.set()
        self._worker = ref(worker)
        dangling: Any = vars(threading).get("_dangling", set())
        dangling.discard(self)

    def is_alive(self) -> bool:
        """Whether the greenlet has not ended."""
        worker = self._worker()
        return worker is not None and not worker.dead

    def start(self) -> NoReturn:
        """Raise RuntimeError, as for each thread that has begun."""
        raise RuntimeError("threads can only be started once")

    def join(self, timeout: float | None = None) -> None:
        """Raise RuntimeError: a greenlet takes one request after the other, and has no end."""
        raise RuntimeError(f"cannot join {self.name}: it is a greenlet that serves requests")


@wraps(_current_thread)
def current_thread() -> threading.Thread:
    """Return what stands for the calling thread or greenlet."""
    worker = acting_greenlet()
    if worker is None:
        return _current_thread()
    thread: threading.Thread | None = worker.thread
    if thread is None:
        thread = worker.thread = GreenletThread(worker)
    return thread


@wraps(_start)
def _start_without_switch(self: threading.Thread) -> None:
    worker = current_worker()
    if worker is None:
        _start(self)
        return
    worker.blocks += 1
    try:
        _start(self)
    finally:
        worker.blocks -= 1


@wraps(_join)
def _join_from_greenlet(self: threading.Thread, timeout: float | None = None) -> None:
    """Wait for a thread; a greenlet looks for its end every few milliseconds."""
    worker = current_worker()
    if worker is None or not self.is_alive():
        _join(self, timeout)
        return
    if self.ident == worker.thread_ident:
        raise RuntimeError("cannot join current thread")
    ended: Callable[[], bool] = lambda: not self.is_alive()  # noqa: E731
    limit = None if timeout is None else max(timeout, 0)
    if WaitingGreenlets().wait_until(worker, ended, limit, looks=True):
        _join(self)


def patch() -> list[tuple[object, object]]:
    """Change `start` and `join`, and return `current_thread` with what is to be in its place."""
    threading.Thread.start = _start_without_switch  # type: ignore[method-assign]
    threading.Thread.join = _join_from_greenlet  # type: ignore[method-assign]
    return [(_current_thread, current_thread)]
