"""The guides from where people are: each is followed, with their program and then with ours."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.hosts import ROOT
from tests.support.pages import follow

FROM = ROOT / "docs" / "howto" / "from"
PAGES = sorted(FROM.glob("*.md"))
#: What needs Apache, or is nowhere to be had: see `test_from_hosts`.
ELSEWHERE = {"mod_wsgi", "unit"}
FOLLOWED = [page for page in PAGES if page.stem not in ELSEWHERE]
HEADINGS = ["The change", "Options", "What differs", "The way back"]


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_the_page(page: Path, tmp_path: Path) -> None:
    """All that it says to type gives what it shows; theirs and ours give the same answer."""
    answers = defaultdict(dict)
    for each in follow(page, tmp_path):
        answers[each.asked][each.server] = each.text
    assert any(len(texts) > 1 for texts in answers.values())
    for asked, texts in answers.items():
        assert len({*texts.values()}) == 1, (asked, texts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_parts_of_a_page(page: Path) -> None:
    """Every guide has the same parts, in the same order, and stands in the list of pages."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# Coming from ")
    assert [line[3:] for line in lines if line[3:] in HEADINGS] == HEADINGS
    assert f"(howto/from/{page.name})" in (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
