"""The signals of the process, for the servers in it: who is told, and what is put back (P2).

`Signals` is a table of what to call for each signal. Several may be in force, of several servers
in one program: each is told. When the last one that wants a signal goes, the handler that the
program had before is put back; a child that the app forks has it at once.

Python runs its handlers in the main thread, between two steps of the program: never, if that
thread is stuck in C code. So a process that belongs to a server has a `Guard`: a thread that hears
of each signal as it comes, and ends the process if that does not end by itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from select import POLLIN, poll
from time import monotonic
from time import sleep as pause
from types import FrameType
from typing import Any, Final

from bridge.errors import counted
from bridge.loops.waiters import NativeThread, threading_is_patched

logger = logging.getLogger("bridge.error")

#: Seconds that the process has to end after a second SIGINT.
CUT_LIMIT: Final = 1.0

#: Seconds that an exit may take before it is told what it waits for.
TELL_AFTER: Final = 1.0

#: What ends a process when somebody sends it.
ENDING: Final = (signal.SIGTERM, signal.SIGINT)

#: For a process that exits: to stop it changes nothing, but SIGINT ends it at once.
LAST: Final[Mapping[int, Any]] = {signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_DFL}

_active: list[Signals] = []
#: The program's own handlers, of the signals that tables in force want.
_previous: dict[int, Any] = {}


class Interrupted(KeyboardInterrupt):
    """A signal has ended what ran before there was a loop that could be told."""


class Signals:
    """While entered, in the main thread: calls ``table[number]()`` for each signal that comes.

    What is called runs between any two steps of the program: it sets flags, wakes a loop with
    ``call_soon_threadsafe``, or raises `Interrupted`. In other threads nothing is done: only the
    main thread can have handlers.

    `limit` makes it the process's own: a `Guard` ends it so many seconds after it was told to end.
    `in_children`: the handler of these signals in a child that is forked; the program's own where
    None. `last`: the process is about to exit when this is left, and `LAST` holds from then on.
    """

    def __init__(
        self,
        table: Mapping[int, Callable[[], object]],
        *,
        limit: Callable[[], float | None] | None = None,
        in_children: Any = None,
        last: bool = False,
    ) -> None:
        self.table = table
        self.in_children = in_children
        self._at_end: Mapping[int, Any] = LAST if last else {}
        self._guard = None if limit is None else Guard(limit)

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self
        _mind_forks()
        _active.append(self)
        for number in self.table:
            if number not in _previous:
                _previous[number] = signal.signal(number, _hear)
        if self._guard is not None and not threading_is_patched():
            self._guard.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self not in _active:
            return
        _active.remove(self)
        for number in [*_previous]:
            if not any(number in each.table for each in _active):
                _put_back(number, self._at_end.get(number))
        if self._guard is not None:
            self._guard.stop()

    def listen(self) -> None:
        """A loop has begun to run, and hears of signals first: have its guard hear of them, too."""
        if self._guard is not None:
            self._guard.listen()


def was_ignored(number: int) -> bool:
    """Whether the program ignores the signal itself, as after ``nohup`` (SIGHUP)."""
    return _previous.get(number, signal.getsignal(number)) == signal.SIG_IGN


def _hear(number: int, frame: FrameType | None) -> None:
    """Python: a signal has come."""
    interrupted: Interrupted | None = None
    for each in [*_active]:
        each.listen()  # the app may have taken the guard's place
        handler = each.table.get(number)
        if handler is not None:
            try:
                handler()
            except Interrupted as error:  # the others shall hear of it all the same
                interrupted = error
    if interrupted is not None:
        raise interrupted


def _put_back(number: int, handler: Any = None) -> None:
    """Give a signal the program's own handler again, unless the app has set one meanwhile."""
    previous = _previous.pop(number)
    if signal.getsignal(number) is _hear:
        handler = previous if handler is None else handler
        # None: a handler that was not set from Python, and cannot be set again.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


# ------------------------------------------------------------- children


class _Fork(threading.local):
    """A fork that this thread is doing: what signals it held back before, if any."""

    mask: Any = None


_fork = _Fork()
_minds_forks = False


