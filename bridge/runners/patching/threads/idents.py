"""Who calls: the numbers by which `threading` and libraries tell their callers apart (G6, G7).

A greenlet of ours has a number of its own. It is unique as long as the greenlet lives, which is for
many requests, one after the other, as with a thread of a pool. A coroutine of the server's loop has
the thread's number, also where it begins inside a greenlet. A greenlet that the app makes is a part
of the one that it is made in.

Numbers of greenlets are given to functions that want those of threads. Those of them that are
functions of C look for the thread, and may crash if there is none; they get the number of the
greenlet's thread.
"""

from __future__ import annotations

import _thread
import atexit
import gc
import signal
import sys
import time
from _thread import get_ident as thread_ident
from asyncio import BaseEventLoop
from asyncio.events import _get_running_loop
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any, Final

from greenlet import getcurrent

from bridge.loops.frames import current_frames
from bridge.runners.greenlets.worker import Worker, worker_of

_check_loops_thread: Final[Any] = BaseEventLoop._check_thread  # type: ignore[attr-defined]


def acting_greenlet() -> Worker | None:
    """Return the greenlet for which the caller acts, also if it must not wait now; None: none."""
    worker = worker_of(getcurrent())
    return worker if worker is not None and _get_running_loop() is not worker.loop else None


def get_ident() -> int:
    """Return a number that tells this thread or greenlet from all others that live."""
    here = getcurrent()
    if type(here) is Worker:
        return here.ident if _get_running_loop() is not here.loop else here.thread_ident
    if here.parent is None:
        return thread_ident()
    worker = acting_greenlet()
    return thread_ident() if worker is None else worker.ident


def _current_frames() -> dict[int, FrameType]:
    """`sys._current_frames`, with the calling greenlet by its own number."""
    frames = current_frames()
    frames[thread_ident()] = sys._getframe(1)
    worker = acting_greenlet()
    if worker is not None:
        frames[worker.ident] = frames[thread_ident()]
    return frames


def number_of_thread(number: int) -> int:
    """Return the number of the thread in which the greenlet with that number runs."""
    if number in current_frames():
        return number
    for each in gc.get_objects():
        if type(each) is Worker and each.ident == number:
            return each.thread_ident
    return number


def _with_threads_number(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, of C, with the number of a thread in the place of a greenlet's."""

    @wraps(function)
    def with_threads_number(number: int, *arguments: Any) -> Any:
        return function(number_of_thread(number), *arguments)

    return with_threads_number


def _check_thread(self: Any) -> None:
    """In debug mode: a greenlet may call the loop in whose thread it runs, as its waits do."""
    if self._thread_id != thread_ident():
        _check_loops_thread(self)


def _forget_greenlets() -> None:
    """At the end of the process: do not ask for the current greenlet any more.

    While the interpreter is taken apart, finalizers use locks and sockets, and that raises an error
    then. Only one greenlet is left.
    """
    asked, last = getcurrent, getcurrent()
    for name, module in [*sys.modules.items()]:
        names = vars(module)
        if name.startswith("bridge.runners.") and names.get("getcurrent") is asked:
            names["getcurrent"] = lambda: last


def patch() -> list[tuple[object, object]]:
    """Change asyncio's loops; return the functions of C that are to be replaced."""
    atexit.register(_forget_greenlets)
    BaseEventLoop._check_thread = _check_thread  # type: ignore[attr-defined]
    pairs: list[tuple[object, object]] = [
        (_thread.get_ident, get_ident),
        (sys._current_frames, _current_frames),
    ]
    for module, name in ((signal, "pthread_kill"), (time, "pthread_getcpuclockid")):
        function = getattr(module, name, None)
        if function is not None:
            pairs.append((function, _with_threads_number(function)))
    return pairs
