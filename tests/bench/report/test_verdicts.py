"""A bench that judges wrongly is worse than none: how figures become verdicts."""

from __future__ import annotations

from bench.in_process.asgi_on_wsgi import ADAPTERS, NAME
from bench.measure.scenarios import SCENARIOS
from bench.report.targets import TARGETS
from bench.report.verdicts import AtMost, Faster, Verdict, Within

FIGURES = {
    "ours": {"cpu_us": [10.0, 20.0, 12.0], "rate": [100.0, 50.0, 90.0]},
    "slow": {"cpu_us": [30.0, 61.0, 35.0], "rate": [33.0, 16.0, 30.0]},
    "quick": {"cpu_us": [11.0, 24.0, None], "rate": [80.0, 45.0, None]},
}


def test_ratio_is_taken_round_by_round() -> None:
    """The median of the rounds' own ratios counts, so drift between the rounds falls out."""
    by_cpu, by_rate = Faster("ours", 3, ("slow",)).verdicts(FIGURES)
    assert by_cpu == Verdict("ours >= 3 x slow, CPU per request", "3.00 (2.92 to 3.05)", True)
    assert by_rate.measured == "3.03 (3.00 to 3.12)"


def test_best_of_several_peers_counts() -> None:
    """Against several peers, the best of them by each figure is the one to beat."""
    by_cpu, by_rate = Faster("ours", 1.3, ("slow", "quick")).verdicts(FIGURES)
    assert by_cpu.measured == "1.15 (1.10 to 1.20)"
    assert by_rate.measured == "1.18 (1.11 to 1.25)"
    assert by_cpu.reached is False
    assert by_rate.reached is False


def test_missing_peer_leaves_the_claim_open() -> None:
    """A claim is neither reached nor missed when one of its rows was not measured."""
    for peers in (("absent",), ("slow", "absent")):
        assert {v.reached for v in Faster("ours", 1, peers).verdicts(FIGURES)} == {None}
    assert Within("absent", "cpu_us", 1.05, "ours").verdicts(FIGURES)[0].reached is None
    assert AtMost("ours", "worker_mb", 30).verdicts(FIGURES)[0].reached is None


def test_upper_limits() -> None:
    """An upper limit holds for the median, of a ratio or of a figure."""
    assert Within("ours", "cpu_us", 0.4, "slow").verdicts(FIGURES)[0].reached is True
    assert Within("slow", "cpu_us", 1.05, "ours").verdicts(FIGURES)[0].reached is False
    assert AtMost("ours", "cpu_us", 12).verdicts(FIGURES)[0].reached is True
    assert AtMost("ours", "cpu_us", 11.9).verdicts(FIGURES)[0].reached is False


def test_targets_name_rows_that_their_scenario_has() -> None:
    """A target whose row is misspelt would stay open for ever."""
    for scenario, targets in TARGETS.items():
        rows = {row.name for row in (SCENARIOS | {NAME: ADAPTERS})[scenario].rows}
        for target in targets:
            assert target.rows <= rows, (scenario, target)