def _mind_forks() -> None:
    global _minds_forks
    if not _minds_forks:
        _minds_forks = True
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child
        )


def _before_fork() -> None:
    """Hold our signals back: a child is terminated by one that comes before it is itself."""
    if _active:
        _fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [*_previous])


def _after_fork() -> None:
    if _fork.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _fork.mask)
        _fork.mask = None


def _in_child() -> None:
    """In a child that was just forked: nothing of the server's; it can be terminated."""
    if _active:
        signal.set_wakeup_fd(-1)  # the parent's
        for number in [*_previous]:
            wanted = (each.in_children for each in _active if number in each.table)
            _put_back(number, next(wanted, None))
        _active.clear()
    _after_fork()


# ------------------------------------------------------------- the guard


class Guard:
    """Ends the process if it does not end by itself in time, whatever its main thread does.

    `limit` gives the seconds from the first SIGTERM or SIGINT, None for any; a SIGINT after that
    leaves `CUT_LIMIT`. The exit code is the one of a process that the signal has ended. A signal
    for which the app has set a handler of its own is the app's, and ends nothing. Started, stopped
    and told to listen in the main thread.
    """

    def __init__(self, limit: Callable[[], float | None]) -> None:
        self._limit = limit
        self._ear = self._mouth = self._before = -1
        #: A copy of where a loop wants to hear of signals: they are passed on.
        self._relay = -1
        self._told = False
        self._code = 0
        self._end: float | None = None

    def start(self) -> None:
        """Begin to hear of signals."""
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._mouth, False)
        self._thread = NativeThread(self._run, "bridge-signals", seen=False)
        # Signals shall strike the main thread: another does not wake it from what it waits for.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):  # no more threads: the process does without
            os.close(self._ear)
            os.close(self._mouth)
            self._mouth = -1
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._before = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)

    def listen(self) -> None:
        """Hear of signals first, and pass them on to who did so far."""
        if self._mouth < 0:
            return
        other = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        if other not in (-1, self._mouth):
            old, self._relay = self._relay, os.dup(other)
            if old >= 0:
                os.close(old)

    def stop(self) -> None:
        """Hear no more."""
        if self._mouth < 0:
            return
        other = signal.set_wakeup_fd(-1)
        back = self._before if other == self._mouth else other
        if back >= 0:
            signal.set_wakeup_fd(back)
        os.write(self._mouth, b"\0")
        if self._thread.join(1):
            for descriptor in (self._ear, self._mouth, self._relay):
                if descriptor >= 0:
                    os.close(descriptor)
        self._mouth = -1

    def _run(self) -> None:
        ear = poll()
        ear.register(self._ear, POLLIN)
        while True:
            left = None if self._end is None else max(self._end - monotonic(), 0) * 1000
            if not ear.poll(left):
                os._exit(self._code)
            heard = os.read(self._ear, 512)
            if 0 in heard:
                return
            for number in heard:
                self._hear(number)
            try:
                if self._relay >= 0:
                    os.write(self._relay, heard)
            except OSError:
                pass  # that loop is gone

    def _hear(self, number: int) -> None:
        if number not in ENDING or signal.getsignal(number) is not _hear:
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
    """Have the process, which is about to exit with `code`, end even if the app's threads hang.

    To be called last, in the main thread; `LAST` holds from now on.
    """
    for number, handler in LAST.items():
        signal.signal(number, handler)

    def end() -> None:
        pause(min(seconds, TELL_AFTER))
        if seconds > TELL_AFTER:
            _tell_who_keeps_it(seconds)
            pause(seconds - TELL_AFTER)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)

    with contextlib.suppress(RuntimeError, MemoryError):  # no more threads
        NativeThread(end, "bridge-end").start()


def _tell_who_keeps_it(seconds: float) -> None:
    """Say which threads of the app an exit waits for, and how long."""
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


# ------------------------------------------------------------- the terminal


class Terminal:
    """The terminal that the process was started from: closing it sends SIGHUP."""

    def __init__(self) -> None:
        self._minded = not was_ignored(signal.SIGHUP) and _has_terminal()

    def is_closed(self) -> bool:
        """Whether it was there and is no more, and the process shall go with it (no ``nohup``)."""
        return self._minded and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
