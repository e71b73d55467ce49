"""CPU time and memory of a process and all its descendants, from /proc (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """The pids of `root` and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, ())
    return found


def seconds(root: int) -> float:
    """User and system time of the tree so far, dead and reaped children included."""
    stats = [stat for pid in tree(root) if (stat := _stat(pid))]
    return sum(int(ticks) for stat in stats for ticks in stat[11:15]) / TICKS


def busy(core: int) -> float:
    """Seconds for which `core` has worked for anyone so far, or was taken by the host."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            idle = int(ticks[3]) + int(ticks[4])
            return (sum(int(count) for count in ticks[:8]) - idle) / TICKS
    raise ValueError(f"no core {core} in /proc/stat")


def resident(root: int) -> int:
    """Bytes of memory resident in the tree; pages that processes share count once each."""
    return sum(sizes(root))


def sizes(root: int) -> list[int]:
    """Bytes of memory resident in each process of the tree."""
    return [_memory(pid, "smaps_rollup", "Rss") for pid in tree(root)]


def forget_peak(root: int) -> None:
    """Set each process's peak to what is resident now (proc(5), clear_refs)."""
    for pid in tree(root):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(root: int) -> int:
    """The sum of each process's greatest resident size since `forget_peak`, in bytes."""
    return sum(_memory(pid, "status", "VmHWM") for pid in tree(root))


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _memory(pid: int, file: str, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in lines:
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0
