"""The command chooses which rows are measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import _chosen, _with_rows_of
from bench.measure.scenarios import SCENARIOS
from bench.report.verdicts import Within


def test_only_some_rows() -> None:
    """Words choose rows by a part of their name; a scenario of a group without any is left out."""
    chosen = _chosen("browser", "node, mounted")
    assert {name: [row.name for row in rows] for name, rows in chosen.items()} == {
        "browser-asgi": ["node"],
        "browser-mounts": ["asgi mounted", "wsgi mounted"],
    }
    assert [*_chosen("asgi", "")["asgi"]] == [*SCENARIOS["asgi"].rows]


def test_no_row_is_left() -> None:
    """A word that no row has is told, with the names that there are."""
    with pytest.raises(SystemExit, match=r"--only nothing leaves no row; there are: bridge, uvic"):
        _chosen("asgi", "nothing")


def test_another_checkout_is_measured_beside_ours(tmp_path: Path) -> None:
    """Rows of ours come twice, the second from the other checkout; peers come once."""
    (tmp_path / "bridge").mkdir()
    scenario = SCENARIOS["wsgi"]
    rows = [row for row in scenario.rows if row.name in ("bridge thread", "waitress")]
    both, kept = _with_rows_of(tmp_path, rows, scenario)
    assert [(row.name, row.root == tmp_path) for row in both] == [
        ("bridge thread", False),
        ("bridge thread, beside", True),
        ("waitress", False),
    ]
    assert kept == [Within("bridge thread", "cpu_us", 1.02, "bridge thread, beside")]


def test_what_is_no_checkout(tmp_path: Path) -> None:
    """A folder without our code is refused, with its name."""
    with pytest.raises(SystemExit, match="is no checkout"):
        _with_rows_of(tmp_path, [], SCENARIOS["wsgi"])
