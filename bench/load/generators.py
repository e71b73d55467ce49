"""Load generators: each runs for a time on its own core and says what it counted."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.load.requests import Request
from bench.machine.cores import pinned
from bench.peers.environments import Tools
from bench.peers.processes import Failed

GRACE = 15.0
SCRIPT = Path(__file__).parent / "load.lua"


@dataclass(frozen=True)
class Load:
    """What a generator counted; latencies in microseconds where it knows them.

    `busy` is the share of its core that the generator used: near 1, it was the bottleneck.
    """

    requests: int
    seconds: float
    busy: float
    errors: tuple[str, ...]
    p50: int | None = None
    p99: int | None = None
    mean: float | None = None
    deviation: float | None = None


Generator = Callable[[int, Request, float, int, Tools, bool], Load]
#: The longest body that is compared byte by byte; of a longer one the length is.
MOST_COMPARED = 1_000


def wrk(
    port: int, request: Request, seconds: float, core: int, tools: Tools, compare: bool
) -> Load:
    """Keep-alive requests, one at a time on each connection, by wrk.

    To compare each answer takes time.
    """
    options = [
        "-t1",
        f"-c{request.connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "10s",
    ]
    arguments = [str(request.upload), str(int(request.browser))]
    if compare:
        arguments.append(str(len(request.answer)))
        if len(request.answer) <= MOST_COMPARED:
            arguments.append(request.answer.decode())
    script = ["-s", str(SCRIPT), f"http://127.0.0.1:{port}{request.path}"]
    return _generate(["wrk", *options, *script, "--", *arguments], seconds, core)


def websocket(
    port: int, request: Request, seconds: float, core: int, tools: Tools, compare: bool
) -> Load:
    """Messages, one at a time on each connection, each of them compared when it comes back."""
    arguments = [str(port), str(seconds), str(request.connections)]
    return _generate([tools.python, "-m", "bench.load.websocket", *arguments], seconds, core)


def _generate(command: list[str], seconds: float, core: int) -> Load:
    before = _children_cpu()
    started = time.monotonic()
    try:
        done = subprocess.run(
            [*pinned(core), *command], capture_output=True, text=True, timeout=seconds + GRACE
        )
    except subprocess.TimeoutExpired as expired:
        raise Failed(f"the load did not end within {GRACE:g} s of its time") from expired
    wall = time.monotonic() - started
    if done.returncode != 0:
        raise Failed(f"under load: {done.stderr.strip() or done.stdout.strip()}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    errors = [f"{said[kind]} {_ERRORS[kind]}" for kind in _ERRORS if said.get(kind)]
    busy = (_children_cpu() - before) / wall
    counted = said["requests"], said["microseconds"] / 1e6
    latencies = (said.get(name) for name in ("p50", "p99", "mean", "deviation"))
    return Load(*counted, busy, tuple(errors), *latencies)


#: What a generator counts besides requests -> what it is called.
_ERRORS = {kind: f"{kind} errors" for kind in ("connect", "read", "write", "timeout", "status")}
_ERRORS["wrong"] = "wrong answers"


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
