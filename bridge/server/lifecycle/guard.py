"""What ends the process if it does not end by itself: after a signal, and at its exit (P2).

Python runs handlers of signals in the main thread, between two steps of the program: never, if that
thread is stuck in C code. So a process that belongs to a server has a `Guard`: a thread that is
told of each signal as it comes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from select import POLLIN, poll
from time import monotonic
from time import sleep as pause
from typing import Any, Final

from bridge.errors import counted
from bridge.log import logger
from bridge.loops.waiters import NativeThread

#: Seconds that the process has to end after a second SIGINT.
CUT_LIMIT: Final = 1.0

#: Seconds that an exit may take before it is told what it waits for.
TELL_AFTER: Final = 1.0

#: What ends a process when somebody sends it.
ENDING: Final = (signal.SIGTERM, signal.SIGINT)

#: For a process that exits: to stop it changes nothing, but SIGINT ends it at once.
LAST: Final[Mapping[int, Any]] = {signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_DFL}


class Guard:
    """Ends the process if it does not end by itself in time, whatever its main thread does.

    `limit` gives the seconds from the first SIGTERM or SIGINT, None for any; a SIGINT after that
    leaves `CUT_LIMIT`. The exit code is the one of a process that the signal has ended. A signal
    that is not `is_ours`, because the app has set a handler of its own, ends nothing. Started,
    stopped and told to listen in the main thread.
    """

    def __init__(self, limit: Callable[[], float | None], is_ours: Callable[[int], bool]) -> None:
        self._limit = limit
        self._is_ours = is_ours
        #: The pipe into which Python writes the number of each signal; the descriptor of before.
        self._reader = self._writer = self._before = -1
        #: A copy of the descriptor at which a loop is told of signals: they are passed on.
        self._relay = -1
        self._told = False
        self._code = 0
        self._end: float | None = None

    def start(self) -> None:
        """Take note of signals from now on."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._thread = NativeThread(self._run, "bridge-signals", registered=False)
        # Signals shall strike the main thread: another does not wake it from what it waits for.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):  # no more threads: the process does without
            os.close(self._reader)
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
            old, self._relay = self._relay, os.dup(other)
            if old >= 0:
                os.close(old)

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
            for descriptor in (self._reader, self._writer, self._relay):
                if descriptor >= 0:
                    os.close(descriptor)
        self._writer = -1

    def _run(self) -> None:
        ready = poll()
        ready.register(self._reader, POLLIN)
        while True:
            left = None if self._end is None else max(self._end - monotonic(), 0) * 1000
            if not ready.poll(left):
                os._exit(self._code)
            numbers = os.read(self._reader, 512)
            if 0 in numbers:
                return
            for number in numbers:
                self._note(number)
            try:
                if self._relay >= 0:
                    os.write(self._relay, numbers)
            except OSError:
                pass  # that loop is gone

    def _note(self, number: int) -> None:
        if number not in ENDING or not self._is_ours(number):
            return
        if not self._told:
            limit = self._limit()
            self._end = None if limit is None else monotonic() + limit
        elif number == signal.SIGINT:
            self._end = monotonic() + CUT_LIMIT
        else:
            return  # a second SIGTERM changes nothing
        self._told = True
        self._code = 128 + number


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
            counted(len(names), "thread"),
            ", ".join(names),
            round(seconds, 1),
        )
