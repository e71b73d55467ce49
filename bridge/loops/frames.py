"""`current_frames`: the innermost frame of each thread; CPython 3.11 cannot lock up over it (G9).

`sys._current_frames` holds a lock of the interpreter while it makes its answer. Before Python 3.12
that may start a garbage collection, an object that ends in it may let other threads run, and one of
those that starts or ends a thread waits for that lock and never lets Python go: the whole process
stands still (CPython issue 106883, which 3.11 was not mended for). So nothing is collected
meanwhile.
"""

from __future__ import annotations

import gc
import os
import sys
from _thread import allocate_lock
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeVar

T = TypeVar("T")

#: The function itself, whatever takes its place in `sys`; to be called `without_collection`.
read_frames: Final[Callable[[], dict[int, FrameType]]] = sys._current_frames
#: Held while nothing is collected.
_lock = allocate_lock()


def _without_collection(function: Callable[[], T]) -> T:
    """Return ``function()``; nothing is collected meanwhile."""
    with _lock:
        if not gc.isenabled():
            return function()
        gc.disable()
        try:
            return function()
        finally:
            gc.enable()


def _at_once(function: Callable[[], T]) -> T:
    """Return ``function()``: collections wait for its end by themselves."""
    return function()


def _current_frames() -> dict[int, FrameType]:
    """`sys._current_frames`, without a collection meanwhile."""
    return _without_collection(read_frames)


def _after_fork_in_child() -> None:
    """Collect again, if another thread was reading: it is not in this process."""
    global _lock
    if _lock.locked():
        _lock = allocate_lock()
        gc.enable()


if sys.version_info >= (3, 12):
    current_frames, without_collection = read_frames, _at_once
else:
    current_frames, without_collection = _current_frames, _without_collection
    os.register_at_fork(after_in_child=_after_fork_in_child)
