"""Conditions for greenlets (G6), and so events, semaphores, barriers, `queue.Queue`, futures.

They are written in Python, on locks. What locks cannot do for them is said here: a greenlet whose
request ends while it waits has the lock again when the error leaves `wait`, as the caller will give
it back; and a notification that it got, and will not heed, goes to the next.
"""

from __future__ import annotations

from functools import wraps
from threading import Condition
from typing import Any, Final

from bridge.runners.greenlets.worker import current_worker
from bridge.runners.patching.threads.locks import Lock

_wait_in_thread: Final = Condition.wait


@wraps(_wait_in_thread)
def _wait(self: Any, timeout: float | None = None) -> bool:
    if current_worker() is None:
        return _wait_in_thread(self, timeout)
    if not self._is_owned():
        raise RuntimeError("cannot wait on un-acquired lock")
    ticket = Lock()
    ticket.acquire()
    self._waiters.append(ticket)
    state = self._release_save()
    try:
        if timeout is None:
            ticket.acquire()
        else:
            ticket.acquire(timeout > 0, timeout if timeout > 0 else -1)
    except BaseException:
        self._acquire_restore(state)
        if not _give_up(self._waiters, ticket):
            self.notify()
        raise
    self._acquire_restore(state)
    return not _give_up(self._waiters, ticket)


def _give_up(tickets: Any, ticket: Lock) -> bool:
    """With the lock: wait no more. False: `ticket` has been notified."""
    try:
        tickets.remove(ticket)
    except ValueError:
        return False
    return True


def _acquire_restore(self: Any, _: object) -> None:
    """For a lock that has nothing to restore."""
    lock = self._lock
    if type(lock) is Lock:
        lock.acquire_whatever_happens()
    else:
        lock.acquire()


def patch() -> list[tuple[object, object]]:
    """Change `threading.Condition`."""
    for name, function in (("wait", _wait), ("_acquire_restore", _acquire_restore)):
        setattr(Condition, name, function)
    return []
