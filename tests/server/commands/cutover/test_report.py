"""`asgi-bridge cutover report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.server.cli import main
from tests.cutover.shadow.report.test_summary import entry


def run(*args: str) -> Result:
    """Run `asgi-bridge cutover report`."""
    return CliRunner().invoke(main, ["cutover", "report", *args])


@pytest.fixture
def report(tmp_path: Path) -> str:
    """A report of four requests, of which one differs."""
    path = tmp_path / "report"
    lines = [entry("a"), entry("a"), entry("b"), entry("b", "$.x\x1b[2J")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_report_is_summed_up(report: str) -> None:
    """M12: the command prints a table, without what a terminal would obey, or JSON."""
    result = run(report)
    assert result.exit_code == 0
    assert "b             2      1          1        0       0" in result.output
    assert "1 x $.x?[2J (value)" in result.output
    found = json.loads(run(report, "--json").output)
    assert (found["total"]["different"], found["broken"]) == (1, None)


@pytest.mark.parametrize(("limit", "code"), [("0", 1), ("1", 0), ("24%", 1), ("25%", 0)])
def test_the_exit_code_says_whether_too_much_differs(report: str, limit: str, code: int) -> None:
    """M12: above `--max-different` the exit code is 1."""
    result = run(report, "--max-different", limit)
    assert result.exit_code == code
    assert ("Error: 1 of 4 differ (25 %)" in result.output) is bool(code)
    as_json = run(report, "--max-different", limit, "--json")
    assert as_json.exit_code == code
    assert bool(json.loads(as_json.output)["broken"]) is bool(code)


def test_wrong_usage_is_told(report: str, tmp_path: Path) -> None:
    """M12: a file that is not there, and a limit that is none, end with 2 and a line."""
    for args, text in [
        ((str(tmp_path / "none"),), "is no report"),
        ((report, "--max-different", "x"), "--max-different: 'x' is no limit"),
        ((), "Missing argument"),
    ]:
        result = run(*args)
        assert result.exit_code == 2
        assert text in result.output
