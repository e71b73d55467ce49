"""The scenario `shadow`: what live copies cost the old app's clients.

Two processes of one app differ by more than copies cost. So one process has the app twice, without
copies and with them; both are asked in turn, and a figure is what one cost beside the other.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess

from bench.load.generators import GRACE
from bench.load.requests import Request, check
from bench.machine.cores import pinned
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
#: Requests a second: far below what a core can answer.
RATE = 1_500
#: Where apps/shadowed.py copies nothing, and where it does.
PATHS = ("/alone/", "/copied/")


def rows() -> tuple[Row, ...]:
    """Each kind of old app in each mode."""
    return tuple(
        Row(f"{kind}, {name}", "bridge", f"bench.apps.shadowed:{kind}_{mode}")
        for kind in ("asgi", "wsgi", "flask")
        for mode, name in MODES.items()
    )


def by_turns(row: Row, request: Request, settings: Settings) -> Sample:
    """Ask one server by turns, see `bench.load.steady`."""
    with samples.serving(row, settings) as server:
        for path in PATHS:
            check(server.port, dataclasses.replace(request, path=path))
        alone, copied = _load(server, request, settings)
    figures = {
        "cpu_us": _cost(copied),
        "cpu_over": _cost(copied) / _cost(alone),
        "p99_us": copied["p99"],
        "p99_over": copied["p99"] / alone["p99"],
        "server_busy": copied["cpu"] / (settings.seconds / 2),
    }
    wrong = int(alone["status"] + copied["status"])
    return Sample(figures, (f"{wrong} status errors",) if wrong else ())


def _load(server: Running, request: Request, settings: Settings) -> list[dict[str, float]]:
    size, tools = len(request.answer), settings.tools
    figures = [server.port, settings.seconds, request.connections, RATE, size, server.pid, *PATHS]
    command = [tools.python, "-m", "bench.load.steady", *map(str, figures)]
    try:
        done = subprocess.run(
            [*pinned(settings.cores.load), *command],
            capture_output=True,
            text=True,
            timeout=10 * settings.seconds + GRACE,
        )
    except subprocess.TimeoutExpired as expired:
        raise Failed("the load did not end in its time") from expired
    if done.returncode:
        raise Failed(f"under load: {done.stderr.strip() or done.stdout.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _cost(side: dict[str, float]) -> float:
    """CPU time of a request, in microseconds."""
    return side["cpu"] / side["requests"] * 1e6
