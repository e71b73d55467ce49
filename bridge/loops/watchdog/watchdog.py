"""The thread that looks at a loop: it names the line that blocks it (G9, R3).

It looks at the Python frame in which the loop's thread stands. If that is the one that runs the
loop, the loop is idle, or runs code of the server's: an idle loop is never woken. If it is another,
the loop is asked to call back. If it has not done so at a later look, and the same call runs, it is
this call that holds the loop. `judge` knows from when on it is to be blamed for that.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any, Final

from bridge.log import logger
from bridge.loops.frames import current_frames
from bridge.loops.waiters import NativeThread, ThreadWaiter, threading_is_patched
from bridge.loops.watchdog.block import Block, Observer
from bridge.loops.watchdog.history import History
from bridge.loops.watchdog.judge import Held, Judge, Look
from bridge.loops.watchdog.stack import Stack, frame_of_loop, read_stack, runs_app_code
from bridge.loops.watchdog.thread_times import ThreadTimes

#: Looks within the time for which a call may hold the loop.
LOOKS: Final = 2
#: Seconds by which a look at a loop that sleeps may be late, and how many such looks may follow
#: each other, before it is asked what it has waited for.
_QUICK: Final = 0.001
_MOST_QUICK: Final = 16
#: Seconds for the thread to end.
_END_LIMIT: Final = 1.0
#: Returns the task that runs in a loop, from any thread: asyncio's own does so from 3.14 on.
_running_task: Final[Callable[[Any], asyncio.Task[Any] | None]] = (
    asyncio.current_task
    if sys.version_info >= (3, 14)
    else getattr(asyncio.tasks, "_current_tasks", {}).get
)


def no_progress() -> object:
    """Return nothing that changes."""
    return None


class Watchdog:
    """Watches the running loop of the thread that calls `start`, until `stop`.

    `limit`: seconds for which one call may hold the loop. `observers` are told of those that hold
    it longer, in the watchdog's thread; `on_look` is called there at each look, with the time.
    What `progress` returns changes if the loop has gone on to another call, though it has not
    turned yet: with many connections one turn takes long, and no call is to be blamed for that.
    """

    def __init__(
        self,
        limit: float,
        *,
        progress: Callable[[], object] = no_progress,
        on_look: Callable[[float], object] | None = None,
    ) -> None:
        self._pause = limit / LOOKS
        self._judge = Judge(limit)
        self._progress = progress
        self._on_look = on_look
        self.history = History()
        self.observers: list[Observer] = [self.history]
        self._stop = ThreadWaiter()
        self._thread: NativeThread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._ident = 0
        self._times: ThreadTimes
        #: The frame that runs the loop, once it is known.
        self._loop_frame: FrameType | None = None
        #: The loop was asked to call back; and when it has done so.
        self._asked = False
        self._turned_at: float | None = None
        #: What blocks the loop now.
        self._block: Block | None = None
        self._last = self._own_waited = 0.0
        #: For how long the thread of the loop had run when it was last seen idle; None: it is not.
        self._idle_at: float | None = None
        self._looks = 0

    # --------------------------------------------------------- on the loop

    def start(self) -> None:
        """Watch the running loop from its next step on, in a thread that takes no signals.

        If gevent has replaced threads, or there are no more, nothing is watched.
        """
        if self._thread is not None or threading_is_patched():
            return
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._times = ThreadTimes()
        self._asked = True
        self._loop.call_soon(self._turned)
        thread = NativeThread(self._run, "bridge-watchdog")
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self._times.close()
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._thread = thread

    def stop(self) -> None:
        """Watch no more."""
        if self._thread is not None:
            self._stop.wake()
            self._thread.join(_END_LIMIT)
            self._thread = self._loop_frame = None

    def _turned(self) -> None:
        """Note that the loop has turned; it calls this."""
        self._loop_frame = frame_of_loop(sys._getframe(1))
        self._turned_at = monotonic()
        self._asked = False

    # --------------------------------------------------------- in the thread

    def _run(self) -> None:
        own = ThreadTimes()
        self._last = now = monotonic()
        try:
            self._judge.look(self._times_at(now, 0.0, own, asks=False), None)
            while not self._stop.wait(self._pause):
                self._look(own)
        except Exception:
            logger.exception("the watchdog of the event loop has failed, and ends")
        finally:
            own.close()
            self._times.close()
            if self._block is not None:
                self._block.ended = True
                self._tell(self._block)

    def _look(self, own: ThreadTimes) -> None:
        """Look once. `own`: the times of this thread."""
        ran, now = self._times.ran(), monotonic()
        late = max(now - self._last - self._pause, 0.0)
        self._last = now
        self._looks += 1
        if ran == self._idle_at:  # the loop still sleeps: most looks end here, and cost little
            if late > _QUICK or not self._looks % _MOST_QUICK:
                self._own_waited = own.read().waited
        else:
            is_idle = self._look_closely(now, late, own)
            self._idle_at = ran if is_idle and self._block is None else None
        if self._on_look is not None:
            self._on_look(now)

    def _look_closely(self, now: float, late: float, own: ThreadTimes) -> bool:
        """Look what runs; return whether that is no code of the app's."""
        # First, and without giving up Python's lock: where the loop's thread stands when it has
        # let us have it.
        frame, loop_frame = current_frames().get(self._ident), self._loop_frame
        turned_at = self._turned_at
        if loop_frame is None or frame is None:
            return False
        key = self._key() if runs_app_code(frame, loop_frame) else None
        stack = read_stack(frame, loop_frame) if key is not None and late > self._pause else None
        del frame  # what it holds must not end in this thread

        look = self._times_at(now, late, own, asks=key is not None)
        if turned_at is not None:
            self._turned_at = None
            ended = self._judge.turned(look, turned_at)
            if ended is not None and self._block is not None:
                block, self._block = self._block, None
                block.ended = True
                self._update(block, ended, turned_at)
        held = self._judge.look(look, key)
        if key is not None and not self._asked:
            self._ask()
        if held is not None:
            self._blocked(held, now, stack)
        return key is None

    def _times_at(self, now: float, late: float, own: ThreadTimes, *, asks: bool) -> Look:
        """Return the look, with the times of the loop's thread; what it waits for if it `asks`."""
        times = self._times.read()
        runnable = asks and self._times.is_runnable()
        before, self._own_waited = self._own_waited, own.read().waited
        locked_out = max(late - (self._own_waited - before), 0.0)
        return Look(now, *times, runnable, late, locked_out)

    def _key(self) -> object:
        """Return what stays the same as long as the same call runs."""
        task = _running_task(self._loop)
        return None if task is None else weakref.ref(task), self._progress()

    def _ask(self) -> None:
        """Have the loop call back."""
        self._asked = True
        try:
            self._loop.call_soon_threadsafe(self._turned)
        except RuntimeError:  # it has closed
            self._stop.wake()

    def _blocked(self, held: Held, now: float, stack: Stack | None) -> None:
        block = self._block
        if block is None:
            stack = stack or self._read_stack()
            if stack is None or stack.is_debugged:
                return
            block = self._block = Block(stack, self._ident, held.since, held.alone)
        self._update(block, held, now)

    def _update(self, block: Block, held: Held, now: float) -> None:
        """Tell the observers of `block` as it is `now`."""
        block.seconds = held.seconds
        block.lasted = now - block.since
        self._tell(block)

    def _read_stack(self) -> Stack | None:
        frame, loop_frame = current_frames().get(self._ident), self._loop_frame
        return None if loop_frame is None else read_stack(frame, loop_frame)

    def _tell(self, block: Block) -> None:
        for observer in tuple(self.observers):
            observer(block)
