"""Who gets a process whose parent has ended, and when it ends with its parent: Linux says (P11)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

from bridge.errors import ConfigError

_SET_DEATH_SIGNAL: Final = 1
_SET_SUBREAPER: Final = 36


def adopt_orphans(wanted: bool = True) -> None:
    """Become the parent of processes whose own parents have ended, or, not `wanted`, no more.

    Raises `ConfigError` if the system has nothing of that kind.
    """
    if not sys.platform.startswith("linux"):
        raise ConfigError(
            f"preload is on, and needs Linux (this is {sys.platform}); leave it out: each worker "
            "imports the app itself then"
        )
    _control(_SET_SUBREAPER, int(wanted))


def end_with(parent: int) -> None:
    """Have this process killed when `parent`, whose child it is, ends; or end it, if that has."""
    _control(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _control(what: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(what, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
