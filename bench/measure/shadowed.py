"""The scenario `shadow`: what live copies cost the old app's clients.

Two processes of one app differ by more than copies cost. So one process has the app twice, without
copies and with them; both are asked in turn, and each sample is what one cost beside the other.
"""

from __future__ import annotations

import dataclasses
import statistics
import time

from bench.load.generators import Load, steady
from bench.load.requests import Request, check
from bench.machine import cpu
from bench.measure import samples
from bench.measure.figures import Column
from bench.measure.samples import Row, Sample, Settings
from bench.peers.processes import Failed, Running

ABOUT = "Hello, world! of an old app, 1,500 requests/s, by turns without copies and with them"
#: Mode in `apps/shadowed.py` -> what its row is called. The first shows how exact the others are.
MODES = {
    "old": "no copies",
    "none": "sample 0",
    "kept": "kept, dropped",
    "hangs": "new app hangs",
    "tenth": "1 of 10 copied",
    "all": "all copied",
}
COLUMNS = (
    Column("cpu_over", "CPU, times that without copies", 3),
    Column("cpu_us", "CPU us/request", 1),
    Column("p99_over", "p99, times that without copies", 2),
    Column("p99_us", "p99 ms", 2, 1e-3),
    Column("server_busy", "server busy %", 0, 100),
)
#: The turns of a sample, so that what grows or falls with time is alike in both.
ALONE, COPIED = "/alone/", "/copied/"
TURNS = (ALONE, COPIED, COPIED, ALONE)
#: Seconds of a turn that only warms up; and after a turn, until copies that hang have timed out.
WARM = 0.5
REST = 1.2


def rows() -> tuple[Row, ...]:
    """Each kind of old app in each mode."""
    return tuple(
        Row(f"{kind}, {name}", "bridge", f"bench.apps.shadowed:{kind}_{mode}")
        for kind in ("asgi", "wsgi", "flask")
        for mode, name in MODES.items()
    )


def by_turns(row: Row, request: Request, settings: Settings) -> Sample:
    """Ask one server by turns, each for half of a sample's seconds."""
    taken: dict[str, list[tuple[float, Load]]] = {ALONE: [], COPIED: []}
    with samples.serving(row, settings) as server:
        for path in (ALONE, COPIED):
            check(server.port, dataclasses.replace(request, path=path))
            _turn(server, dataclasses.replace(request, path=path), WARM, settings)
        for path in TURNS:
            time.sleep(REST)
            asked = dataclasses.replace(request, path=path)
            taken[path].append(_turn(server, asked, settings.seconds / 2, settings))
    alone, copied = taken[ALONE], taken[COPIED]
    cost, p99 = _cost(copied), _p99(copied)
    errors = tuple(error for turns in taken.values() for _, load in turns for error in load.errors)
    figures = {
        "cpu_us": cost,
        "cpu_over": cost / _cost(alone),
        "p99_us": p99,
        "p99_over": p99 / _p99(alone),
        "server_busy": sum(used for used, _ in copied) / sum(load.seconds for _, load in copied),
    }
    return Sample(figures, errors)


def _turn(
    server: Running, request: Request, seconds: float, settings: Settings
) -> tuple[float, Load]:
    before = cpu.exact_seconds(server.pid)
    load = steady(server.port, request, seconds, settings.cores.load, settings.tools, True)
    return cpu.exact_seconds(server.pid) - before, load


def _cost(turns: list[tuple[float, Load]]) -> float:
    """CPU time of a request, in microseconds."""
    answered = sum(load.requests for _, load in turns)
    if not answered:
        raise Failed("served nothing under load")
    return sum(used for used, _ in turns) / answered * 1e6


def _p99(turns: list[tuple[float, Load]]) -> float:
    return statistics.mean(load.p99 for _, load in turns if load.p99)
