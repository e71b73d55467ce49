"""Threads and loops in which an app may hang: whoever waits for it gives up in time.

A thread that hangs cannot be ended; it is a daemon, is left alone, and told by its place.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType
from typing import Any, Final, Generic, TypeVar

from bridge.check.places import place_of_error, place_of_frame
from bridge.check.watching.audit import Watcher, watching
from bridge.loops.factory import new_event_loop
from bridge.loops.frames import current_frames
from bridge.loops.watchdog.block import Observer
from bridge.loops.watchdog.stack import Place
from bridge.loops.watchdog.watchdog import Watchdog

T = TypeVar("T")

#: Seconds for a loop to end, and for a task to end when it is cancelled.
_END_LIMIT: Final = 2.0
#: Seconds after which a stream of which nothing comes is a quiet one.
_QUIET: Final = 2.0
#: Seconds for which one call may hold the loop.
BLOCKING_LIMIT: Final = 0.1


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a job returned; if it `hangs`, None, and the `place` where it stands."""

    value: T | None = None
    hangs: bool = False
    place: Place | None = None


class Worker:
    """A thread that runs one job after another; if one hangs, the thread is lost."""

    def __init__(self, name: str = "check") -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"bridge-{name}", daemon=True)
        self._thread.start()
        self.hangs = False

    def run(
        self, job: Callable[[], T], seconds: float, is_quiet: Callable[[], bool] = lambda: False
    ) -> Outcome[T]:
        """Return what `job` returned, or that it hangs. Raises what it raised.

        If `is_quiet` says after a part of the time that all has come that will, no more is waited.
        """
        future: Future[T] = Future()
        self._jobs.put((job, future))
        for wait in (min(seconds, _QUIET), max(0.0, seconds - _QUIET)):
            try:
                return Outcome(future.result(wait))
            except TimeoutError:
                if future.done():  # the job has raised one
                    raise
            if is_quiet():
                break
        self.hangs = True
        return Outcome(hangs=True, place=_stands_at(self._thread))

    def close(self) -> None:
        """End the thread after its last job."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)


class _TooLong(BaseException):
    """Raised in a job that runs in the main thread, when its time is over."""


def run_here(job: Callable[[], T], seconds: float) -> Outcome[T]:
    """Run `job` in this thread; in the main one it is bounded, where the system has timers."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        return Outcome(job())
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return Outcome(job())
    except _TooLong as error:
        return Outcome(hangs=True, place=place_of_error(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Loop:
    """An event loop in a thread of its own; `on_block` is told of blocks, `watcher` of events."""

    def __init__(self, on_block: Observer, watcher: Watcher) -> None:
        self._on_block = on_block
        self._watcher = watcher
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="bridge-check-loop", daemon=True)
        self._started = threading.Event()
        self._thread.start()
        self._started.wait()
        #: Whether something blocks it for good.
        self.hangs = False

    def run(self, job: Coroutine[Any, Any, T], seconds: float) -> Outcome[T]:
        """Return what `job` returned, or that the loop itself hangs. Raises what it raised.

        `seconds` are for a job that is bounded already: it takes longer only if the loop hangs.
        """
        future = asyncio.run_coroutine_threadsafe(job, self._loop)
        try:
            return Outcome(future.result(seconds))
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise
        self.hangs = True
        return Outcome(hangs=True, place=_stands_at(self._thread))

    def close(self) -> None:
        """End the loop; one that hangs ends if that does."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        if not self.hangs:
            self._thread.join(_END_LIMIT)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        watchdog = Watchdog(BLOCKING_LIMIT)
        watchdog.observers.append(self._on_block)

        async def start() -> None:
            watchdog.start()

        self._loop.run_until_complete(start())
        try:
            self._loop.call_soon(self._started.set)
            with watching(self._watcher):
                self._loop.run_forever()
        finally:
            watchdog.stop()
            self._loop.run_until_complete(_end_tasks())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_END_LIMIT)


def _stands_at(thread: threading.Thread) -> Place | None:
    return place_of_frame(current_frames().get(thread.ident or 0))
