"""The charts of the page of comparison show what is saved."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.compared import charts
from bench.report.bars import Bar, drawn


@pytest.mark.parametrize("name", charts.CHARTS)
def test_rows_are_those_of_the_result(name: str) -> None:
    """A chart has a bar for each of its rows: no row was renamed, none lost its figure."""
    chart = charts.CHARTS[name]
    assert len(chart.bars()) == len(chart.rows)
    assert any(bar.ours for bar in chart.bars())


@pytest.mark.parametrize("name", charts.CHARTS)
def test_pictures_are_those_that_are_kept(name: str) -> None:
    """The file beside the result is what the result gives, and it is XML."""
    place = charts.DOCUMENTS / f"compared-{name}.svg"
    text = charts.pictures()[place]
    assert place.read_text(encoding="utf-8") == text
    ElementTree.fromstring(text)


def test_best_first() -> None:
    """Less is better, if a chart does not say that more is."""
    values = [bar.value for bar in charts.CHARTS["asgi"].bars()]
    assert values == sorted(values)
    rates = [bar.value for bar in charts.CHARTS["waiting"].bars()]
    assert rates == sorted(rates, reverse=True)


def test_labels_are_text() -> None:
    """What a label has of XML's own signs is text; all values of zero are no error."""
    text = drawn("<a> & b", "none", [Bar("<c>", 0, 0, 0, "none", ours=True)])
    words = [element.text for element in ElementTree.fromstring(text).iter()]
    assert "<a> & b" in words
    assert "<c>" in words
