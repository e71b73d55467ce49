"""The pages with figures show the results that are saved, or say what is not there."""

from __future__ import annotations

import pytest

from bench.report import page


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


def test_part_that_there_is_not() -> None:
    """A misspelt marker is an error."""
    with pytest.raises(KeyError):
        page.filled("<!-- figures: nothing -->\n<!-- end of figures -->")
