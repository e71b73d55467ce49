"""What ends the process if it does not end by itself: after a signal, and at its exit (P2).

Python runs handlers of signals in the main thread, between two steps of the program: never, if that
thread is stuck in C code. So a process that belongs to a server has a `Guard`: a thread that is
told of each signal as it comes. In a worker it watches its lifeline, too: a descriptor whose other
end the supervisor has, and which the system closes with it (P7).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from select import POLLHUP, POLLIN, poll
from time import monotonic
from time import sleep as pause
from typing import Any, Final

from bridge.errors import pluralize
from bridge.log import logger
from bridge.loops.waiters import NativeThread

#: Seconds that the process has to end after a second SIGINT.
CUT_LIMIT: Final = 1.0

#: Seconds that a worker has to end after its supervisor.
ORPHAN_LIMIT: Final = 1.5

#: Seconds that an exit may take before it is told what it waits for.
TELL_AFTER: Final = 1.0

#: The signals that end a process.
ENDING: Final = (signal.SIGTERM, signal.SIGINT)

#: For a process that exits: to stop it changes nothing, but SIGINT ends it at once.
LAST: Final[Mapping[int, Any]] = {signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_DFL}


class Deadline:
    """When a process that was told to end is to be ended, and with which exit code.

    `limit` gives the seconds from the first SIGTERM or SIGINT, None for any; a SIGINT after that
    leaves `CUT_LIMIT`. A signal that is not `is_ours`, because the app has set a handler of its
    own, changes nothing; without `limit` none does. Without its supervisor it has `ORPHAN_LIMIT`.
    """

    def __init__(
        self, limit: Callable[[], float | None] | None, is_ours: Callable[[int], bool]
    ) -> None:
        self._limit = limit
        self._is_ours = is_ours
        self._end: float | None = None
        #: The one of a process that the signal has ended; 0 until one has come.
        self.code = 0

    def note(self, number: int, now: float) -> None:
        """Note that the signal `number` has come at the time `now`."""
        if self._limit is None or number not in ENDING or not self._is_ours(number):
            return
        if not self.code:
            limit = self._limit()
            self._end = None if limit is None else now + limit
        elif number == signal.SIGINT:
            self._end = now + CUT_LIMIT
        else:
            return  # a second SIGTERM changes nothing
        self.code = 128 + number

    def note_orphaned(self, now: float) -> None:
        """Note that the supervisor has gone at the time `now`."""
        self._end = now + ORPHAN_LIMIT
        self.code = self.code or 1

    def left(self, now: float) -> float | None:
        """Return the seconds that are left at the time `now`; None: any."""
        return None if self._end is None else max(self._end - now, 0)


class Watch:
    """What a guard's thread does: it reads the numbers of signals, and ends the process in time.

    `reader` is the end of a pipe into which Python writes these numbers; 0 ends the watch. If the
    other end of `lifeline` is closed, the supervisor is gone.
    """

    def __init__(self, reader: int, deadline: Deadline, lifeline: int | None = None) -> None:
        self._reader = reader
        self._deadline = deadline
        self._lifeline = lifeline
        #: A copy of the descriptor at which a loop is told of signals: they are passed on.
        self._relay = -1

    def pass_on_to(self, descriptor: int) -> None:
        """Tell the loop that is told of signals at `descriptor`, and no other any more."""
        old, self._relay = self._relay, os.dup(descriptor)
        if old >= 0:
            os.close(old)

    def run(self) -> None:
        """Watch until there is a 0; does not return if the time is up."""
        ready = poll()
        ready.register(self._reader, POLLIN)
        if self._lifeline is not None:
            ready.register(self._lifeline, 0)  # only its end is told: messages are the loop's
        while True:
            left = self._deadline.left(monotonic())
            happened = dict(ready.poll(None if left is None else left * 1000))
            if not happened:
                os._exit(self._deadline.code)
            if self._lifeline is not None and self._lifeline in happened:
                if happened[self._lifeline] & POLLHUP:
                    self._deadline.note_orphaned(monotonic())
                ready.unregister(self._lifeline)
            if self._reader not in happened:
                continue
            numbers = os.read(self._reader, 512)
            if 0 in numbers:
                return
            for number in numbers:
                self._deadline.note(number, monotonic())
            try:
                if self._relay >= 0:
                    os.write(self._relay, numbers)
            except OSError:
                pass  # that loop is gone

    def close(self) -> None:
        """Close its descriptors, when nothing runs it any more."""
        os.close(self._reader)
        if self._relay >= 0:
            os.close(self._relay)


class Guard:
    """Ends the process if it does not end by itself in time, whatever its main thread does.

    `limit` and `is_ours` are those of its `Deadline`, `lifeline` that of its `Watch`. Started,
    stopped and told to listen in the main thread.
    """

    def __init__(
        self,
        limit: Callable[[], float | None] | None,
        is_ours: Callable[[int], bool],
        lifeline: int | None = None,
    ) -> None:
        self._deadline = Deadline(limit, is_ours)
        self._lifeline = lifeline
        #: The descriptor to which Python writes the number of each signal, and the one before it.
        self._writer = self._before = -1

    def start(self) -> None:
        """Take note of signals from now on."""
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._watch = Watch(reader, self._deadline, self._lifeline)
        self._thread = NativeThread(self._watch.run, "bridge-signals", registered=False)
        # Signals shall strike the main thread: another does not wake it from what it waits for.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):  # no more threads: the process does without
            self._watch.close()
            os.close(self._writer)
            self._writer = -1
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def listen(self) -> None:
        """Be told of signals first, and pass them on to the loop that was told so far."""
        if self._writer < 0:
            return
        other = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if other not in (-1, self._writer):
            self._watch.pass_on_to(other)

    def stop(self) -> None:
        """Take note of no more signals."""
        if self._writer < 0:
            return
        other = signal.set_wakeup_fd(-1)
        back = self._before if other == self._writer else other
        if back >= 0:
            signal.set_wakeup_fd(back)
        os.write(self._writer, b"\0")
        if self._thread.join(1):
            self._watch.close()
            os.close(self._writer)
        self._writer = -1


def end_within(seconds: float, code: int) -> None:
    """End the process, which is about to exit with `code`, even if the app's threads hang.

    To be called last, in the main thread; `LAST` holds from now on.
    """
    for number, handler in LAST.items():
        signal.signal(number, handler)

    def end() -> None:
        pause(min(seconds, TELL_AFTER))
        if seconds > TELL_AFTER:
            _log_threads_waited_for(seconds)
            pause(seconds - TELL_AFTER)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)

    with contextlib.suppress(RuntimeError, MemoryError):  # no more threads
        NativeThread(end, "bridge-end").start()


def _log_threads_waited_for(seconds: float) -> None:
    """Log which threads of the app an exit waits for, and how long."""
    names = [
        each.name
        for each in threading.enumerate()
        if not each.daemon and each is not threading.main_thread()
    ]
    if names:
        logger.warning(
            "the process waits for %s of the app: %s (at most %g s; CTRL+C ends it)",
            pluralize(len(names), "thread"),
            ", ".join(names),
            round(seconds, 1),
        )
