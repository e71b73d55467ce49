"""How long a thread has run, and how long it has waited for a processor."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

_NANO: Final = 1e-9

#: Whether each thread has a clock of the time for which it has run.
_HAS_CLOCKS: Final = hasattr(time, "pthread_getcpuclockid")
#: ``pread``, without giving up Python's lock: to get that back from a busy loop would cost far more
#: than the call.
_pread = ctypes.PyDLL(None).pread
_pread.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long)
_pread.restype = ctypes.c_ssize_t


class Times(NamedTuple):
    """What a thread has done since its start, in seconds."""

    ran: float
    #: For how long it has waited for a processor.
    waited: float
    #: How often it was given one.
    turns: int


class ThreadTimes:
    """The times of the thread that makes it; any thread may read them.

    Linux tells all of them. Where the system tells only how long a thread has run, it has never
    waited; where it does not tell that, it has run for as long as the whole process.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._clock = _clock_of_this_thread()
        self._files: list[int] = []
        self._buffer = ctypes.create_string_buffer(512)
        folder = f"{proc}/self/task/{threading.get_native_id()}"
        try:
            for name in ("schedstat", "stat"):
                self._files.append(os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC))
            self.read()
        except OSError:  # it is no Linux, or one that does not count this
            self.close()

    def ran(self) -> float:
        """Return for how long it has run: less than `read` tells, and cheaper.

        Twice the same if it has not run meanwhile; never, where the system cannot tell.
        """
        return self._clock() if _HAS_CLOCKS else math.nan

    def read(self) -> Times:
        """Return the times of this moment."""
        if not self._files:
            return Times(self._clock(), 0.0, 0)
        ran, waited, turns = map(int, self._pread(0).split())
        return Times(ran * _NANO, waited * _NANO, turns)

    def is_runnable(self) -> bool:
        """Whether it runs, or would if it had a processor; False if the system does not tell."""
        if not self._files:
            return False
        return self._pread(1).rpartition(b") ")[2].startswith(b"R")

    def _pread(self, file: int) -> bytes:
        """Read one of the files; in one thread at a time."""
        size = _pread(self._files[file], self._buffer, len(self._buffer), 0)
        if size < 0:
            raise OSError("a thread that has ended tells nothing")
        return self._buffer.raw[:size]

    def close(self) -> None:
        """Close what it has open."""
        while self._files:
            os.close(self._files.pop())


def _clock_of_this_thread() -> Callable[[], float]:
    """Return a function that returns how long this thread has run, for any thread to call."""
    if not _HAS_CLOCKS:
        return time.process_time
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)
