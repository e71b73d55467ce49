"""What is done to a server while clients ask: each order by a signal, as an operator gives it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.deploys.outcome import Kill
from bench.load.deploys.process import Crowd

#: Seconds: before the first order, between two, for one reload, for all, to stop, and to watch.
BEFORE, BETWEEN, RELOAD, RELOADS, STOP, WATCH = 1.0, 2.0, 6.0, 24.0, 15.0, 12.0


@dataclass
class Deployed:
    """A server under load."""

    process: subprocess.Popen[bytes]
    crowd: Crowd
    kills: list[Kill] = field(default_factory=list)
    #: When it was told to go for ever.
    told: float | None = None
    notes: list[str] = field(default_factory=list)

    def workers(self) -> set[int]:
        """The processes of its workers."""
        return workers_of(self.process.pid)

    def tell(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.process.poll() is None:
            self.process.send_signal(number)


def workers_of(pid: int) -> set[int]:
    """The children of a process, but for helpers of Python's multiprocessing."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    return {int(child) for child in children if not _is_helper(child)}


def _is_helper(pid: str) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def wait(server: Deployed) -> None:
    """Let it serve: what it was started with replaces its workers."""
    time.sleep(WATCH)


def reload_five_times(server: Deployed) -> None:
    """SIGHUP, and again when all workers of before have gone; not for ever."""
    time.sleep(BEFORE)
    end = time.monotonic() + RELOADS
    for _ in range(5):
        before, late = server.workers(), time.monotonic() + RELOAD
        server.tell(signal.SIGHUP)
        while before & server.workers() and time.monotonic() < min(late, end):
            time.sleep(0.05)
        time.sleep(0.2)
    time.sleep(BETWEEN)


def kill_worker(server: Deployed) -> None:
    """SIGKILL to one worker."""
    time.sleep(BETWEEN)
    if workers := server.workers():
        server.kills.append(Kill(max(workers), time.monotonic()))
        with suppress(ProcessLookupError):
            os.kill(max(workers), signal.SIGKILL)
    time.sleep(4 * BETWEEN)


def scale(server: Deployed) -> None:
    """Two workers more, and two fewer."""
    for number in (signal.SIGTTIN, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTTOU):
        time.sleep(BETWEEN)
        server.tell(number)
    time.sleep(2 * BETWEEN)


def terminate(server: Deployed) -> None:
    """SIGTERM, and nothing follows."""
    time.sleep(2 * BETWEEN)
    server.crowd.ending()
    server.told = time.monotonic()
    server.tell(signal.SIGTERM)
    try:
        server.process.wait(STOP)
    except subprocess.TimeoutExpired:
        server.notes.append(f"not stopped after {STOP:g} s")
    else:
        server.notes.append(f"stopped after {time.monotonic() - server.told:.1f} s")
