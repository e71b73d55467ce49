"""What the system says of this process, under the names that Prometheus' own clients use (O2)."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import Final

from bridge.server.metrics.snapshot import COUNTER, GAUGE, Family, Snapshot

#: When this module was loaded, for systems that do not tell when a process began.
_LOADED: Final = time.time()


def process_families() -> Snapshot:
    """Return the families ``process_*`` of a snapshot; what the system does not tell is left out.

    CPU time adds up over processes; all else is told for each.
    """
    families: Snapshot = {
        "process_cpu_seconds_total": Family(
            type=COUNTER,
            help="User and system CPU time, in seconds.",
            samples=[[{}, time.process_time()]],
        )
    }
    virtual, resident = memory()
    values = {
        "process_start_time_seconds": (started_at(), "Start of the process, in Unix time."),
        "process_resident_memory_bytes": (resident, "Resident memory."),
        "process_virtual_memory_bytes": (virtual, "Virtual memory."),
        "process_open_fds": (open_files(), "Open file descriptors."),
        "process_max_fds": (
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "The most file descriptors that may be open.",
        ),
    }
    for name, (value, about) in values.items():
        if value is not None:
            families[name] = Family(type=GAUGE, help=about, per="worker", samples=[[{}, value]])
    return families


def memory(proc: str = "/proc") -> tuple[int | None, int]:
    """Return the virtual memory, if the system tells, and the resident memory, in bytes."""
    try:
        with open(f"{proc}/self/statm", encoding="ascii") as file:
            virtual, resident = (int(word) for word in file.read().split()[:2])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the peak, better than nothing
        return None, most if sys.platform == "darwin" else most * 1024
    page = os.sysconf("SC_PAGE_SIZE")
    return virtual * page, resident * page


def started_at(proc: str = "/proc") -> float:
    """Return when this process began, in Unix time."""
    try:
        with open(f"{proc}/self/stat", encoding="ascii", errors="replace") as file:
            after_name = file.read().rpartition(")")[2].split()
        with open(f"{proc}/stat", encoding="ascii") as file:
            boot = next(int(line.split()[1]) for line in file if line.startswith("btime "))
    except (OSError, StopIteration):
        return _LOADED
    return boot + int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def open_files(proc: str = "/proc") -> int | None:
    """Return the number of open descriptors, if the system tells."""
    try:
        return len(os.listdir(f"{proc}/self/fd")) - 1  # the folder itself is one
    except OSError:
        return None
