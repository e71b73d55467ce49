"""A greenlet that runs jobs, and how it waits for the loop (G1).

There are two ways to wait. An awaitable is given to the request's task, which awaits it
(`GreenletRunner.wait`). What calls back by itself (a timer, a descriptor, a lock) needs no task:

    in the greenlet:  pause()  --> the loop goes on
    in the loop:      resume() --> the greenlet goes on, and `pause` returns

Whatever an app keeps in `threading.local` belongs to the greenlet in which it runs (G7), and stays
when that takes the next job, as it does in a thread of a pool.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from _thread import get_ident
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any, Final, Protocol

from greenlet import GreenletExit, getcurrent, greenlet

from bridge.errors import BridgeError, ClientDisconnected, RequestTimeout
from bridge.log import logger
from bridge.loops.hidden import TASK_OF_THREAD, call_without_loop, remember_loop, swap_task
from bridge.loops.tasks import as_coroutine, close_unawaited, task_starter
from bridge.runners.base import Job, Runner, T, current_code, set_current_runner
from bridge.runners.interop import publish_in_greenlet

#: The values of all `threading.local` objects for one greenlet; written in C (`thread_locals.c`).
ThreadLocals = import_module("bridge.runners.greenlets.thread_locals").ThreadLocals

#: What a greenlet switches back with when its job is over ...
OVER: Final[Any] = object()
#: ... and when it waits for something that calls `resume`.
PAUSED: Final[Any] = object()
#: Waits that a cancelled app may begin before it is ended with a `GreenletExit` (G4).
_MAX_WAITS_AFTER_CANCEL = 3


class Owner(Protocol):
    """The runner, as its greenlets need it."""

    def take_next(self, worker: Worker) -> bool:
        """In `worker`: take the next job of the queue; False if there is none."""

    def resumed(self, worker: Worker, awaited: Any) -> None:
        """In the loop: `worker`, which no task drives, waits for `awaited`, or is `OVER`."""

    @property
    def descriptors(self) -> Any:
        """The `DescriptorWatch` of the runner."""


class Worker(greenlet):
    """A greenlet that runs one job after the other, its own or those that are queued."""

    job: Job | None = None
    #: Whether it goes on with the next job in the queue; else a task waits for this job's end.
    takes_queue = False
    #: The task as part of which the job runs now; None: there is none (yet).
    task: asyncio.Task[Any] | None = None
    #: Whether a task awaits all that it waits for.
    driven = False
    #: The awaitable of the app's that it waits for, while it does.
    awaited: asyncio.Future[Any] | None = None
    #: Whether it is in `pause`; and what its task awaits then, if there is one.
    paused = False
    pause_future: asyncio.Future[Any] | None = None
    #: The greenlet of the app's own, made in this one, that is in `pause`; None: it is this one.
    inner: greenlet | None = None
    #: What is raised in the job when it waits, since it has to end; and how often that was.
    interrupt: BridgeError | None = None
    waits_refused = 0
    #: How many calls are under way in it that must not switch: they block (logging).
    blocks = 0
    #: The `threading.Thread` that stands for it, if something has asked for that.
    thread: Any = None

    def __init__(self, runner: Runner, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.runner = runner
        self.loop = loop
        #: What `threading.get_ident` returns in it (G6), and what that returns in its thread.
        self.ident = id(self)
        self.thread_ident = get_ident()
        self.locals = ThreadLocals()
        self._start_task = task_starter(loop)
        self.owner = owner

    def run(self, _: object = None) -> None:
        """greenlet: run jobs, and switch to the loop when there is none."""
        set_current_runner(self.runner)
        remember_loop(self.loop)
        publish_in_greenlet(self.loop)
        while self.job is not None or (self.takes_queue and self.owner.take_next(self)):
            try:
                self.job()  # type: ignore[misc]
            except GreenletExit:
                pass  # it has swallowed that it was cancelled; or the app ends itself so
            except BaseException:
                logger.exception(
                    "a job of the greenlet runner raised; that is an error of the bridge"
                )
            if not (self.takes_queue and self.owner.take_next(self)):
                assert self.parent is not None
                self.parent.switch(OVER)

    # --------------------------------------------------------- in the loop

    def enter(self, switch: Callable[..., Any], *arguments: Any) -> Any:
        """Let the app go on by ``switch(*arguments)``; return what it waits for then, or `OVER`."""
        here = getcurrent()
        if self.parent is not here:
            self.parent = here  # where it comes back to
        return call_without_loop(self.locals.call, switch, *arguments)

    def resume(self, value: Any = None) -> None:
        """Have `pause` return `value`. Does nothing if the greenlet is not in `pause`."""
        if not self.paused:
            return
        future = self.pause_future
        if future is None:
            self.paused = False
            self.owner.resumed(self, self.enter((self.inner or self).switch, value))
        elif not future.done():
            future.set_result(value)

    def break_off(self, reason: BridgeError) -> None:
        """Raise `reason` in the app as soon as it waits, or now if it does."""
        former = self.interrupt
        if former is None or (
            type(former) is ClientDisconnected and type(reason) is not ClientDisconnected
        ):
            self.interrupt = reason
        if self.awaited is not None:
            self.awaited.cancel()
        elif self.paused and self.heeds_interrupt():
            self.loop.call_soon(self._raise_interrupt)

    def _raise_interrupt(self) -> None:
        if not self.paused or self.interrupt is None:
            return
        future = self.pause_future
        if future is None:
            self.paused = False
            self.owner.resumed(self, self.enter((self.inner or self).throw, self.interrupt))
        else:
            future.cancel()

    def heeds_interrupt(self) -> bool:
        """Whether what interrupts it ends a `pause`, too.

        A client that leaves does not: code that was written for threads knows no such error in a
        query of its database.
        """
        return self.interrupt is not None and type(self.interrupt) is not ClientDisconnected

    # --------------------------------------------------------- in the greenlet

    def runs_app_code(self) -> bool:
        """Whether the app's own code runs now, and not a coroutine."""
        return _get_running_loop() is None

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Switch to the loop until `awaitable` is done; return or raise what it does."""
        if self.interrupt is not None:
            close_unawaited(awaitable)
            self.refuse_wait()
        _set_running_loop(self.loop)
        try:
            future = self._future(awaitable)
        finally:
            _set_running_loop(None)
        if not future.done():
            self.takes_queue = False
            code = current_code() if self.runner.timed_out is not None else None
            if code is not None:
                return code.wait(partial(self._await, future), self._time_is_over, self.frame)
            return self._await(future)
        try:
            return future.result()
        except asyncio.CancelledError:
            raise concurrent.futures.CancelledError from None

    def _await(self, future: asyncio.Future[T]) -> T:
        self.awaited = future
        assert self.parent is not None
        try:
            return self.parent.switch(future)  # type: ignore[no-any-return]
        finally:
            self.awaited = None

    def _time_is_over(self) -> None:
        self.break_off(RequestTimeout())

    def frame(self) -> FrameType | None:
        """Return the innermost frame, if it waits."""
        return (self.inner or self).gr_frame

    def _future(self, awaitable: Awaitable[T]) -> asyncio.Future[T]:
        """Return the future to await; a coroutine runs to its first wait here, often to its end.

        It is cancelled if the client leaves. A future that the app made itself is shielded from
        that: others may wait for it too.
        """
        if asyncio.isfuture(awaitable):
            return asyncio.shield(awaitable)
        return self._start_task(as_coroutine(awaitable))

    def pause(self) -> Any:
        """Give the thread to the loop until it calls `resume`; returns the value of that.

        Raises what interrupts the job (`break_off`).
        """
        if self.interrupt is not None and self.heeds_interrupt():
            self.refuse_wait()
        code = current_code() if self.runner.timed_out is not None else None
        if code is not None:
            return code.wait(self._pause, self._time_is_over, self.frame)
        return self._pause()

    def _pause(self) -> Any:
        assert self.parent is not None
        running = _get_running_loop()  # one of the app's own, in `asyncio.run`
        task = None
        if running is not None:
            task = swap_task(running, None) if TASK_OF_THREAD else None
            _set_running_loop(None)
        self.takes_queue = False
        self.paused = True
        here = getcurrent()
        if here is not self:
            self.inner = here
        try:
            if not self.driven:
                return self.parent.switch(PAUSED)
            self.pause_future = self.loop.create_future()
            return self.parent.switch(self.pause_future)
        finally:
            self.paused = False
            self.pause_future = self.inner = None
            if running is not None:
                _set_running_loop(running)
                if TASK_OF_THREAD:
                    swap_task(running, task)

    def refuse_wait(self) -> None:
        """Raise what has interrupted the job; a `GreenletExit` if it does not end all the same."""
        assert self.interrupt is not None
        self.waits_refused += 1
        if self.waits_refused > _MAX_WAITS_AFTER_CANCEL:
            raise GreenletExit
        raise self.interrupt


def current_worker() -> Worker | None:
    """Return the greenlet that calls, if that can wait by switching to the loop of its thread.

    One that the app has made in it waits as a part of it. None in every other thread or greenlet,
    in coroutines of the loop itself, and in calls that must not switch (`Worker.blocks`).
    """
    worker: Any = getcurrent()
    if type(worker) is not Worker and (worker := worker_of(worker)) is None:
        return None
    return worker if not worker.blocks and _get_running_loop() is not worker.loop else None


def worker_of(here: Any) -> Worker | None:
    """Return the `Worker` that is `here`, or in which the app has made it; None: there is none."""
    while type(here) is not Worker:
        here = here.parent
        if here is None:
            return None
    return here
