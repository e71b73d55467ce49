"""Lines written by a thread of their own: who has one never waits for a disk (M12)."""

from __future__ import annotations

import atexit
import os
import queue
import threading
from typing import Final

from bridge.cutover.shadow.report.file import BoundedFile

#: The most lines that wait to be written; more are dropped.
MOST_WAITING: Final = 1_000
#: Seconds that the end of a process waits for what is not written yet.
PATIENCE: Final = 2.0


class LineWriter:
    """Writes lines to `file`, in order; `dropped` counts those for which there was no room.

    Its thread begins with the first line, in each process anew. At the end of the process it has
    a little time for what it still has; `close` does the same earlier.
    """

    def __init__(self, file: BoundedFile, most_waiting: int = MOST_WAITING) -> None:
        self.file = file
        self.dropped = 0
        self._most = most_waiting
        self._lock = threading.Lock()
        self._process = 0
        self._lines: queue.Queue[bytes | None] = queue.Queue(most_waiting)
        self._thread: threading.Thread | None = None

    def put(self, line: bytes) -> bool:
        """Have `line` written soon; whether there was room. It never waits for the file."""
        if self._thread is None or self._process != os.getpid():
            self._start()
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all lines are written, at most `patience` seconds; more may come later."""
        thread, self._thread = self._thread, None
        if thread is None or self._process != os.getpid():
            return
        try:
            self._lines.put(None, timeout=patience)
        except queue.Full:
            return
        thread.join(patience)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None and self._process == os.getpid():
                return
            self._process = os.getpid()
            self._lines = queue.Queue(self._most)
            thread = threading.Thread(
                target=self._run, args=(self._lines,), name="bridge-lines", daemon=True
            )
            thread.start()
            self._thread = thread
        atexit.unregister(self.close)
        atexit.register(self.close)

    def _run(self, lines: queue.Queue[bytes | None]) -> None:
        while (line := lines.get()) is not None:
            self.file.write(line)
