"""One sample: a server is started, checked, loaded or filled, measured and stopped.

Each function measures one `Row` once and returns its figures; the scenario says which of them.
"""

from __future__ import annotations

import dataclasses
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.generators import Generator, Load, websocket, wrk
from bench.load.requests import Request, check
from bench.machine import cpu
from bench.machine.cores import Cores, pinned
from bench.peers.environments import ROOT, Tools
from bench.peers.processes import Failed, Running, free_port, running, started
from bench.peers.servers import redis_server, upstream

#: A sample is quiet when others took at most this share of either core; how often a sample that
#: is not is taken again. The quietest counts, whatever its figures are.
QUIET = 0.05
RETAKES = 2
#: Connections that fill memory already had, those whose growth is then measured, requests before
#: the worker's memory is read, and the pause before memory is read, in seconds.
FIRST_CONNECTIONS = 500
IDLE_CONNECTIONS = 3_000
WARM_REQUESTS = 1_000
SETTLE = 0.5
#: Bytes in a "1 GB" transfer, in pieces as a client's kernel takes them.
GIGABYTE = 1_000_000_000
PIECE = 1 << 18
WARM_TRANSFER = 1_000_000


@dataclass(frozen=True)
class Row:
    """A line of a table: which server, with which app ("module:attr"), asked what.

    `inner` is the app inside a wrapping `app` (see apps/wrapped.py); `path` replaces the
    scenario's where an app has its own. `root` is the checkout whose code is served.
    """

    name: str
    server: str
    app: str
    inner: str = ""
    path: str | None = None
    root: Path = ROOT


@dataclass(frozen=True)
class Settings:
    """What one run has in common for all its rows."""

    tools: Tools
    cores: Cores
    seconds: float
    transfer_bytes: int = GIGABYTE


@dataclass(frozen=True)
class Sample:
    """The figures by name, and what went wrong while they were taken."""

    figures: dict[str, float | None]
    errors: tuple[str, ...] = field(default=())


Measure = Callable[[Row, Request, Settings], Sample]


@contextmanager
def serving(row: Row, settings: Settings, upstream: str = "") -> Iterator[Running]:
    """A server with a row's app, on its core."""
    core, tools = settings.cores.server, settings.tools
    with running(row.server, row.app, row.inner, tools, core, row.root, upstream) as server:
        yield server


def http_load(row: Row, request: Request, settings: Settings) -> Sample:
    """Requests per second and CPU time per request under keep-alive load."""
    with serving(row, settings) as server:
        check(server.port, request)
        return _loaded(server, wrk, request, settings)


def websocket_load(row: Row, request: Request, settings: Settings) -> Sample:
    """The same in messages; the generator itself compares every message."""
    with serving(row, settings) as server:
        return _loaded(server, websocket, request, settings)


def waiting_load(row: Row, request: Request, settings: Settings) -> Sample:
    """The same with an app that waits in each request, for servers that run beside the load."""
    core, tools = settings.cores.load, settings.tools
    http, redis = free_port(), free_port()
    with (
        started([*pinned(core), *upstream(tools, http)], {}, http) as first,
        started([*pinned(core), *redis_server(redis)], {}, redis) as second,
        serving(row, settings, f"{http},{redis}") as server,
    ):
        check(server.port, request)
        return _loaded(server, wrk, request, settings, (first, second))


def _loaded(
    server: Running,
    generate: Generator,
    request: Request,
    settings: Settings,
    beside: tuple[Running, ...] = (),
) -> Sample:
    """Warm up, then load; again, up to `RETAKES` times, while others take part of the cores.

    What runs `beside` the load belongs to it.
    """

    def load(seconds: float, compare: bool = False) -> Load:
        core, tools = settings.cores.load, settings.tools
        return generate(server.port, request, seconds, core, tools, compare)

    warm = load(min(1.0, settings.seconds), compare=True)
    samples: list[Sample] = []
    while len(samples) <= RETAKES and all(_others(sample) > QUIET for sample in samples):
        samples.append(_load_once(server, lambda: load(settings.seconds), settings.cores, beside))
    quietest = min(samples, key=_others)
    early = tuple(f"{error} in the warm-up" for error in warm.errors)
    return dataclasses.replace(quietest, errors=early + quietest.errors)


