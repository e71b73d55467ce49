"""The machine: its cores, what runs where, and how it is described beside the figures."""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OPEN_FILES = 16_384
#: The bench that measures has locked this file.
LOCK = Path(tempfile.gettempdir()) / f"asgi-bridge-bench-{os.getuid()}.lock"


@dataclass(frozen=True)
class Cores:
    """The core that servers run on, and the one that the load and this process run on."""

    server: int
    load: int

    @classmethod
    def parse(cls, text: str) -> Cores:
        """From "SERVER,LOAD"."""
        server, load = (int(part) for part in text.split(","))
        return cls(server, load)


def prepare(cores: Cores) -> None:
    """Pin this process to the load's core, and allow many sockets.

    Raises ``SystemExit`` where the figures cannot be taken at all.
    """
    missing = [tool for tool in ("taskset", "wrk") if shutil.which(tool) is None]
    if not Path("/proc/self/stat").exists():
        raise SystemExit("bench: CPU time is read from /proc: Linux only")
    if missing:
        raise SystemExit(f"bench: not installed: {', '.join(missing)} (Debian: util-linux, wrk)")
    available = os.sched_getaffinity(0)
    if not {cores.server, cores.load} <= available:
        raise SystemExit(f"bench: --cores {cores} but this process may use {sorted(available)}")
    os.sched_setaffinity(0, {cores.load})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@contextmanager
def alone(lock: Path = LOCK) -> Iterator[None]:
    """Wait until no other bench of this user measures on this machine, and keep others waiting."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pinned(core: int) -> list[str]:
    """The words to put before a command so that it runs on `core` alone."""
    return ["taskset", "-c", str(core)]


def describe() -> dict[str, object]:
    """What a reader must know about where figures were taken; no names of hosts or paths."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
