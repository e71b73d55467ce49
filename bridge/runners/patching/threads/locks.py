"""Locks for threads and greenlets together (G6): in the place of ``threading.Lock()``.

Each has a real lock, which decides who has it. A caller tries that first, without waiting; nothing
else happens as long as it is free. A thread that does not get it waits for the real lock. A
greenlet adds itself to those that wait (`waiters.py`), and each release wakes one of these; the
release of the real lock wakes a thread, as ever. So one of each kind may be woken by one release.
The faster one has the lock, and the other waits on for the next release. A greenlet that was too
late once has the lock handed to it by a release: threads that are faster cannot starve it. Until it
goes on, code that stops its thread may take the lock from it again: the greenlet is the next then.

What stops the whole thread must not wait for a greenlet of that thread: code of the event loop, or
a call that must not switch. It could never get the lock, since the greenlet that has it does not go
on meanwhile. It gets an error instead, or False at once if it has a time limit.

A lock that was made before the patch can be adopted. Who still knows it by itself may release it,
without waking a greenlet, so greenlets look for that now and then.
"""

from __future__ import annotations

import _thread
import re
from _thread import allocate_lock as make_real_lock
from _thread import get_ident
from typing import Any, Final, NoReturn

from greenlet import getcurrent, greenlet

from bridge.errors import WaitNotPossible
from bridge.runners.greenlets.waiting import GreenletWaiter
from bridge.runners.greenlets.worker import Worker, current_worker, worker_of
from bridge.runners.patching.threads.waiters import WaitingGreenlets, undisturbed

#: Held for a moment, by whoever hands a lock to a greenlet or stops its thread to wait for one: a
#: greenlet in a thread that is stopped would never give it back.
_deciding: Final = _thread.RLock()

#: Modules whose code waits for other code: the line of interest is the one that called them.
_WAITING: Final = re.compile(r"(bridge|threading|queue|concurrent|ssl|socket|selectors)(\.|$)")


class _Contention:
    """Who waits for one lock."""

    __slots__ = ("blocked", "greenlets", "handed")

    def __init__(self) -> None:
        self.greenlets = WaitingGreenlets()
        #: The last to which the lock was handed, until it gives that back.
        self.handed: GreenletWaiter | None = None
        #: The threads that are stopped until they have it.
        self.blocked: list[int] = []


class Lock:
    """As `_thread.lock`; a greenlet that waits for it lets others go on."""

    __slots__ = ("__weakref__", "_adopted", "_contention", "_free", "_holder", "_real", "_try")

    def __init__(self, *, adopt: Any = None) -> None:
        real: Any = make_real_lock() if adopt is None else adopt
        self._real = real
        self._try = real.acquire
        self._free = real.release
        self._adopted = adopt is not None
        #: The greenlet that has it, in whatever thread.
        self._holder: greenlet | None = None
        #: Made when the first one waits.
        self._contention: _Contention | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; False if that fails: not `blocking`, or not within `timeout` s."""
        if timeout != -1 or (blocking is not True and blocking is not False):
            make_real_lock().acquire(blocking, timeout)  # its errors
        if self._try(False):
            self._holder = getcurrent()
            return True
        return bool(blocking) and self._wait(timeout)

    def __enter__(self) -> bool:
        if self._try(False):
            self._holder = getcurrent()
            return True
        return self._wait(-1)

    def release(self) -> None:
        """Give it back, and wake one that waits. Raises RuntimeError if nobody has it."""
        self._holder = None
        if self._contention is not None:
            self._contention.handed = None
            if self._handed_over(self._contention):
                return
        self._free()
        if self._contention is not None:
            self._contention.greenlets.wake_one()

    def __exit__(self, *error: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Whether someone has it."""
        return bool(self._real.locked())

    #: For conditions, which else take it to find that out.
    _is_owned = locked

    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def acquire_whatever_happens(self) -> None:
        """Take it; what interrupts the job is put off until its next wait."""
        worker = current_worker()
        if worker is None:
            self.acquire()
        else:
            undisturbed(worker, self.acquire)

    def _wait(self, timeout: float) -> bool:
        """Take it as soon as it is free."""
        with _deciding:
            contention = self._contention = self._contention or _Contention()
        worker = current_worker()
        if worker is None:
            return self._block(contention, timeout)
        return timeout != 0 and contention.greenlets.wait_until(
            worker,
            self._attempt,
            None if timeout < 0 else timeout,
            looks=self._adopted,
            give_back=self.release,
        )

    def _attempt(self) -> bool:
        if self._try(False):
            self._holder = getcurrent()
            return True
        return False

    def _block(self, contention: _Contention, timeout: float) -> bool:
        """Stop the thread until it has the lock."""
        thread, blocked = get_ident(), contention.blocked
        with _deciding:
            holder = None if self._holder is None else worker_of(self._holder)
            if (
                holder is not None
                and holder.thread_ident == thread
                and holder is not worker_of(getcurrent())  # as with conditions: it is for a thread
            ):
                if self._taken_back(contention):
                    return True
                if timeout >= 0:
                    return False
                refuse_to_freeze(self, holder)
            blocked.append(thread)
        try:
            if not self._try(True, timeout):
                return False
        finally:
            blocked.remove(thread)
        self._holder = getcurrent()
        return True

    def _handed_over(self, contention: _Contention) -> bool:
        """Let a greenlet have it that was too late before."""
        if not self._real.locked():
            return False  # `release` will raise
        with _deciding:
            while waiter := contention.greenlets.take_patient(contention.blocked):
                self._holder, contention.handed = waiter.worker, waiter
                if waiter.wake():
                    return True
            self._holder = contention.handed = None
            return False

    def _taken_back(self, contention: _Contention) -> bool:
        """Take it from a greenlet of this thread that does not know yet that it was handed over.

        Its turn comes in the loop's next step, but this thread must not wait for that.
        """
        waiter = contention.handed
        if waiter is None or not waiter.raised:
            return False
        contention.handed = None
        contention.greenlets.put_back(waiter)
        self._holder = getcurrent()
        return True

    def _at_fork_reinit(self) -> None:
        self._real._at_fork_reinit()
        self._holder = self._contention = None

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} _thread.lock object at {id(self):#x}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle '_thread.lock' object")


def refuse_to_freeze(lock: object, holder: Worker) -> NoReturn:
    """Raise an error: this thread would wait for `lock` for ever, as `holder` is a part of it."""
    frame: Any = holder.frame()
    while frame is not None and _WAITING.match(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    place = "" if frame is None else f" (at {frame.f_code.co_filename}, line {frame.f_lineno})"
    raise WaitNotPossible(
        f"{lock!r} is held by a greenlet that waits for something else{place}, and code that "
        "stops the whole thread wants it: the event loop's own, or a call of a logging handler. "
        "It would wait for ever. Release the lock before the greenlet waits, or take it with "
        "acquire(blocking=False) here, or use an asyncio.Lock in code of the event loop"
    )


def forget_other_threads() -> None:
    """In the child of a fork: none of them will give anything back."""
    reinit: Any = _deciding
    reinit._at_fork_reinit()


def patch() -> list[tuple[object, object]]:
    """Return what makes locks, with what is to be in its place."""
    makers = {id(maker): maker for maker in (make_real_lock, _thread.allocate, _thread.LockType)}
    return [(maker, Lock) for maker in makers.values()]