def _load_once(
    server: Running, load: Callable[[], Load], cores: Cores, beside: tuple[Running, ...]
) -> Sample:
    before, began = _Clock.read(server, cores, beside), time.monotonic()
    done = load()
    after, wall = _Clock.read(server, cores, beside), time.monotonic() - began
    if not done.requests:
        raise Failed(f"served nothing under load: {', '.join(done.errors) or 'no error either'}")
    used = after.server - before.server
    others = after.server_core - before.server_core - used
    load_used = done.busy * wall + after.beside - before.beside
    others_beside_load = after.load_core - before.load_core - load_used
    figures = {
        "cpu_us": used / done.requests * 1e6,
        "rate": done.requests / done.seconds,
        "p99_us": done.p99,
        "mean_us": done.mean,
        "deviation_us": done.deviation,
        "server_busy": used / done.seconds,
        "load_busy": load_used / wall,
        "others_busy": max(others, others_beside_load, 0.0) / wall,
    }
    return Sample(figures, done.errors)


def _others(sample: Sample) -> float:
    return sample.figures["others_busy"] or 0.0


@dataclass(frozen=True)
class _Clock:
    """CPU seconds so far of the server, of what is beside the load, and of both cores."""

    server: float
    beside: float
    server_core: float
    load_core: float

    @classmethod
    def read(cls, server: Running, cores: Cores, beside: tuple[Running, ...]) -> _Clock:
        used = sum(cpu.seconds(each.pid) for each in beside)
        return cls(cpu.seconds(server.pid), used, cpu.busy(cores.server), cpu.busy(cores.load))


def idle(row: Row, request: Request, settings: Settings) -> Sample:
    """Memory of a worker that has served, and what each idle keep-alive connection adds."""
    with serving(row, settings) as server:
        check(server.port, request)
        _ask(server.port, WARM_REQUESTS)
        time.sleep(SETTLE)
        worker, everything = max(cpu.sizes(server.pid)), cpu.resident(server.pid)
        connections = [_ask(server.port, 1) for _ in range(FIRST_CONNECTIONS)]
        before = cpu.resident(server.pid)
        connections += [_ask(server.port, 1) for _ in range(IDLE_CONNECTIONS)]
        time.sleep(SETTLE)
        grown = cpu.resident(server.pid) - before
        for connection in connections:
            connection.close()
    figures = {
        "worker_mb": worker / 1e6,
        "all_mb": everything / 1e6,
        "connection_bytes": grown / IDLE_CONNECTIONS,
    }
    return Sample(figures)


def _ask(port: int, times: int) -> socket.socket:
    """Ask on a new connection, read each answer to its end, and leave the connection open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    for _ in range(times):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while not answer.endswith(b"Hello, world!"):
            piece = connection.recv(65_536)
            if not piece:
                raise Failed("closed a connection that should have stayed open")
            answer += piece
    return connection


def transfer(row: Row, request: Request, settings: Settings) -> Sample:
    """One great upload and one great download: memory's growth at its peak, time, CPU time."""
    figures: dict[str, float | None] = {}
    for way, move in (("upload", _upload), ("download", _download)):
        with serving(row, settings) as server:
            move(server.port, WARM_TRANSFER)
            cpu.forget_peak(server.pid)
            memory, used = cpu.peak(server.pid), cpu.seconds(server.pid)
            started = time.monotonic()
            move(server.port, settings.transfer_bytes)
            figures |= {
                f"{way}_seconds": time.monotonic() - started,
                f"{way}_growth_mb": (cpu.peak(server.pid) - memory) / 1e6,
                f"{way}_cpu": cpu.seconds(server.pid) - used,
            }
    return Sample(figures)


def _upload(port: int, size: int) -> None:
    whole, rest = divmod(size, PIECE)
    pieces = [bytes(PIECE)] * whole + [bytes(rest)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", iter(pieces), {"Content-Length": str(size)})
    answer = connection.getresponse().read()
    connection.close()
    if answer != b"%d" % size:
        raise Failed(f"counted {answer[:40]!r} of {size} bytes uploaded")


def _download(port: int, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/{size}")
    response = connection.getresponse()
    buffer, count = bytearray(PIECE), 0
    while got := response.readinto(buffer):
        count += got
    connection.close()
    if count != size:
        raise Failed(f"sent {count} of {size} bytes to download")
