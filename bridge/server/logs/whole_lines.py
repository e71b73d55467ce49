"""Lines of a log that several processes write to: each stays whole (P5).

A Python stream writes what is longer than its buffer in several pieces, and a pipe that is full
takes what is longer than 4096 bytes in pieces, too: between two of them another process may write.
So a text is written in one go, and to anything but a file while all other writers wait.

A writer waits for who reads, and for the other writers; a process that all others depend on may
not: there, a line that nobody takes soon is lost.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import stat
from contextlib import suppress
from select import PIPE_BUF, POLLOUT, poll
from time import monotonic
from time import sleep as pause
from typing import Any, Final

from bridge.errors import pluralize

#: Seconds that a line may take, in a process that is not to wait for long.
PATIENCE: Final = 0.5
#: Seconds between two looks whether another writer is done.
_PAUSE: Final = 0.01


def write_whole(stream: Any, text: str, limit: float | None = None) -> None:
    """Write `text` to `stream`, so that no other process that does the same writes within it.

    Raises `TimeoutError` if that takes longer than `limit` seconds; None: it takes what it takes.
    """
    if type(stream) is not io.TextIOWrapper or not isinstance(
        stream.buffer, (io.BufferedWriter, io.FileIO)
    ):
        stream.write(text)  # what else it does with that is not known
        stream.flush()
        return
    stream.flush()
    descriptor = stream.fileno()
    data = text.encode(stream.encoding, stream.errors or "strict")
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        _write(descriptor, data)  # the system lets one write at a time
        return
    end = None if limit is None else monotonic() + limit
    try:
        _lock(descriptor, end)
        _write(descriptor, data, end)
    finally:
        with suppress(OSError):  # it has not been locked
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _lock(descriptor: int, end: float | None) -> None:
    """Have all other writers wait. What cannot be locked is written to all the same."""
    if end is None:
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() >= end:
                raise TimeoutError("another process writes for too long") from None
            pause(_PAUSE)
        except OSError:
            return
        else:
            return


def _write(descriptor: int, data: bytes, end: float | None = None) -> None:
    while data:
        piece = data
        if end is not None:
            ready = poll()
            ready.register(descriptor, POLLOUT)
            if not ready.poll(max(end - monotonic(), 0) * 1000):
                raise TimeoutError("nobody reads")
            piece = data[:PIPE_BUF]  # so much is taken at once
        data = data[os.write(descriptor, piece) :]


class WholeLines(logging.StreamHandler[Any]):
    """Writes each record to its stream in one piece, also one with a long traceback."""

    #: The lines that are lost since the last one that was taken; None: none is, it waits.
    _lost: int | None = None

    def lose_what_waits(self) -> None:
        """Have lines lost from now on that nobody takes soon."""
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record` (overrides `logging.StreamHandler`)."""
        try:
            text = self.format(record) + self.terminator
            if self._lost is None:
                write_whole(self.stream, text)
            else:
                self._lost = self._write_or_lose(text, self._lost)
        except Exception:
            self.handleError(record)

    def _write_or_lose(self, text: str, lost: int) -> int:
        """Write `text` and what was lost before; return how many lines are lost now."""
        if lost:
            told = f"({pluralize(lost, 'line')} lost: nobody took what was written)"
            text = f"{told}{self.terminator}{text}"
        try:
            write_whole(self.stream, text, 0 if lost else PATIENCE)
        except TimeoutError:
            return lost + 1
        return 0


class WholeLinesFile(WholeLines, logging.FileHandler):
    """The same, to a file."""
