"""How a run is held against a target.

A ratio is taken round by round between figures of one run, and its median counts: the drift of the
machine from round to round falls out. A claim about the best of several peers needs all of them.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.measure.figures import Figures, known

#: How a claim names a figure.
WORDS = {
    "cpu_us": "CPU per request",
    "cpu_over": "times the CPU per request without copies",
    "p99_us": "p99",
    "p99_over": "times the p99 without copies",
    "rate": "requests per second",
    "worker_mb": "MB in the worker",
    "connection_bytes": "bytes per idle connection",
    "upload_growth_mb": "MB more while 1 GB goes up",
    "upload_cpu": "CPU for 1 GB up",
    "download_cpu": "CPU for 1 GB down",
    "upload_seconds": "time of 1 GB up",
    "download_growth_mb": "MB more while 1 GB goes down",
    "download_seconds": "time of 1 GB down",
}


@dataclass(frozen=True)
class Verdict:
    """One claim held against a run; `reached` is None when a row it needs is not in the run."""

    claim: str
    measured: str
    reached: bool | None


@dataclass(frozen=True)
class Faster:
    """`row` is at least `times` as fast as the best of `peers`: by CPU time, and by rate.

    `stretch`: more than is asked for.
    """

    row: str
    times: float
    peers: tuple[str, ...]
    stretch: bool = False

    @property
    def rows(self) -> set[str]:
        return {self.row, *self.peers}

    def verdicts(self, figures: Figures) -> list[Verdict]:
        return [self._by_cpu(figures), self._by_rate(figures)]

    def _by_cpu(self, figures: Figures) -> Verdict:
        best = self._best_peer(figures, "cpu_us", least=True)
        return self._verdict("cpu_us", _ratios(figures, "cpu_us", best, self.row))

    def _by_rate(self, figures: Figures) -> Verdict:
        best = self._best_peer(figures, "rate", least=False)
        return self._verdict("rate", _ratios(figures, "rate", self.row, best))

    def _best_peer(self, figures: Figures, figure: str, *, least: bool) -> str | None:
        medians = {peer: _median(figures, peer, figure) for peer in self.peers}
        if None in medians.values():
            return None
        return (min if least else max)(medians, key=medians.__getitem__)

    def _verdict(self, figure: str, ratios: list[float]) -> Verdict:
        claim = f"{self.row} >= {self.times:g} x {' or '.join(self.peers)}, {WORDS[figure]}"
        if self.stretch:
            claim = f"stretch: {claim}"
        return _held(claim, ratios, at_least=self.times)


@dataclass(frozen=True)
class Within:
    """`figure` of `row` is at most `times` that of `peer`."""

    row: str
    figure: str
    times: float
    peer: str

    @property
    def rows(self) -> set[str]:
        return {self.row, self.peer}

    def verdicts(self, figures: Figures) -> list[Verdict]:
        claim = f"{self.row} <= {self.times:g} x {self.peer}, {WORDS[self.figure]}"
        ratios = _ratios(figures, self.figure, self.row, self.peer)
        return [_held(claim, ratios, at_most=self.times)]


@dataclass(frozen=True)
class AtMost:
    """`figure` of `row` is at most `limit`, in that figure's unit."""

    row: str
    figure: str
    limit: float

    @property
    def rows(self) -> set[str]:
        return {self.row}

    def verdicts(self, figures: Figures) -> list[Verdict]:
        claim = f"{self.row}: at most {self.limit:g} {WORDS[self.figure]}"
        return [_held(claim, known(_values(figures, self.row, self.figure)), at_most=self.limit)]


Target = Faster | Within | AtMost


def _values(figures: Figures, row: str | None, figure: str) -> list[float | None]:
    return figures.get(row, {}).get(figure, []) if row is not None else []


def _median(figures: Figures, row: str, figure: str) -> float | None:
    values = known(_values(figures, row, figure))
    return statistics.median(values) if values else None


def _ratios(figures: Figures, figure: str, above: str | None, below: str | None) -> list[float]:
    """`above` by `below` in each round that has both."""
    pairs = zip(_values(figures, above, figure), _values(figures, below, figure), strict=False)
    return [a / b for a, b in pairs if a is not None and b]


def _held(
    claim: str, values: list[float], *, at_least: float = 0, at_most: float = float("inf")
) -> Verdict:
    if not values:
        return Verdict(claim, "not measured", None)
    middle = statistics.median(values)
    measured = f"{_show(middle)} ({_show(min(values))} to {_show(max(values))})"
    return Verdict(claim, measured, at_least <= middle <= at_most)


def _show(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
