"""How many workers: a number, or `auto`, the processors that the process may use (O5).

A machine may have 64 processors, and a process be allowed two of them: by its affinity (taskset, a
cpuset), or by the time that its container gets (a limit of a control group, version 2 or 1). The
least of them counts; a limit of one and a half processors is two.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from bridge.arguments.values import ValueType, whole_number

#: The type of the setting; once read, a number.
Workers: TypeAlias = int

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def _read(value: object) -> int:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return usable_processors()
    return whole_number(value)


WORKERS = ValueType("auto, or a whole number", "N|auto", _read)


def usable_processors(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """Return how many processors this process may keep busy, at least 1.

    `groups` lists the control groups of the process, and `mount` is where they are mounted.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1  # macOS has no affinity
    shares = list(_shares(groups, mount))
    return max(1, min(allowed, *(math.ceil(share) for share in shares))) if shares else allowed


def _shares(groups: Path, mount: Path) -> Iterator[float]:
    """Yield every limit on the way from the group of this process to the root, in processors."""
    for line in _text(groups).splitlines():
        _, controllers, group = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            places, read = [mount, mount / "unified"], _share_of_version_2
        elif "cpu" in controllers.split(","):
            places, read = [mount / "cpu", mount / controllers], _share_of_version_1
        else:
            continue
        # In a container the name may be the host's: then only the root is there.
        way = Path(group.lstrip("/"))
        for place in places:
            for directory in (place / way, *(place / above for above in way.parents), place):
                share = read(directory)
                if share is not None:
                    yield share


def _share_of_version_2(directory: Path) -> float | None:
    """Read `cpu.max`: ``150000 100000`` (microseconds of each period), or ``max 100000``."""
    quota, period = (*_text(directory / "cpu.max").split(), "", "")[:2]
    return _quotient(quota, period)


def _share_of_version_1(directory: Path) -> float | None:
    """Read the quota, which is -1 if there is none, and the period."""
    quota, period = _text(directory / "cpu.cfs_quota_us"), _text(directory / "cpu.cfs_period_us")
    return _quotient(quota.strip(), period.strip())


def _quotient(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
