"""A file of lines that several processes write to, bounded on disk (M12).

Each line is written whole, while all other writers wait. A file that is full becomes ``NAME.1``,
this one ``NAME.2``, and so on; the last one is deleted. Only the user of the process may read them.
A line that cannot be written is lost, counted and told once: the app goes on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import Final

from bridge.errors import ConfigError
from bridge.log import logger

#: Bytes of all files together, unless something else is said; and how many files there are.
MOST_BYTES: Final = 64 * 1024 * 1024
FILES: Final = 4
#: The least that all files together may be given: each takes at least one line of any length.
LEAST_BYTES: Final = 1024 * 1024


class BoundedFile:
    """Lines in the file at `path` and its older parts, of at most `most_bytes` together.

    Raises `ConfigError` if nothing can be written there. Threads and processes may share it, also
    processes that are forked.
    """

    def __init__(self, path: str | Path, most_bytes: int = MOST_BYTES) -> None:
        if most_bytes < LEAST_BYTES:
            raise ConfigError(
                f"a report of at most {most_bytes} bytes is too small; "
                f"give it {LEAST_BYTES} or more"
            )
        self.path = os.path.abspath(path)
        self.lost = 0
        self._most = most_bytes // FILES
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._descriptor = -1
        try:
            self._open()
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written: {error.strerror}; name a file in a folder that "
                "is there, and that this user may write"
            ) from None

    def write(self, line: bytes) -> bool:
        """Write one line, which ends as lines do; whether it is there."""
        with self._lock:
            try:
                self._write(line)
            except OSError as error:
                self.lost += 1
                if self.lost == 1:
                    logger.warning("%s: lines are lost: %s", self.path, error.strerror)
                return False
        return True

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        with self._lock:
            self._close()

    def _write(self, line: bytes) -> None:
        if len(line) > self._most:
            raise OSError(errno.EFBIG, f"a line of {len(line)} bytes is too long")
        if self._process != os.getpid():
            # A lock belongs to an open file, which a fork shares: this process needs its own.
            self._close()
            self._process = os.getpid()
        size = self._lock_current()
        try:
            if size and size + len(line) > self._most:
                self._rotate()
                size = 0
            written = os.write(self._descriptor, line)
            if written < len(line):  # the disk is full
                os.ftruncate(self._descriptor, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            if self._descriptor >= 0:  # else the next file could not be opened
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _lock_current(self) -> int:
        """Lock the file that has the name now, and return its size."""
        while True:
            if self._descriptor < 0:
                self._open()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            ours = os.fstat(self._descriptor)
            try:
                named = os.stat(self.path)
            except FileNotFoundError:
                named = None
            if named is not None and os.path.samestat(ours, named):
                return ours.st_size
            self._close()  # another process has moved it

    def _rotate(self) -> None:
        """Move all files by one, and begin a new one, which is locked from the start."""
        for number in range(FILES - 1, 0, -1):
            source = f"{self.path}.{number - 1}" if number > 1 else self.path
            try:
                os.replace(source, f"{self.path}.{number}")
            except FileNotFoundError:
                pass
        full = self._descriptor
        self._descriptor = -1
        try:
            self._open()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        finally:
            os.close(full)

    def _open(self) -> None:
        flags = (
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        )
        descriptor = os.open(self.path, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def parts_of(path: str | Path) -> list[Path]:
    """Return the files of a report that are there, the oldest first."""
    older = [Path(f"{path}.{number}") for number in range(FILES - 1, 0, -1)]
    return [part for part in (*older, Path(path)) if part.is_file()]
