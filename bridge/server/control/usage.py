"""The memory and the CPU time of a process, as the system counts them (Linux; else None)."""

from __future__ import annotations

import os
from typing import Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int | None:
    """Return the resident bytes of `pid`; None if it is gone, or the system does not say."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return None


def cpu_seconds(pid: int) -> float | None:
    """Return the seconds of CPU time that `pid` has used; None as for `memory`."""
    fields = _stat(pid)
    return None if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS


def age(pid: int) -> float | None:
    """Return how many seconds ago `pid` was started; None as for `memory`."""
    fields = _stat(pid)
    if fields is None:
        return None
    with open("/proc/uptime", "rb") as file:
        return float(file.read().split()[0]) - int(fields[19]) / _TICKS


def _stat(pid: int) -> list[bytes] | None:
    """Read the fields of /proc/PID/stat (proc(5)) after the name, which may have spaces."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None
