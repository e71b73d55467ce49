"""What one process counts, and what that looks like at a moment: a snapshot (O2).

    figures.meter("/api")            on the hot path: a request is over
    figures.traffic, .lag            connections, and once a second
    figures.snapshot()               all that, and what is only read then: runners, memory

Label values are bounded: mounts of the app, classes of status, kinds of refusals.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any, Final, Protocol, TypeAlias

from bridge.runners.base import Runner
from bridge.server.metrics.histogram import (
    ABORTED,
    DURATIONS,
    Histogram,
    Meter,
    new_meter,
)
from bridge.server.metrics.resources import process_families
from bridge.server.metrics.snapshot import COUNTER, GAUGE, HISTOGRAM, Buckets, Family, Snapshot
from bridge.server.metrics.traffic import Traffic

#: What mounts are called where there is no dispatcher, and where nothing is mounted at a path.
ROOT_MOUNT: Final = "/"
NO_MOUNT: Final = "none"
#: What the text of a family says if it is by route and side.
_ROUTES: Final = "; by route of a cutover, and by who answered"

#: Names and values of labels; what a meter returns.
Labels: TypeAlias = tuple[tuple[str, str], ...]
Read: TypeAlias = tuple[list[int], float, list[int]]


class RefusalTotals(Protocol):
    """What counts refusals."""

    @property
    def totals(self) -> Mapping[str, int]:
        """How many there were of each kind."""


class Figures:
    """The figures of one process. All but its meters is for the loop's thread."""

    def __init__(self, connections: Sized, refusals: RefusalTotals) -> None:
        self._connections = connections
        self._refusals = refusals
        self.traffic = Traffic()
        #: How late the loop was at each tick, in seconds.
        self.lag = Histogram(DURATIONS)
        #: For how long calls have blocked the loop; counted by the watchdog.
        self.blocked = Histogram(DURATIONS)
        self._sockets = self._open_sockets = 0
        #: By mount, route and side: requests; by mount: how long they have waited for a thread.
        self._requests: dict[tuple[str, str, str], Meter] = {}
        self._waits: dict[str, Meter] = {}
        self._runners: list[tuple[str, Runner]] = []
        #: What else is read for a snapshot.
        self.more: list[Callable[[], Snapshot]] = []

    # --------------------------------------------------------- what is counted

    def meter(self, mount: str, route: str = "", side: str = "") -> Meter:
        """Return what counts the requests of a mount; behind a `Cutover` of a route and a side."""
        return self._requests.setdefault((mount, route, side), new_meter())

    def by_route(self) -> dict[tuple[str, str], Read]:
        """Return what was counted behind a `Cutover`, by route and side."""
        found: dict[Labels, Read] = {}
        for (_, route, side), meter in self._requests.items():
            if side:
                _add(found, (("route", route), ("side", side)), meter.read())
        return {(route, side): read for ((_, route), (_, side)), read in found.items()}

    def use_runners(self, runners: Iterable[tuple[str, Runner]]) -> None:
        """Read these from now on, each with its mount; their threads count how long jobs wait."""
        for mount, runner in runners:
            self._runners.append((mount, runner))
            if runner.threaded:
                runner.call_with_waits(self._waits.setdefault(mount, new_meter()).since)

    def socket_opened(self) -> None:
        """Count a WebSocket that was accepted."""
        self._sockets += 1
        self._open_sockets += 1

    def socket_closed(self) -> None:
        """Count one that is closed."""
        self._open_sockets -= 1

    # --------------------------------------------------------- the snapshot

    def snapshot(self) -> Snapshot:
        """Return all figures of this moment."""
        return {
            "bridge_info": _gauge(
                "The version of the server.", [[{"version": _version()}, 1]], per_worker=True
            ),
            **self._request_families(),
            **self._connection_families(),
            **self._runner_families(),
            **self._timeout_families(),
            "bridge_event_loop_lag_seconds": _histogram(
                "How late the event loop was, looked at once a second.",
                [[{}, _buckets(self.lag.counts[:], self.lag.sum)]],
            ),
            "bridge_event_loop_blocked_seconds": _histogram(
                "For how long one call has held the event loop, if longer than max_blocking_time.",
                [[{}, _buckets(self.blocked.counts[:], self.blocked.sum)]],
            ),
            "bridge_refusals_total": _counter(
                "What was refused, by reason.",
                [[{"reason": kind}, count] for kind, count in self._refusals.totals.items()],
            ),
            **process_families(),
            **{name: family for read in self.more for name, family in read().items()},
        }

    def _request_families(self) -> Snapshot:
        by_mount: dict[Labels, Read] = {}
        by_route: dict[Labels, Read] = {}
        for (mount, route, side), meter in self._requests.items():
            read = meter.read()
            _add(by_mount, (("mount", mount),), read)
            if side:
                _add(by_route, (("route", route), ("side", side)), read)
        return {**_families("", "", by_mount), **_families("cutover_", _ROUTES, by_route)}

    def _connection_families(self) -> Snapshot:
        traffic = self.traffic
        traffic.update()
        return {
            "bridge_connections": _gauge(
                "Open connections, WebSockets among them.", [[{}, len(self._connections)]]
            ),
            "bridge_connections_total": _counter("Connections opened.", [[{}, traffic.opened]]),
            "bridge_websockets": _gauge("Open WebSockets.", [[{}, self._open_sockets]]),
            "bridge_websockets_total": _counter("WebSockets opened.", [[{}, self._sockets]]),
            "bridge_received_bytes_total": _counter(
                "Bytes from clients, without those of TLS.", [[{}, traffic.received]]
            ),
            "bridge_sent_bytes_total": _counter(
                "Bytes to clients, without those of TLS.", [[{}, traffic.sent]]
            ),
        }

    def _runner_families(self) -> Snapshot:
        busy: dict[str, int] = {}
        idle: dict[str, int] = {}
        streaming: dict[str, int] = {}
        queued: dict[str, int] = {}
        oldest: dict[str, float] = {}
        for mount, runner in self._runners:
            stats = runner.stats()
            busy[mount] = busy.get(mount, 0) + stats.busy
            idle[mount] = idle.get(mount, 0) + stats.idle
            streaming[mount] = streaming.get(mount, 0) + stats.streams
            queued[mount] = queued.get(mount, 0) + stats.queued
            oldest[mount] = max(oldest.get(mount, 0.0), stats.oldest_wait)
        waits = []
        for mount, meter in self._waits.items():
            counts, total, _ = meter.read()
            waits.append([{"mount": mount}, _buckets(counts, total)])
        return {
            "bridge_threads_busy": _gauge(
                "Threads or greenlets that run a request.", _by_mount(busy)
            ),
            "bridge_threads_idle": _gauge("Threads that wait for a request.", _by_mount(idle)),
            "bridge_threads_streaming": _gauge(
                "Threads that have left their pool, since their responses stream.",
                _by_mount(streaming),
            ),
            "bridge_queue_length": _gauge("Requests that wait for a thread.", _by_mount(queued)),
            "bridge_queue_oldest_seconds": _gauge(
                "How long the first of these has waited.", _by_mount(oldest), per_worker=True
            ),
            "bridge_queue_duration_seconds": _histogram(
                "How long requests have waited for a thread, to the millisecond.", waits
            ),
        }

    def _timeout_families(self) -> Snapshot:
        """Return what `timeout_request` has done to apps that run under a runner (R2)."""
        ended: dict[str, int] = {}
        stuck: dict[str, int] = {}
        for mount, runner in self._runners:
            stats = runner.stats()
            ended[mount] = ended.get(mount, 0) + stats.timed_out
            stuck[mount] = stuck.get(mount, 0) + stats.written_off
        return {
            "bridge_request_timeouts_total": _counter(
                "Requests that were ended, since they ran for longer than timeout_request.",
                _by_mount(ended),
            ),
            "bridge_threads_written_off": _gauge(
                "Threads that could not be interrupted then, and have not ended yet.",
                _by_mount(stuck),
            ),
        }


