"""Greenlets that wait until they get something which threads may have or give, too (G6).

A lock, a queue: something that a caller can try to get without waiting. A greenlet that does not
get it adds itself to those that wait, *then* tries again, and waits only if that fails, too.
Whoever gives something back makes it available, and *then* looks if anybody waits. So one of the
two sees the other, and no wake-up is lost:

    greenlet:  add itself; try; wait            giver:  give back; take one that waits, and wake it

One that is woken may be too late: a thread, or another greenlet, was faster. Then it adds itself
again, and tries again. One that was woken and goes without having waited for that (its time is up,
its request has ended, its try had succeeded by itself) wakes the next instead.

So threads that take a lock again and again could always be faster. A greenlet that was too late
once stands in a second line. Who gives something back may hand it to the first of these: it stays
taken all the while. Who finds that it is no more in this line has got it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from time import monotonic
from typing import Final, TypeVar

from bridge.errors import BridgeError
from bridge.runners.greenlets.waiting import GreenletWaiter
from bridge.runners.greenlets.worker import Worker

T = TypeVar("T")

#: Seconds after which one looks for what nobody tells: at first, and at most.
_FIRST_LOOK: Final = 0.001
_LAST_LOOK: Final = 0.02


class WaitingGreenlets:
    """The greenlets that wait for one thing."""

    __slots__ = ("_newcomers", "_patient")

    def __init__(self) -> None:
        self._newcomers: deque[GreenletWaiter] = deque()
        #: Those to which it is handed.
        self._patient: deque[GreenletWaiter] = deque()

    def wait_until(
        self,
        worker: Worker,
        attempt: Callable[[], bool],
        timeout: float | None = None,
        *,
        looks: bool = False,
        give_back: Callable[[], object] | None = None,
    ) -> bool:
        """In `worker`: wait until `attempt()` is true; False if it is not within `timeout` s.

        If it `looks`, it tries again every few milliseconds, for what is given back by someone who
        does not wake anybody. `give_back` is for what may be handed over. Raises what interrupts
        the job.
        """
        waiter = GreenletWaiter(worker)
        deadline = None if timeout is None else monotonic() + timeout
        pace = _FIRST_LOOK
        line = self._newcomers
        line.append(waiter)
        try:
            while not attempt():
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    return self._leave(line, waiter)
                if looks:
                    left = pace if left is None else min(pace, left)
                    pace = min(2 * pace, _LAST_LOOK)
                if waiter.wait(left) and waiter not in line:
                    if line is self._patient:
                        return True
                    if give_back is not None:
                        line = self._patient
                    line.append(waiter)
        except BaseException:
            if self._leave(line, waiter) and give_back is not None and not worker.loop.is_closed():
                give_back()
            raise
        self._leave(line, waiter)
        return True

    def _leave(self, line: deque[GreenletWaiter], waiter: GreenletWaiter) -> bool:
        """Have `waiter` wait no more; whether it was handed what it has waited for."""
        try:
            line.remove(waiter)
        except ValueError:  # somebody has taken it out
            if line is self._patient:
                return True
            self.wake_one()
        return False

    def take_patient(self, blocked_threads: Container[int]) -> GreenletWaiter | None:
        """Take out the first that is patient, who has got it, and is to be woken; None: nobody.

        None also if its thread is blocked now, and cannot go on.
        """
        try:
            waiter = self._patient.popleft()
        except IndexError:
            return None
        if waiter.thread in blocked_threads:
            self._patient.appendleft(waiter)  # it cannot have looked meanwhile
            return None
        return waiter

    def put_back(self, waiter: GreenletWaiter) -> None:
        """Have one that was taken out, and does not know it yet, be the first that is patient."""
        self._patient.appendleft(waiter)

    def wake_one(self) -> None:
        """Wake the first that waits. From any thread, also from a finalizer or a signal's handler.

        One whose loop has closed cannot wait: it is passed over.
        """
        while self._patient or self._newcomers:
            try:
                waiter = self._patient[0]
            except IndexError:
                try:
                    waiter = self._newcomers.popleft()
                except IndexError:
                    return
            if waiter.wake():
                return
            if waiter in self._patient:
                self._leave(self._patient, waiter)


def undisturbed(worker: Worker, function: Callable[[], T]) -> T:
    """In `worker`: return ``function()``; what interrupts the job waits for its next wait.

    For what must be taken back whatever happens: the lock of a condition.
    """
    interrupts: list[BridgeError] = []
    while True:
        if worker.interrupt is not None:
            interrupts.append(worker.interrupt)
            worker.interrupt = None
        try:
            return function()
        except BridgeError as error:
            if error is not worker.interrupt:
                raise
        finally:
            worker.interrupt = interrupts[0] if interrupts else worker.interrupt
