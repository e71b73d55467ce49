"""What the bench runs: which scenarios, with which rows."""

from __future__ import annotations

from bench.measure.scenarios import GROUPS, SCENARIOS
from bench.peers.servers import THREADS


def test_browser_runs_each_scenario_of_heads_that_differ() -> None:
    """One command shows everything about heads that differ, and nothing else."""
    differ = {name for name, each in SCENARIOS.items() if each.request.browser}
    others = {"access-log", "mail-differ", "channels-differ", "metrics-differ", *GROUPS["waiting"]}
    assert differ - others == {*GROUPS["browser"]}


def test_rows_have_different_names() -> None:
    """Figures are kept by the name of their row."""
    for name, scenario in SCENARIOS.items():
        names = [row.name for row in scenario.rows]
        assert len(names) == len({*names}), name


def test_all_wait_for_the_same() -> None:
    """Requests that wait are more than any server has threads to spare, and the same for all."""
    for name in GROUPS["waiting"]:
        scenario = SCENARIOS[name]
        assert scenario.request.connections == max(THREADS), name
        assert len({row.app for row in scenario.rows}) == 1, name
