"""Which process listens at a port, as far as this user may see that (S30); Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
#: How the system's tables write that a socket listens.
_LISTENS: Final = "0A"


def holder(port: str) -> str:
    """Return ``: python, process 123`` for the process that listens at `port`; empty: not seen."""
    try:
        sockets = {*_listening(int(port))}
        for pid in filter(str.isdigit, os.listdir("/proc") if sockets else ()):
            if sockets.intersection(_sockets(pid)):
                name = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
                return f": {name}, process {pid}"
    except (OSError, ValueError, IndexError):  # no such system, or the process has just ended
        pass
    return ""


def _listening(port: int) -> Iterator[str]:
    """Yield the sockets that listen at `port`, as descriptors are linked to them."""
    for table in _TABLES:
        if os.path.exists(table):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"


def _sockets(pid: str) -> Iterator[str]:
    """Yield what the descriptors of a process are; nothing if it has gone, or is another user's."""
    directory = f"/proc/{pid}/fd"
    try:
        for descriptor in os.listdir(directory):
            yield os.readlink(f"{directory}/{descriptor}")
    except OSError:
        return
