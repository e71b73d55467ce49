"""What `asgi-bridge ctl` shows: plain words, aligned columns, units for people (O3).

Pure. What a server says is shown without control characters: a terminal would obey them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from bridge.errors import pluralize
from bridge.server.control.orders import ServerStatus, WorkerStatus

_UNKNOWN: Final = "-"


def status_text(status: ServerStatus, now: float) -> str:
    """Describe a server in lines of ``name  value``; `now` in seconds since 1970."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status["started"]))
    rows = {
        "server": f"asgi-bridge {status['version']}, process {status['pid']}, {status['state']}",
        "app": status["app"],
        "listens": ", ".join(status["listeners"]),
        "running": f"{duration(now - status['started'])}, since {since}",
        "workers": f"{status['wanted']} wanted, generation {status['generation']}",
        "requests": f"{status['served']:,} served, {status['rate']:,.1f} a second",
    }
    return "\n".join(f"{name:<9} {printable(value)}" for name, value in rows.items())


#: Column -> whether numbers stand at its right.
_COLUMNS: Final = {
    "SLOT": True,
    "PID": True,
    "GEN": True,
    "STATE": False,
    "AGE": True,
    "SERVED": True,
    "REQ/S": True,
    "CONNS": True,
    "WS": True,
    "BUSY": True,
    "LAG": True,
    "MEMORY": True,
    "CPU": True,
}


def workers_table(
    workers: Sequence[WorkerStatus], rates: Mapping[int, tuple[float, float | None]] | None = None
) -> str:
    """Return a line for each worker, below one with the names of the columns.

    `rates`: pid -> requests a second and the share of a CPU, in percent; without it there is no
    column for requests a second, and CPU is the time that was used.
    """
    columns = {name: right for name, right in _COLUMNS.items() if rates or name != "REQ/S"}
    rows = [[_cell(name, each, rates) for name in columns] for each in workers]
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, columns.values(), strict=True)
        ).rstrip()
        for row in [list(columns), *rows]
    )


def _cell(
    name: str, worker: WorkerStatus, rates: Mapping[int, tuple[float, float | None]] | None
) -> str:
    rate, share = (rates or {}).get(worker["pid"], (None, None))
    match name:
        case "SLOT":
            return str(worker["slot"])
        case "PID":
            return str(worker["pid"])
        case "GEN":
            return str(worker["generation"])
        case "STATE":
            return printable(worker["state"])
        case "AGE":
            return duration(worker["age"])
        case "SERVED":
            return f"{worker['served']:,}"
        case "REQ/S":
            return _UNKNOWN if rate is None else f"{rate:,.1f}"
        case "CONNS":
            return f"{worker['connections']:,}"
        case "WS":
            return f"{worker['websockets']:,}"
        case "BUSY":
            return f"{worker['busy']:,}"
        case "LAG":
            return _UNKNOWN if worker["lag"] is None else f"{worker['lag'] * 1000:,.1f} ms"
        case "MEMORY":
            return _UNKNOWN if worker["rss"] is None else size(worker["rss"])
        case _:
            if rates is not None:
                return _UNKNOWN if share is None else f"{share:.0f} %"
            return _UNKNOWN if worker["cpu"] is None else f"{worker['cpu']:,.1f} s"


def stacks_text(stacks: Mapping[str, str]) -> str:
    """Return the stacks of each worker below a line with its pid."""
    return "\n\n".join(
        f"worker {printable(pid)}\n{printable(text).rstrip()}" for pid, text in stacks.items()
    )


def summary(status: ServerStatus, workers: Sequence[WorkerStatus], now: float) -> str:
    """Return the first line of `top`: the server and its figures in short."""
    open_ones = sum(each["connections"] for each in workers)
    parts = (
        f"{printable(status['app'])} ({status['state']})",
        f"up {duration(now - status['started'])}",
        f"generation {status['generation']}",
        f"{len(workers)} of {pluralize(status['wanted'], 'worker')}",
        pluralize(open_ones, "connection"),
        f"{status['served']:,} served",
        f"{status['rate']:,.1f} req/s",
    )
    return "  ".join(parts)


# ------------------------------------------------------------- units


def duration(seconds: float) -> str:
    """Return a time in its two largest units: ``4.2 s``, ``3 min 5 s``, ``2 d 4 h``."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, length, smaller, part in _UNITS:
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // part} {smaller}"
    return f"{whole} s"


_UNITS: Final = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def size(count: int) -> str:
    """Return bytes for people: ``84.1 MiB``."""
    if count < 1024:
        return f"{count} B"
    amount, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB"):
        if amount >= 1024:
            amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"


def printable(text: str) -> str:
    """Return `text` without what a terminal would obey; lines and tabs stay."""
    return "".join(each if each.isprintable() or each in "\n\t" else "?" for each in str(text))
