"""How a greenlet waits for a wake-up or for some time: what cooperative calls are made of (G6)."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from time import monotonic
from typing import Final

from bridge.runners.greenlets.worker import Worker

#: No timer is set for a wait that is longer, in seconds.
_NO_TIMER: Final = 10_000_000.0
#: The seconds by which a loop counts: timers of uvloop may be early by one.
_TICK: Final = 0.001


class GreenletWaiter:
    """A flag that one greenlet waits for, and that any thread may raise.

    As `bridge.loops.waiters.ThreadWaiter` is for threads. A wait ends with what interrupts the job,
    too: a timeout of the request, a stop of the server.
    """

    __slots__ = ("_waiting", "raised", "thread", "worker")

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.thread = worker.thread_ident
        #: Whether the flag is up: the greenlet was woken, and has not gone on yet.
        self.raised = False
        self._waiting = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up, at most `timeout` s, and lower it; False: the time is up."""
        if not self.raised:
            loop = self.worker.loop
            if timeout is None or timeout >= _NO_TIMER:
                self._pause(None)
            elif timeout <= 0:
                self._pause(loop.call_soon(self._go_on))
            else:
                deadline = monotonic() + timeout
                woken = self._pause(loop.call_later(timeout, self._go_on))
                while not woken and (left := deadline - monotonic()) > 0:
                    woken = self._pause(loop.call_later(max(left, _TICK), self._go_on))
        raised, self.raised = self.raised, False
        return raised

    def _pause(self, timer: asyncio.Handle | None) -> bool:
        """Wait for the flag or the timer; whether it is the flag."""
        self._waiting = True
        try:
            self.worker.pause()
        finally:
            self._waiting = False
            if timer is not None:
                timer.cancel()
        return self.raised

    def wake(self) -> bool:
        """Raise the flag; the greenlet goes on in the loop's next step. From any thread.

        False if its loop has closed: it can wait no more.
        """
        if self.raised:
            return True
        self.raised = True
        loop = self.worker.loop
        try:
            if get_ident() == self.thread:
                loop.call_soon(self._deliver)
            else:
                loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop has closed: nobody waits
            return False
        return True

    def wake_now(self) -> None:
        """Raise the flag, and let the greenlet go on at once. In callbacks of its loop only."""
        self.raised = True
        if self._waiting:
            self._waiting = False
            self.worker.resume()

    def _deliver(self) -> None:
        if self.raised:
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._waiting = False
            self.worker.resume()


def sleep(worker: Worker, seconds: float) -> None:
    """Let the loop have the thread for `seconds`; for one step of it if that is 0."""
    GreenletWaiter(worker).wait(seconds)
