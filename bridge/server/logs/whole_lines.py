"""Lines of a log that several processes write to: each stays whole (P5).

A Python stream writes what is longer than its buffer in several pieces, and a pipe that is full
takes what is longer than 4096 bytes in pieces, too: between two of them another process may write.
So a text is written in one go, and to anything but a file while all other writers wait.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import stat
from typing import Any


def write_whole(stream: Any, text: str) -> None:
    """Write `text` to `stream`, so that no other process that does the same writes within it."""
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
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError:  # it cannot be locked, and is written to all the same
        _write(descriptor, data)
        return
    try:
        _write(descriptor, data)
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class WholeLines(logging.StreamHandler[Any]):
    """Writes each record to its stream in one piece, also one with a long traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record` (overrides `logging.StreamHandler`)."""
        try:
            write_whole(self.stream, self.format(record) + self.terminator)
        except Exception:
            self.handleError(record)


class WholeLinesFile(WholeLines, logging.FileHandler):
    """The same, to a file."""
