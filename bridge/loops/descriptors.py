"""Descriptors: regular files opened without waiting, and duplicates that nobody else can close.

A descriptor is a bare number. When its owner closes it, the system gives the same number to what
is opened next: another client's connection, say. So code that uses one later, or in another thread,
takes a duplicate first, at a time when the original is certainly open.
"""

from __future__ import annotations

import os
import select
import stat
from io import BufferedRandom, BufferedReader, FileIO
from typing import Any

from bridge.loops.waiters import unpatched

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def open_file(path: str, flags: int = _FLAGS) -> int:
    """Open a regular file for reading (A24, S10); links are followed. Raises `OSError`.

    Never waits: to open a FIFO would stop the process until somebody writes to it, and to open a
    device can do anything. So it is looked at before, and again when it is open.
    """
    _check_regular(path, os.stat(path))
    descriptor = os.open(path, flags | _FLAGS)
    try:
        _check_regular(path, os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(path: str, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise OSError(f"{path!r} is not a regular file; only these can be sent")


def regular_file(file: Any) -> int | None:
    """Return the descriptor of a regular file; None if it only looks like one (`gzip` files do)."""
    file = getattr(file, "file", file)  # of `tempfile.NamedTemporaryFile`
    raw = getattr(file, "raw", file)
    if type(raw) is not FileIO or not isinstance(file, (FileIO, BufferedReader, BufferedRandom)):
        return None
    descriptor = raw.fileno()
    return descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def input_ended(descriptor: int) -> bool:
    """Whether the other end of an open socket has closed its side, whatever is still unread.

    Does not wait. If the system does not tell (macOS), only a connection that is broken counts.
    """
    asked = unpatched("poll", select)()
    asked.register(descriptor, getattr(select, "POLLRDHUP", 0))
    return bool(asked.poll(0))


class Duplicate:
    """A duplicate of `descriptor`, closed with this object at the latest. Raises `OSError`.

    It is made in the thread that the original belongs to. Exactly one caller of `take` or `close`
    gets it, from whatever threads they are called.
    """

    __slots__ = ("_owned",)

    def __init__(self, descriptor: int) -> None:
        self._owned: list[int] = []
        self._owned.append(os.dup(descriptor))

    def take(self) -> int | None:
        """Return the descriptor, which is the caller's to close from now on; None if it is gone."""
        try:
            return self._owned.pop()  # one step, so one winner
        except IndexError:
            return None

    def number(self) -> int:
        """Return the descriptor, which stays this object's. Raises IndexError once it is gone."""
        return self._owned[0]

    def close(self) -> bool:
        """Close it; whether it was still here."""
        descriptor = self.take()
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def __del__(self) -> None:
        self.close()
