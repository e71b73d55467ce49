"""The terminal that a process was started from, which may be closed while it runs (P2)."""

from __future__ import annotations

import os
import signal

from bridge.server.lifecycle.signals import was_ignored


class Terminal:
    """The terminal that the process was started from: closing it sends SIGHUP."""

    def __init__(self) -> None:
        self._ends_process = not was_ignored(signal.SIGHUP) and _has_terminal()

    def is_closed(self) -> bool:
        """Return whether it has been closed, and the process shall end with it (no ``nohup``)."""
        return self._ends_process and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
