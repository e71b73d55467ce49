"""The pages with figures show the results that are saved, or say what is not there."""

from __future__ import annotations

import re

import pytest

from bench.report import page
from bench.report.bars import bar_of, drawn


def test_figures_come_from_the_results() -> None:
    """What stands between two markers is replaced; the text around them is kept."""
    old = "Before.\n<!-- figures: asgi -->\nstale\n<!-- end of figures -->\nAfter.\n"
    new = page.filled(old)
    assert new.startswith("Before.\n<!-- figures: asgi -->\n| ASGI, CPU us/request ")
    assert new.endswith("\n<!-- end of figures -->\nAfter.\n")
    assert "| **asgi-bridge** " in new
    assert "stale" not in new
    assert page.filled(new) == new


def test_the_pages_have_a_place_for_each_part() -> None:
    """No part is made that no page shows."""
    texts = [each.read_text(encoding="utf-8") for each in page.PAGES]
    names = [name for text in texts for _, name, _ in page.MARKED.findall(text)]
    assert names == [*page.PARTS]


def test_the_charts_of_the_pages_are_those_that_are_kept() -> None:
    """Each picture that a page shows is drawn from its result, and none is missing."""
    pictures = page.pictures()
    for each in page.PAGES:
        for name in re.findall(r"\.\./benchmarks/(.+\.svg)\)", each.read_text(encoding="utf-8")):
            place = page.DOCUMENTS / name
            assert place.read_text(encoding="utf-8") == pictures[place]


def test_labels_have_room_in_charts() -> None:
    """Bars begin where the longest label ends."""
    bars = [bar_of("x" * 30, [1.0, 3.0, 2.0]), bar_of("uvicorn", [200.0])]
    text = drawn("title", "unit", bars)
    assert text.count('x="254" ') == 2
    assert [(bar.value, bar.shown) for bar in bars] == [(2.0, "2.0"), (200.0, "200")]


def test_part_that_there_is_not() -> None:
    """A misspelt marker is an error."""
    with pytest.raises(KeyError):
        page.filled("<!-- figures: nothing -->\n<!-- end of figures -->")
