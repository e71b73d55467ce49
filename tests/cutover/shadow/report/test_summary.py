"""What a report adds up to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.cutover.shadow.report.summary import Summary, parse_limit, read_report, summed_up
from bridge.errors import ConfigError


def entry(route: str, *patterns: str, result: str = "", **more: Any) -> dict[str, Any]:
    """An entry of a report; each pattern is a difference."""
    differences = [
        {"place": each, "pattern": each, "kind": "value", "old": "1", "new": "2"}
        for each in patterns
    ]
    result = result or ("different" if patterns else "equal")
    head = {"route": route, "method": "GET", "target": f"/{route}", "result": result}
    return {**head, "differences": differences, **more}


def test_a_summary_counts_by_route() -> None:
    """M12: by route: compared, equal, different, dropped, and the most frequent differences."""
    summary = summed_up(
        [
            entry("a", "$.x", "$.x", "$.y"),
            entry("a", "$.x", truncated=True),
            entry("a"),
            entry("b", result="dropped", reason="busy"),
            entry("b", result="error", reason="gone"),
        ]
    )
    found = summary.as_dict()
    assert found["total"] == {
        "compared": 3, "equal": 1, "different": 2, "dropped": 1, "errors": 1, "truncated": 1,
    }  # fmt: skip
    example = {"place": "$.x", "pattern": "$.x", "kind": "value", "old": "1", "new": "2"}
    assert found["routes"]["a"]["differences"][0] == {
        "count": 2,
        **example,
        "request": "GET /a",
    }
    assert found["routes"]["b"]["reasons"] == {"busy": 1, "gone": 1}


def test_another_status_is_shown_first() -> None:
    """M12: a rare status is worse than what differs often, and is not left out."""
    often = [entry("a", *(f"$.k{number}" for number in range(8))) for _ in range(3)]
    route = summed_up([*often, entry("a", "status")]).routes["a"]
    assert [key[0] for key, _ in route.shown()] == ["status", "$.k0", "$.k1", "$.k2", "$.k3"]
    assert route.as_dict()["differences"][0]["pattern"] == "status"


def test_differences_without_end_cost_bounded_memory() -> None:
    """M12: of very many different differences and reasons only some are counted one by one."""
    summary = Summary()
    for number in range(2_000):
        summary.add(entry("a", f"$.k{number}"))
        summary.add(entry("a", result="dropped", reason=str(number)))
    route = summary.routes["a"]
    assert (route.different, len(route.frequent), len(route.examples)) == (2_000, 1_000, 1_000)
    assert (route.dropped, len(route.reasons)) == (2_000, 1_000)


def test_older_parts_count_and_broken_lines_are_told(tmp_path: Path) -> None:
    """M12: a report is read with its older parts; lines that are none are counted."""
    path = tmp_path / "report"
    line = json.dumps(entry("a")) + "\n"
    (tmp_path / "report.2").write_text(line)
    (tmp_path / "report.1").write_text(line + '{"broken\n[1]\n{}\n' + "[" * 100_000 + "\n")
    path.write_text(line + '{"route": "a", "result": "odd"}\n\xff')
    summary = read_report(path)
    assert (summary.compared, summary.unreadable) == (3, 6)
    with pytest.raises(ConfigError, match="is no report; name the file"):
        read_report(tmp_path / "other")


@pytest.mark.parametrize(
    ("limit", "equal", "different", "why"),
    [
        ("0", 5, 0, None),
        ("0", 5, 1, "1 of 6 differ (16.67 %); allowed is 0"),
        ("2", 0, 2, None),
        ("50%", 1, 1, None),
        ("0.5%", 199, 1, None),
        ("0.5%", 198, 1, "1 of 199 differ (0.5 %); allowed is 0.5%"),
        ("100%", 0, 0, "nothing was compared, which proves nothing"),
    ],
)
def test_a_limit_says_whether_it_is_enough(
    limit: str, equal: int, different: int, why: str | None
) -> None:
    """M12: a limit is a number or a share; a report of nothing is no proof."""
    summary = summed_up([*[entry("a")] * equal, *[entry("a", "$")] * different])
    assert parse_limit(limit).broken_by(summary) == why


def test_an_answer_that_is_missing_breaks_every_limit() -> None:
    """M12: requests that one side has not answered are no proof."""
    summary = summed_up([entry("a"), entry("a", result="error", reason="gone")])
    assert parse_limit("100%").broken_by(summary) == "1 request without an answer of one side"


@pytest.mark.parametrize("text", ["", "x", "-1", "101%", "1.5", "%", "0.5 %", "\u0661"])
def test_bad_limits_are_said(text: str) -> None:
    """M12: a limit that is none is an error that says what is allowed."""
    with pytest.raises(ConfigError, match="allowed is a number such as 0"):
        parse_limit(text)
