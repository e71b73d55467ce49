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
from typing import Final

_read_frames: Final[Callable[[], dict[int, FrameType]]] = sys._current_frames
#: Held while nothing is collected.
_lock = allocate_lock()


def _current_frames() -> dict[int, FrameType]:
    """`sys._current_frames`, without a collection meanwhile."""
    with _lock:
        if not gc.isenabled():
            return _read_frames()
        gc.disable()
        try:
            return _read_frames()
        finally:
            gc.enable()


def _after_fork_in_child() -> None:
    """Collect again, if another thread was reading: it is not in this process."""
    global _lock
    if _lock.locked():
        _lock = allocate_lock()
        gc.enable()


if sys.version_info >= (3, 12):
    current_frames = _read_frames
else:
    current_frames = _current_frames
    os.register_at_fork(after_in_child=_after_fork_in_child)
