"""A summary as text."""

from __future__ import annotations

from bridge.cutover.shadow.report.summary import Summary, summed_up
from bridge.cutover.shadow.report.text import summary_text
from tests.cutover.shadow.report.test_summary import entry


def test_a_summary_is_a_table_and_what_differs_most() -> None:
    """M12: the text has a line for each route, and its differences with one example each."""
    text = summary_text(
        summed_up(
            [
                entry("invoices", "$.items[*].price"),
                entry("invoices", "$.items[*].price", truncated=True),
                entry("invoices"),
                entry("a", result="dropped", reason="busy"),
            ]
        )
    )
    assert text == (
        "ROUTE     COMPARED  EQUAL  DIFFERENT  DROPPED  ERRORS\n"
        "a                0      0          0        1       0\n"
        "invoices         3      1          2        0       0\n"
        "all              3      1          2        1       0\n"
        "\n"
        "a:\n"
        "  not compared, 1 x: busy\n"
        "\n"
        "invoices:\n"
        "  2 x $.items[*].price (value)\n"
        "      1 -> 2   in GET /invoices\n"
        "  compared only as far as they go: 1 request"
    )


def test_only_the_most_frequent_are_shown() -> None:
    """M12: of many differences the most frequent are shown; unreadable lines are told."""
    summary = summed_up([entry("a", *(f"$.k{number}" for number in range(8)))])
    summary.unreadable = 2
    assert "  and 3 other differences\n\n2 lines could not be read" in summary_text(summary)
    assert summary_text(Summary()).splitlines()[1].split() == ["all", "0", "0", "0", "0", "0"]
