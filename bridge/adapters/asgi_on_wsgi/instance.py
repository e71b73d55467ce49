"""An adapter in one process: its lease of the event loop, its lifespan, its tasks (A27, A30, A31).

Made by the process's first request. It lives until the adapter is closed or dropped, or the
process ends. It never refers to the adapter, so that dropping the adapter ends it.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, Protocol

from bridge.adapters.asgi_on_wsgi.settings import Settings
from bridge.asgi.lifespan import Lifespan
from bridge.errors import LifespanFailed
from bridge.log import logger
from bridge.loops import thread as event_loop
from bridge.loops.tasks import task_starter
from bridge.loops.thread import LoopThread
from bridge.loops.waiters import FOREVER, ThreadWaiter, Waiter, gevent_is_loaded, waiter
from bridge.types import ASGIApp

#: Seconds that cancelled tasks have to clean up at the end.
CANCEL_GRACE: Final = 1.0
#: The code that closes WebSockets at shutdown (RFC 6455 registry, "Service Restart").
SERVICE_RESTART: Final = 1012
#: Seconds between the first two cancellations of an app that swallows them, and at most.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
#: Seconds beyond `startup_timeout` after which a silent loop counts as blocked.
LOOP_GRACE: Final = 5.0


class Closable(Protocol):
    """A WebSocket, as far as it is known here."""

    def close(self, code: int, reason: str) -> None:
        """Begin its closing handshake."""


#: The startup has not ended; requests are served; the startup has failed; it was shut down.
STARTING, READY, FAILED, CLOSED = range(4)


class AppInstance:
    """The app of one adapter, as it runs in one process."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Raises `Overloaded` if the event loop cannot be started now."""
        self.pid = os.getpid()
        self.app = app
        self.settings = settings
        #: Written on the loop's side.
        self.phase = STARTING
        self.lifespan = Lifespan(
            app,
            mode=settings.lifespan,
            startup_timeout=settings.startup_timeout,
            shutdown_timeout=settings.shutdown_timeout,
        )
        self.tasks: set[asyncio.Task[None]] = set()
        #: WebSockets that are open now.
        self.open: set[Closable] = set()
        self.thread: LoopThread = event_loop.lease()
        self.loop = self.thread.loop
        self._start_task = task_starter(self.loop)
        self._waiters: deque[Waiter] = deque()
        self._failure: LifespanFailed | None = None
        self._starting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    # --------------------------------------------------------- the beginning

    def wait_until_ready(self) -> None:
        """Start the app, if it is not started, and wait for the end of its startup. On a WSGI side.

        Raises `LifespanFailed` if the startup failed, each time it is called.
        """
        flag = waiter()
        self.thread.submit(lambda: self._when_started(flag.wake))
        limit = self.settings.startup_timeout
        in_time = flag.wait(FOREVER if limit is None else limit + LOOP_GRACE)
        if self._failure is not None:
            raise LifespanFailed(str(self._failure)) from self._failure.__cause__
        if not in_time:
            raise LifespanFailed(
                f"the app's startup was not over after {limit} s: something blocks the event loop; "
                "await in the startup, or use a thread (asyncio.to_thread)"
            )
        if self.phase != READY:
            raise LifespanFailed("the app has been shut down; this process is ending")

    def _when_started(self, call: Callable[[], None]) -> None:
        if self._starting is None and self._closing is None:
            self.thread.on_exit(self, self._close)
            self._starting = self.loop.create_task(self._start_up())
        if self._starting is None or self._starting.done():
            call()
        else:
            self._starting.add_done_callback(lambda _: call())

    async def _start_up(self) -> None:
        try:
            await self.lifespan.startup()
        except LifespanFailed as failed:
            self._failure = failed
            self.phase = FAILED
            logger.error("%s", failed, exc_info=failed.__cause__)
        else:
            self.phase = READY

    def release(self) -> None:
        """Give the lease of the loop back; only for an app that was never started."""
        event_loop.release(self.thread)

    # --------------------------------------------------------- waiters

    def waiter(self) -> Waiter:
        """Return what the caller, on a WSGI side, can wait with; if possible, a used one."""
        if gevent_is_loaded():
            return waiter()
        try:
            return self._waiters.pop()
        except IndexError:
            return ThreadWaiter()

    def return_waiter(self, used: Waiter) -> None:
        """Keep a waiter that nobody waits with; that it may still be woken does no harm."""
        if type(used) is ThreadWaiter:
            self._waiters.append(used)

    # --------------------------------------------------------- tasks

    def spawn(self, coroutine: Coroutine[Any, Any, None], context: Context) -> asyncio.Task[None]:
        """Run a request's coroutine, which never raises. On the loop's side.

        The task is kept here (a loop keeps only weak references) until it is done.
        """
        task = self._start_task(coroutine, context=context)
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return task

    def cancel_later(
        self, task: asyncio.Task[None], seconds: float, pause: float | None = None
    ) -> None:
        """Cancel `task` in `seconds`, and again and again if it swallows that (A26)."""
        after = FIRST_PAUSE if pause is None else pause

        def cancel() -> None:
            if not task.done():
                task.cancel()
                self.cancel_later(task, after, min(2 * after, LONGEST_PAUSE))

        if seconds > 0:
            self.loop.call_later(seconds, cancel)
        else:
            cancel()

    # --------------------------------------------------------- the end

    def close(self, timeout: float) -> bool:
        """Shut down, and wait for that at most `timeout` s; whether it is done."""
        if self.pid != os.getpid():
            return True  # the parent's
        flag = waiter()

        def begin() -> None:
            self._begin_close().add_done_callback(lambda _: flag.wake())

        try:
            self.thread.submit(begin)
        except RuntimeError:
            return True  # the loop has ended, and the app before it
        return flag.wait(timeout)

    def close_soon(self) -> None:
        """Shut down soon; from any thread, a garbage collector's too."""
        if self.pid != os.getpid():
            return
        try:
            self.thread.submit(self._begin_close)
        except RuntimeError:
            pass  # the loop is closed already

    def _begin_close(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = self.loop.create_task(self._shut_down())
        return self._closing

    async def _close(self) -> None:
        await self._begin_close()

    async def _shut_down(self) -> None:
        for connection in list(self.open):
            connection.close(SERVICE_RESTART, "")
        try:
            await self._finish_tasks()
            await self.lifespan.shutdown()
        except LifespanFailed as failed:
            logger.error("%s", failed, exc_info=failed.__cause__)
        finally:
            self.phase = CLOSED
            self.thread.cancel_on_exit(self)
            event_loop.release(self.thread)

    async def _finish_tasks(self) -> None:
        """Wait for the startup and for the work after responses; cancel what takes too long."""
        tasks: set[asyncio.Task[None]] = set(self.tasks)
        if self._starting is not None:
            tasks.add(self._starting)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self.settings.shutdown_timeout)
        for task in late:
            task.cancel()
        if late:
            logger.warning(
                "%d tasks were still running %s s into the shutdown, and were cancelled",
                len(late),
                self.settings.shutdown_timeout,
            )
            await asyncio.wait(late, timeout=CANCEL_GRACE)
