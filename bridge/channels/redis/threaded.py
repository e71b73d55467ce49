"""The store of one process on an event loop of its own, and calls of it from elsewhere (rule L8).

A call from another thread or greenlet waits there; one from a coroutine of another loop lets that
loop run. The loop of the store is that of no app: an app that waits for a layer in its own loop
would otherwise wait for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Generic, TypeVar

from bridge.channels.redis.store import Store
from bridge.errors import LayerUnavailable, WaitNotPossible
from bridge.loops.tasks import task_starter
from bridge.loops.thread import LoopThread, lease, release
from bridge.loops.waiters import Waiter, waiter

T = TypeVar("T")

#: The name of the thread, see `bridge.loops.thread`.
THREAD: Final = "bridge-channels"
#: Seconds after which a call that waits looks whether the loop is still there.
_LOOK: Final = 1.0

#: What is done on the store's loop.
Operation = Callable[[Store], Coroutine[Any, Any, T]]
#: Gets a result that nothing waits for any more, on the store's loop.
Unclaimed = Callable[[Store, T], object]


class ThreadedStore:
    """A store on the loop thread of the channel layers. It connects with the first call."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread: LoopThread = lease(THREAD)
        self._start: Callable[..., asyncio.Task[Any]] = task_starter(self._thread.loop)
        self._opening: asyncio.Task[None] | None = None
        self._closed = False

    # --------------------------------------------------------- from other threads and loops

    def call(self, operation: Operation[T], unclaimed: Unclaimed[T] | None = None) -> T:
        """Run an operation, and wait for it in this thread or greenlet.

        If the caller is interrupted while it waits, the result goes to `unclaimed`.
        """
        self.check_can_wait()
        outcome: _Outcome[T] = _Outcome(waiter(), self._given_back(unclaimed))
        self.submit(lambda: self._run(operation).add_done_callback(outcome.end))
        return outcome.wait(self._check_alive)

    async def call_async(self, operation: Operation[T], unclaimed: Unclaimed[T] | None = None) -> T:
        """Run an operation, and wait for it on this loop; cancelling it cancels the operation."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        given_back = self._given_back(unclaimed)
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            tasks.append(self._run(operation))
            tasks[0].add_done_callback(end)

        def end(task: asyncio.Task[T]) -> None:
            try:
                loop.call_soon_threadsafe(settle, task)
            except RuntimeError:  # that loop was closed
                given_back(task)

        def settle(task: asyncio.Task[T]) -> None:
            if future.done():
                given_back(task)
            elif task.cancelled():
                future.set_exception(_closed())
            elif (error := task.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(task.result())

        self.submit(begin)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._submit_if_alive(lambda: tasks[0].cancel())
            else:
                given_back(tasks[0])  # cancelled in the moment in which it came
            raise

    def submit(self, job: Callable[[], object]) -> None:
        """Have `job` called on the store's loop. Raises `LayerUnavailable` after the end."""
        if self._closed:
            raise _closed()
        self._thread.submit(job)

    def check_can_wait(self) -> None:
        """Raise `WaitNotPossible` on the store's own loop."""
        if self._thread.is_current():
            raise WaitNotPossible(
                "a channel layer was called by a function that it has called itself (see attach), "
                "which would wait for itself: call it from another thread, or from a task of yours"
            )

    def close(self) -> None:
        """Close the connections, and give the loop back. Waits for it."""
        self.check_can_wait()
        outcome: _Outcome[None] = _Outcome(waiter(), self._given_back(None))
        try:
            self.submit(lambda: self._start(self._close()).add_done_callback(outcome.end))
            outcome.wait(self._check_alive)
        except LayerUnavailable:
            pass  # it is closed

    def close_soon(self) -> None:
        """Close as `close` does, without waiting; from any thread and loop."""
        self._submit_if_alive(lambda: self._start(self._close()))

    def _submit_if_alive(self, job: Callable[[], object]) -> None:
        try:
            self.submit(job)
        except LayerUnavailable:
            pass  # all operations have ended

    def _given_back(self, unclaimed: Unclaimed[T] | None) -> Callable[[asyncio.Task[T]], None]:
        """Return what passes the result of a task to `unclaimed`."""

        def give_back(task: asyncio.Task[T]) -> None:
            if unclaimed is not None and not task.cancelled() and task.exception() is None:
                self._submit_if_alive(partial(unclaimed, self.store, task.result()))

        return give_back

    def _check_alive(self) -> None:
        if self._thread.loop.is_closed():
            raise _closed()

    # --------------------------------------------------------- on the store's loop

    def open(self) -> None:
        """Begin to connect, if that has not been done yet; to be submitted."""
        if self._opening is None:
            self._thread.on_exit(self, self._close)
            self._opening = self._start(self.store.open(insist=True))
            self._opening.add_done_callback(_see)  # calls say what is wrong

    def _run(self, operation: Operation[T]) -> asyncio.Task[T]:
        self.open()
        return self._start(operation(self.store))

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._thread.cancel_on_exit(self)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self.store.close()
        release(self._thread)


class _Outcome(Generic[T]):
    """The end of an operation, which a thread or greenlet waits for."""

    def __init__(self, flag: Waiter, given_back: Callable[[asyncio.Task[T]], None]) -> None:
        self._flag = flag
        self._given_back = given_back
        self._task: asyncio.Task[T] | None = None
        self._abandoned = False
        #: Empty when the result was given back: taking from a list is one step for all threads.
        self._unclaimed = [None]

    def end(self, task: asyncio.Task[T]) -> None:
        """Take note that the operation has ended; on the store's loop."""
        self._task = task
        if self._abandoned:
            self._give_back(task)
        self._flag.wake()

    def wait(self, look: Callable[[], None]) -> T:
        """Wait for the end, and return the result; ``look()`` raises if it cannot come any more."""
        try:
            while self._task is None:
                if not self._flag.wait(_LOOK):
                    look()
        except BaseException:
            self._abandoned = True
            if self._task is not None:
                self._give_back(self._task)
            raise
        if self._task.cancelled():
            raise _closed()
        return self._task.result()

    def _give_back(self, task: asyncio.Task[T]) -> None:
        try:
            self._unclaimed.pop()
        except IndexError:
            return  # by the other thread
        self._given_back(task)


def _closed() -> LayerUnavailable:
    return LayerUnavailable("the channel layer was closed")


def _see(task: asyncio.Task[None]) -> None:
    """Take note of how a task has ended, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
