"""Processes as Linux shows them."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> set[int]:
    """The processes that `pid` has started and that are there, zombies too.

    Read from each process: the kernel's own list, ``/proc/PID/task/PID/children``, may leave out
    some while others come and go.
    """
    return {int(each.name) for each in Path("/proc").glob("[0-9]*") if parent(each) == pid}


def parent(process: Path) -> int:
    """The process above the one of this folder of ``/proc``; 0 if it is gone."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