def _add(table: dict[Labels, Read], key: Labels, read: Read) -> None:
    """Add what a meter has counted to what others have for the same labels."""
    known = table.get(key)
    if known is not None:
        read = (
            [sum(pair) for pair in zip(known[0], read[0], strict=True)],
            known[1] + read[1],
            [sum(pair) for pair in zip(known[2], read[2], strict=True)],
        )
    table[key] = read


def _families(prefix: str, about: str, table: Mapping[Labels, Read]) -> Snapshot:
    """Make the families about requests, whose names begin with `prefix`; none for no requests."""
    requests, responses, aborted, durations = [], [], [], []
    for key, (counts, total, classes) in table.items():
        labels = dict(key)
        requests.append([labels, sum(counts)])
        aborted.append([labels, classes[ABORTED]])
        responses += [
            [{**labels, "class": f"{place}xx"}, count]
            for place, count in enumerate(classes)
            if place != ABORTED
        ]
        durations.append([labels, _buckets(counts, total)])
    if prefix and not table:
        return {}
    return {
        f"bridge_{prefix}requests_total": _counter(
            f"Requests that are over: answered, or aborted{about}.", requests
        ),
        f"bridge_{prefix}responses_total": _counter(
            f"Whole responses, by class of status{about}.", responses
        ),
        f"bridge_{prefix}aborted_requests_total": _counter(
            f"Requests without a whole response: the client left, or it was cut{about}.", aborted
        ),
        f"bridge_{prefix}request_duration_seconds": _histogram(
            f"From the head of a request to the last byte of its response{about}.", durations
        ),
    }


def _version() -> str:
    """Return the toolkit's; its package is above this one, and loaded in any case."""
    return str(sys.modules["bridge"].__version__)


def _by_mount(values: Mapping[str, float]) -> list[Any]:
    return [[{"mount": mount}, value] for mount, value in values.items()]


def _counter(about: str, samples: list[Any]) -> Family:
    return Family(type=COUNTER, help=about, samples=samples)


def _histogram(about: str, samples: list[Any]) -> Family:
    return Family(type=HISTOGRAM, help=about, samples=samples)


def _gauge(about: str, samples: list[Any], *, per_worker: bool = False) -> Family:
    family = Family(type=GAUGE, help=about, samples=samples)
    if per_worker:
        family["per"] = "worker"
    return family


def _buckets(counts: list[int], total: float) -> Buckets:
    return Buckets(bounds=[*DURATIONS], counts=counts, sum=total)
