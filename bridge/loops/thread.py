"""The event loop that the ASGI apps of a WSGI process share, in a thread of its own (A30).

There is at most one in a process, and one of each other name: channel layers have theirs, so that
an app that blocks its loop, or waits in it for a layer, does not block the layer. Who needs one
takes a `lease`, and the thread lives as long as there are leases: adapters that come and go leave
neither thread nor socket. At the end of the process the holders of leases are asked to close
(`LoopThread.on_exit`), while threads can still be started, and the loop ends with the last of them.

A fork takes the memory along but not the thread. So everything here is kept by process id: a
child finds nothing under its own, and starts afresh. What it inherited from its parent it leaves
alone, for ever: closing the parent's loop would take descriptors out of an epoll set that the two
still share.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.errors import Overloaded
from bridge.log import logger
from bridge.loops.factory import new_event_loop
from bridge.loops.waiters import NativeThread, unpatched

#: Seconds that the tasks still there when the loop ends have to take their cancellation.
CANCEL_GRACE = 1.0
#: Seconds that the process waits at its exit for the loop to end.
EXIT_TIMEOUT = 60.0
#: The name of the thread that apps run in.
APPS = "bridge-event-loop"

Job = Callable[[], object]


# ------------------------------------------------------------- the loop in its thread


class LoopThread:
    """An event loop that runs in a daemon thread. Made by `lease`, ended by the last `release`."""

    def __init__(self, name: str = APPS) -> None:
        self.pid = os.getpid()
        self.name = name
        self.leases = 0
        self.loop: asyncio.AbstractEventLoop
        self._jobs: deque[Job] = deque()
        self._wakeup_pending = False
        self._waker = _Waker()
        self._closers: dict[object, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._stopping = False
        self._exiting: asyncio.Task[None] | None = None
        self._ready = unpatched("allocate_lock")()
        self._failure: Exception | None = None  # why there is no loop
        self._thread = NativeThread(self._run, name)

    def submit(self, job: Job) -> None:
        """Have `job` called in the loop, soon; from any thread. Raises RuntimeError after its end.

        Jobs that come while the loop is being woken already do not wake it again. `job` should
        not raise; if it does, the loop logs it.
        """
        self._jobs.append(job)
        if not self._wakeup_pending:
            if self.loop.is_closed():
                raise RuntimeError("the event loop has ended")
            self._wakeup_pending = True
            self._waker.wake()

    def _run_jobs(self) -> None:
        self._waker.clear()
        self._wakeup_pending = False  # before the first look, so that no job falls between
        jobs = self._jobs
        try:
            while jobs:
                jobs.popleft()()
        finally:
            if jobs:
                self._waker.wake()

    def is_current(self) -> bool:
        """Whether the caller runs in this loop (and so must not wait for it)."""
        return events._get_running_loop() is self.loop

    def on_exit(self, owner: object, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have ``await close()`` run in the loop when the process ends.

        It must release the lease of `owner`. Called in the loop, as `cancel_on_exit` is.
        """
        self._closers[owner] = close

    def cancel_on_exit(self, owner: object) -> None:
        """Forget what `owner` has passed to `on_exit`."""
        self._closers.pop(owner, None)

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended, at most `timeout` s; whether it has."""
        return self._thread.join(timeout)

    # --------------------------------------------------------- life

    def start(self) -> None:
        """Start the thread; returns when the loop exists. Raises the error if it cannot."""
        self._ready.acquire()
        self._thread.start()
        self._ready.acquire()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the loop, and with it the thread; from any thread, and at once."""
        if not self._stopping:
            self._stopping = True
            self.submit(self.loop.stop)

    def _run(self) -> None:
        try:
            loop = self.loop = new_event_loop()
            asyncio.set_event_loop(loop)
            loop.add_reader(self._waker.descriptor, self._run_jobs)
        except Exception as error:  # no descriptor or no memory is left
            self._failure = error
            return
        finally:
            self._ready.release()
        try:
            loop.run_forever()
            loop.run_until_complete(_end_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.remove_reader(self._waker.descriptor)
            asyncio.set_event_loop(None)
            loop.close()

    def exit(self) -> None:
        """Close everything that holds a lease, and wait for the end of the thread."""
        try:
            self.submit(self._begin_exit)
        except RuntimeError:
            pass  # the loop has ended already
        if not self.join(EXIT_TIMEOUT):
            logger.error("the event loop did not end within %s s; left behind", EXIT_TIMEOUT)

    def _begin_exit(self) -> None:
        if self._exiting is None:
            self._exiting = self.loop.create_task(self._close_all())

    async def _close_all(self) -> None:
        await asyncio.gather(*(close() for close in self._closers.values()))
        self.stop()  # the holder of a lease that is left was never started


class _Waker:
    """Wakes the loop: a descriptor that is readable from `wake` to `clear`.

    Cheaper than ``loop.call_soon_threadsafe``, which has its loop turn twice. The descriptors are
    closed with the object, so that nobody writes to a number that belongs to something else.
    """

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.descriptor = self._other = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.descriptor, self._other = os.pipe()
            os.set_blocking(self.descriptor, False)
            os.set_blocking(self._other, False)

    def wake(self) -> None:
        try:
            os.write(self._other, _ONE)
        except BlockingIOError:
            pass  # it is readable already

    def clear(self) -> None:
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:
            pass

    def __del__(self) -> None:
        for descriptor in {*vars(self).values()}:  # empty if the system had none
            os.close(descriptor)


#: What an eventfd takes: eight bytes, the number one.
_ONE = (1).to_bytes(8, sys.byteorder)


async def _end_tasks() -> None:
    """Cancel what still runs, and wait a little for it."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_GRACE)


# ------------------------------------------------------------- one for the process

#: By process id and name: a parent's entries stay in its children, untouched.
_threads: dict[tuple[int, str], LoopThread] = {}
_locks: dict[int, Any] = {}


def _lock() -> Any:
    """Return this process's lock for `_threads`; a parent's may have been held when it forked."""
    pid = os.getpid()
    lock = _locks.get(pid)
    return _locks.setdefault(pid, unpatched("allocate_lock")()) if lock is None else lock


def lease(name: str = APPS) -> LoopThread:
    """Return the process's loop of that name, started if there is none; `release` returns it.

    Raises `Overloaded` while the system has no thread, descriptor or memory for it.
    """
    with _lock():
        thread = _threads.get((os.getpid(), name))
        if thread is None:
            try:
                thread = LoopThread(name)
                thread.start()
            except (RuntimeError, MemoryError, OSError) as error:
                raise Overloaded(f"the event loop cannot be started now: {error!r}") from error
            _threads[thread.pid, name] = thread
            _end_at_exit()
        thread.leases += 1
        return thread


def release(thread: LoopThread) -> None:
    """Return a lease; the last one ends the loop. From any thread."""
    if thread.pid != os.getpid():
        return  # inherited: not ours to end
    with _lock():
        thread.leases -= 1
        if thread.leases:
            return
        del _threads[thread.pid, thread.name]
    thread.stop()


def current() -> LoopThread | None:
    """Return the loop of this process's apps, if there is one."""
    return _threads.get((os.getpid(), APPS))


def _end_at_exit() -> None:
    """Have the loop closed at the end of the process, once, in this process or its children.

    `threading` calls its own list first, while threads can still be started: an app's shutdown may
    need one. `atexit` comes after that, for embedded interpreters and for a Python without that
    list.
    """
    global _registered
    if not _registered:
        _registered = True
        getattr(threading, "_register_atexit", atexit.register)(_exit)
        atexit.register(_exit)


_registered = False


def _exit() -> None:
    """End the loops of this process, that of the apps first: it may need the others."""
    pid = os.getpid()
    for owner, name in sorted(_threads, key=lambda key: key[1] != APPS):
        thread = _threads.get((owner, name))
        if owner == pid and thread is not None:
            thread.exit()
