"""The signals of the process: which servers in it are told, and what is put back (P2).

`Signals` is a table of what to call for each signal. Several may be in force, of several servers
in one program: each is told. When the last one that wants a signal goes, the handler that the
program had before is put back; a child that the app forks has it at once.

No server is known here: a table says what to call. A process that belongs to a server has a
`Guard` as well, which ends it if that does not end by itself.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from bridge.loops.waiters import threading_is_patched
from bridge.server.lifecycle.guard import LAST, Guard

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
    `lifeline` is for a worker, which belongs to a supervisor: a `Guard` ends it soon after that.
    `in_children`: the handler of these signals in a child that is forked; None: the program's own.
    `last`: the process is about to exit when this is left, and `LAST` holds from then on.
    """

    def __init__(
        self,
        table: Mapping[int, Callable[[], object]],
        *,
        limit: Callable[[], float | None] | None = None,
        lifeline: int | None = None,
        in_children: Any = None,
        last: bool = False,
    ) -> None:
        self.table = table
        self.in_children = in_children
        self._at_end: Mapping[int, Any] = LAST if last else {}
        guarded = limit is not None or lifeline is not None
        self._guard = Guard(limit, _is_ours, lifeline) if guarded else None

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self
        _register_fork_hooks()
        _active.append(self)
        for number in self.table:
            if number not in _previous:
                _previous[number] = signal.signal(number, _on_signal)
        if self._guard is not None and not threading_is_patched():
            self._guard.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self not in _active:
            return
        _active.remove(self)
        for number in [*_previous]:
            if not any(number in each.table for each in _active):
                _restore_handler(number, self._at_end.get(number))
        if self._guard is not None:
            self._guard.stop()

    def listen(self) -> None:
        """Note that a loop has begun to run, and is told of signals first: the guard must be."""
        if self._guard is not None:
            self._guard.listen()


def was_ignored(number: int) -> bool:
    """Return whether the program ignores the signal itself, as after ``nohup`` (SIGHUP)."""
    return _previous.get(number, signal.getsignal(number)) == signal.SIG_IGN


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Tell the tables in force of a signal; Python calls it, in the main thread."""
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


def _is_ours(number: int) -> bool:
    """Return whether no handler has been set in the place of this module's."""
    return signal.getsignal(number) is _on_signal


def _restore_handler(number: int, handler: Any = None) -> None:
    """Give a signal the program's own handler again, unless the app has set one meanwhile."""
    previous = _previous.pop(number)
    if _is_ours(number):
        handler = previous if handler is None else handler
        # None: a handler that was not set from Python, and cannot be set again.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


# ------------------------------------------------------------- children


class _Fork(threading.local):
    """A fork that this thread is doing: what signals it held back before, if any."""

    mask: Any = None


_fork = _Fork()
_fork_hooks_registered = False


def _register_fork_hooks() -> None:
    global _fork_hooks_registered
    if not _fork_hooks_registered:
        _fork_hooks_registered = True
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_unblock_signals,
            after_in_child=_after_fork_in_child,
        )


def _before_fork() -> None:
    """Hold our signals back: a child is terminated by one that comes before it is itself."""
    if _active:
        _fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [*_previous])


def _unblock_signals() -> None:
    if _fork.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _fork.mask)
        _fork.mask = None


def _after_fork_in_child() -> None:
    """In a child that was just forked, put everything back: it can be terminated."""
    if _active:
        signal.set_wakeup_fd(-1)  # the parent's
        for number in [*_previous]:
            wanted = (each.in_children for each in _active if number in each.table)
            _restore_handler(number, next(wanted, None))
        _active.clear()
    _unblock_signals()
