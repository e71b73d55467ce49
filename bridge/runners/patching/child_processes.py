"""Child processes in greenlets: `subprocess`, `os.waitpid`, and so `os.popen` (G6).

The end of a child is waited for by a descriptor of it (`os.pidfd_open`, Linux); elsewhere the
greenlet looks for it every now and then. `communicate` waits by `selectors`. The pipes of a child
wait themselves, whoever reads or writes them.
"""

from __future__ import annotations

import io
import os
import select
import subprocess
from functools import wraps
from time import monotonic
from typing import Any, Final

from bridge.runners.greenlets.descriptors import READ, WRITE, tell_closing, wait_ready
from bridge.runners.greenlets.waiting import sleep
from bridge.runners.greenlets.worker import Worker, current_worker

_waitpid: Final = os.waitpid
_wait: Final[Any] = subprocess.Popen._wait  # type: ignore[attr-defined]
#: Seconds between two looks, if nothing tells of the end of a child.
_PAUSE: Final = 0.01


def patch() -> list[tuple[object, object]]:
    """Change `Popen` and the pipes that it makes; return what is to be replaced everywhere."""
    subprocess.Popen._wait = wait  # type: ignore[attr-defined]
    subprocess.io = _InSubprocess()  # type: ignore[attr-defined]
    return [(_waitpid, waitpid)]


# ------------------------------------------------------------- the end of a child


@wraps(_wait)
def wait(self: subprocess.Popen[Any], timeout: float | None) -> int | None:
    """``Popen._wait``, which all others call: other greenlets go on meanwhile."""
    worker = current_worker()
    if worker is None or self.returncode is not None:
        return _wait(self, timeout)  # type: ignore[no-any-return]
    deadline = None if timeout is None else monotonic() + timeout
    told = False
    while self.poll() is None:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise subprocess.TimeoutExpired(self.args, timeout)  # type: ignore[arg-type]
        if told:  # and another thread is just about to learn it
            sleep(worker, _PAUSE)
        else:
            told = _wait_for_end(worker, self.pid, left)
    return self.returncode


@wraps(_waitpid)
def waitpid(pid: Any, options: int, /) -> tuple[int, int]:
    """Wait for a child: other greenlets go on meanwhile, if it is one that `pid` names."""
    worker = current_worker() if options == 0 and isinstance(pid, int) and pid > 0 else None
    if worker is None:
        return _waitpid(pid, options)
    while True:
        ended = _waitpid(pid, os.WNOHANG)
        if ended[0]:
            return ended
        _wait_for_end(worker, pid, None)


def _wait_for_end(worker: Worker, pid: int, seconds: float | None) -> bool:
    """In `worker`: wait until the child has ended; True: it has; False: look for yourself."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        sleep(worker, _PAUSE if seconds is None else min(_PAUSE, seconds))
        return False
    try:
        return bool(wait_ready(worker, [(descriptor, READ)], seconds))
    finally:
        os.close(descriptor)


# ------------------------------------------------------------- its pipes


class _Pipe(io.FileIO):
    """One end of a pipe, which a greenlet waits for before it reads or writes."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Read what there is, as soon as there is something."""
        self._wait(READ)
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> Any:
        """Read what there is, at most `size` bytes; all, if that is negative."""
        if size is None or size < 0:
            return self.readall()
        self._wait(READ)
        return super().read(size)

    def readall(self) -> bytes:
        """Read all until the end."""
        parts = []
        while part := self.read(io.DEFAULT_BUFFER_SIZE):
            parts.append(part)
        return b"".join(parts)

    def write(self, data: Any, /) -> int:
        """Write what there is room for: that much never blocks."""
        if current_worker() is None:
            return super().write(data)
        self._wait(WRITE)
        return super().write(memoryview(data).cast("B")[: select.PIPE_BUF])

    def close(self) -> None:
        """Close it; who waits for it is told."""
        if not self.closed:
            tell_closing(self.fileno())
        super().close()

    def _wait(self, events: int) -> None:
        if current_worker() is not None:
            waiting = select.poll()
            waiting.register(self.fileno(), events)
            waiting.poll()


class _InSubprocess:
    """What `subprocess` has instead of `io`: it opens pipes that greenlets wait for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(io, name)

    def open(self, file: Any, mode: str = "r", buffering: int = -1) -> Any:
        """Open one end of a pipe as `io.open` does."""
        if mode not in ("rb", "wb") or buffering == 1:
            return open(file, mode, buffering)
        raw = _Pipe(file, mode)
        if buffering == 0:
            return raw
        buffered = io.BufferedReader if mode == "rb" else io.BufferedWriter
        return buffered(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)
