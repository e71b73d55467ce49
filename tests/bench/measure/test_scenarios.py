"""What the bench runs: which scenarios, with which rows."""

from __future__ import annotations

from bench.measure.scenarios import GROUPS, SCENARIOS


def test_browser_runs_each_scenario_of_heads_that_differ() -> None:
    """One command shows everything about heads that differ, and nothing else."""
    differ = {name for name, each in SCENARIOS.items() if each.request.browser}
    assert differ - {"access-log", "mail-differ", "channels-differ", "metrics-differ"} == {
        *GROUPS["browser"]
    }


def test_rows_have_different_names() -> None:
    """Figures are kept by the name of their row."""
    for name, scenario in SCENARIOS.items():
        names = [row.name for row in scenario.rows]
        assert len(names) == len({*names}), name
