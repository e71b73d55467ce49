"""The targets of the project, all in this one table, and how a run is held against them.

A ratio is taken round by round between figures of one run, and its median counts: drift of the
machine from round to round falls out.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

#: How a claim names a figure.
WORDS = {
    "cpu_us": "CPU per request",
    "rate": "requests per second",
    "worker_mb": "MB in the worker",
    "connection_bytes": "bytes per idle connection",
    "upload_growth_mb": "MB more while 1 GB goes up",
    "upload_seconds": "time of 1 GB up",
    "download_growth_mb": "MB more while 1 GB goes down",
    "download_seconds": "time of 1 GB down",
}
#: The figures of a run: row -> figure -> one value per round, None where a round has none.
Figures = dict[str, dict[str, list[float | None]]]


@dataclass(frozen=True)
class Verdict:
    """One claim held against a run; `reached` is None when a row it needs is not in the run."""

    claim: str
    measured: str
    reached: bool | None


@dataclass(frozen=True)
class Faster:
    """`row` is at least `times` as fast as the best of `peers`: by CPU time, and by rate."""

    row: str
    times: float
    peers: tuple[str, ...]

    def verdicts(self, figures: Figures) -> list[Verdict]:
        return [
            self._verdict(figures, "cpu_us"),
            self._verdict(figures, "rate"),
        ]

    def _verdict(self, figures: Figures, figure: str) -> Verdict:
        peers = [peer for peer in self.peers if _median(figures, peer, figure) is not None]
        lower_is_better = figure == "cpu_us"
        best = min if lower_is_better else max
        names = " or ".join(self.peers)
        claim = f"{self.row} >= {self.times:g} x {names}, {WORDS[figure]}"
        if not peers or _median(figures, self.row, figure) is None:
            return Verdict(claim, "not measured", None)
        peer = best(peers, key=lambda name: _median(figures, name, figure))
        pair = (peer, self.row) if lower_is_better else (self.row, peer)
        ratios = _ratios(figures, figure, *pair)
        return _verdict(claim, ratios, statistics.median(ratios) >= self.times)


@dataclass(frozen=True)
class Within:
    """`figure` of `row` is at most `times` that of `peer`."""

    row: str
    figure: str
    times: float
    peer: str

    def verdicts(self, figures: Figures) -> list[Verdict]:
        claim = f"{self.row} <= {self.times:g} x {self.peer}, {WORDS[self.figure]}"
        ratios = _ratios(figures, self.figure, self.row, self.peer)
        if not ratios:
            return [Verdict(claim, "not measured", None)]
        return [_verdict(claim, ratios, statistics.median(ratios) <= self.times)]


@dataclass(frozen=True)
class AtMost:
    """`figure` of `row` is at most `limit`, in that figure's unit."""

    row: str
    figure: str
    limit: float

    def verdicts(self, figures: Figures) -> list[Verdict]:
        claim = f"{self.row}: at most {self.limit:g} {WORDS[self.figure]}"
        values = [
            value for value in figures.get(self.row, {}).get(self.figure, []) if value is not None
        ]
        if not values:
            return [Verdict(claim, "not measured", None)]
        return [_verdict(claim, values, statistics.median(values) <= self.limit)]


Target = Faster | Within | AtMost


def _median(figures: Figures, row: str, figure: str) -> float | None:
    values = [value for value in figures.get(row, {}).get(figure, []) if value is not None]
    return statistics.median(values) if values else None


def _ratios(figures: Figures, figure: str, above: str, below: str) -> list[float]:
    pairs = zip(
        figures.get(above, {}).get(figure, []), figures.get(below, {}).get(figure, []), strict=False
    )
    return [a / b for a, b in pairs if a is not None and b]


def _verdict(claim: str, values: list[float], reached: bool) -> Verdict:
    middle, low, high = statistics.median(values), min(values), max(values)
    return Verdict(claim, f"{middle:.2f} ({low:.2f} to {high:.2f})", reached)


GRANIAN_WSGI = ("granian wsgi 1", "granian wsgi 8")

_ASGI_PLAINTEXT = (
    Faster("bridge", 1.1, ("go",)),
    Faster("bridge", 2.2, ("uvicorn",)),
    Faster("bridge", 1.6, ("granian",)),
    Faster("bridge", 0.55, ("floor",)),
)
_WSGI_PLAINTEXT = (
    Faster("bridge thread", 1.05, GRANIAN_WSGI),
    Faster("bridge thread", 8, ("gunicorn gthread",)),
    Faster("bridge thread", 12, ("uvicorn + a2wsgi",)),
    Faster("bridge greenlet", 1.2, GRANIAN_WSGI),
    Faster("bridge greenlet", 1.0, ("meinheld",)),
    Faster("bridge inline", 1.2, GRANIAN_WSGI),
    Faster("bridge inline", 1.0, ("meinheld",)),
)
_BODIES = (
    Faster("bridge", 1.5, ("uvicorn",)),
    Faster("bridge", 1.0, ("granian",)),
    Faster("bridge thread", 1.5, ("uvicorn + a2wsgi",)),
    Faster("bridge thread", 1.0, GRANIAN_WSGI),
)
_FLASK = (
    Faster("flask: bridge thread", 1.0, tuple(f"flask: {name}" for name in GRANIAN_WSGI)),
    Faster("flask: bridge thread", 2.5, ("flask: gunicorn gthread",)),
)

UPLOAD_OR_DOWNLOAD = ("upload", "download")


def _transfer(row: str, without: str) -> tuple[Target, ...]:
    """Memory flat, and the time near that of the same host without the adapter."""
    return tuple(
        target
        for way in UPLOAD_OR_DOWNLOAD
        for target in (
            AtMost(row, f"{way}_growth_mb", 20),
            Within(row, f"{way}_seconds", 1.2, without),
        )
    )


TARGETS: dict[str, tuple[Target, ...]] = {
    "plaintext": _ASGI_PLAINTEXT + _WSGI_PLAINTEXT,
    "asgi": _ASGI_PLAINTEXT,
    "wsgi": (
        *_WSGI_PLAINTEXT,
        Faster("uvicorn + WsgiToAsgi", 5, ("uvicorn + a2wsgi",)),
        *_FLASK,
    ),
    "flask": _FLASK,
    "echo": _BODIES,
    "large": _BODIES,
    "stream": _BODIES,
    "websocket": (
        Faster(
            "bridge",
            1.3,
            ("uvicorn websockets", "uvicorn websockets-sansio", "uvicorn wsproto"),
        ),
    ),
    "mounts": (
        Within("asgi mounted", "cpu_us", 1.05, "asgi"),
        Within("wsgi mounted", "cpu_us", 1.05, "wsgi"),
    ),
    "access-log": (
        Faster("bridge, log", 0.85, ("bridge",)),
        Faster("bridge thread, log", 0.85, ("bridge thread",)),
    ),
    "idle": (
        AtMost("bridge", "worker_mb", 30),
        AtMost("bridge thread", "worker_mb", 30),
        AtMost("bridge", "connection_bytes", 6000),
        AtMost("bridge thread", "connection_bytes", 6000),
    ),
    "memory": (
        *_transfer("bridge + WsgiToAsgi", "bridge"),
        *_transfer("uvicorn + WsgiToAsgi", "uvicorn"),
        *_transfer("bridge thread + AsgiToWsgi", "bridge thread"),
        *_transfer("gunicorn + AsgiToWsgi", "gunicorn"),
    ),
}
