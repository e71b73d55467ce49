"""What the bench runs: which scenarios, with which rows."""

from __future__ import annotations

import pytest

from bench.__main__ import _chosen
from bench.scenarios import GROUPS, SCENARIOS


def test_browser_runs_each_scenario_of_heads_that_differ() -> None:
    """One command shows everything about heads that differ, and nothing else."""
    assert {name for name, each in SCENARIOS.items() if each.request.browser} == {
        *GROUPS["browser"]
    }


def test_rows_have_different_names() -> None:
    """Figures are kept by the name of their row."""
    for name, scenario in SCENARIOS.items():
        names = [row.name for row in scenario.rows]
        assert len(names) == len({*names}), name


def test_only_some_rows() -> None:
    """Words choose rows by a part of their name; a scenario of a group without any is left out."""
    chosen = _chosen("browser", "meinheld, node")
    assert {name: [row.name for row in rows] for name, rows in chosen.items()} == {
        "browser-asgi": ["node"],
        "browser-wsgi": ["meinheld"],
    }
    assert [*_chosen("asgi", "")["asgi"]] == [*SCENARIOS["asgi"].rows]


def test_no_row_is_left() -> None:
    """A word that no row has is told, with the names that there are."""
    with pytest.raises(SystemExit, match=r"--only nothing leaves no row; there are: bridge, uvic"):
        _chosen("asgi", "nothing")
