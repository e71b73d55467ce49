"""The tools behind scripts/check: they find what they are there to find."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.hosts import ROOT
from tools import links, rules, settings

PAGE = "| W1 | first | |\n| W2 | second | |\n| W3 | third | |\n"


@pytest.fixture
def tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of tests of another project."""
    directory = tmp_path / "tests"
    directory.mkdir()
    (directory / "test_some.py").write_text(
        "def test_one():\n    'W1: first'\n"
        "class Machine:\n    'W2 to the last'\n    async def test_two(self):\n        'L9'\n"
        "def test_nameless(): pass\n"
        "def helper(): pass\n"
    )
    monkeypatch.setattr(rules, "ROOT", tmp_path)
    monkeypatch.setattr(rules, "TESTS", directory)
    return directory


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("W3: a rule", ["W3"]),
        ("W3, A22 and S10: three", ["W3", "A22", "S10"]),
        ("W30-W32: a run", ["W30", "W31", "W32"]),
        ("D1 to D3", ["D1", "D2", "D3"]),
        ("RFC 9112, HTTP1, XW3, W3C, w3", []),
    ],
)
def test_rules_are_read_from_docstrings(text: str, found: list[str]) -> None:
    """A rule is a letter and a number; a run of them counts as each."""
    assert rules.rules_in(text) == found


def test_missing_and_surplus_proofs_are_found(tests: Path) -> None:
    """A promise without a test and a rule without a promise are both said."""
    proofs, nameless = rules.read_tests(tests)
    assert sorted(proofs) == ["L9", "W1", "W2"]
    assert nameless == [
        "tests/test_some.py:7: test_nameless does not say in a docstring what it proves"
    ]
    assert list(rules.compare(PAGE + "| W1 | again | |\n", proofs)) == [
        "W1 stands twice in behaviour.md",
        "W3 is promised in behaviour.md, and no test names it",
        "L9 is named in tests/test_some.py, and is not promised in behaviour.md",
    ]


def test_the_page_says_which_test_proves_what(tests: Path) -> None:
    """The last column is written from the tests, and writing it again changes nothing."""
    proofs, _ = rules.read_tests(tests)
    page = rules.with_proofs(PAGE, proofs)
    assert "| W1 | first | [some](../../tests/test_some.py) |" in page
    assert "| W3 | third |  |" in page
    assert rules.with_proofs(page, proofs) == page


def test_settings_page_has_every_setting() -> None:
    """Each row of Config is on the page."""
    page = settings.render()
    assert all(
        f"`{setting.flag}`" in page for setting in settings.SETTINGS if setting.name != "app"
    )


def test_a_setting_that_nobody_reads_is_found(tmp_path: Path) -> None:
    """A setting that is listed does something."""
    (tmp_path / "some.py").write_text("print(config.port, self.config.host)")
    unread = settings.unread(tmp_path)
    assert "threads" in unread
    assert {"host", "port"}.isdisjoint(unread)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[x](none.md)", "none.md leads nowhere"),
        ("[x](#none)", "#none leads to no heading"),
        ("# A title, here\n[x](#a-title-here) [y](https://example.com)", None),
        ("```python\ndef (\n```", "a python snippet is none"),
        ("```toml\n= 3\n```", "a toml snippet is none"),
        ("```\n[x](none.md)\n```", None),
        ("`bridge.serve(app)`, `bridge.server.Server`", None),
        ("`bridge.nothing`", "bridge.nothing is not a public name"),
    ],
)
def test_pages_are_looked_through(tmp_path: Path, text: str, problem: str | None) -> None:
    """Dead links, broken snippets and names that do not exist are found."""
    page = tmp_path / "page.md"
    page.write_text(text + "\n")
    found = list(links.problems(page))
    assert len(found) == (problem is not None)
    assert all(text.startswith(str(problem)) for text in found)


SCRIPTS = [path for path in (ROOT / "scripts").iterdir() if path.read_bytes().startswith(b"#!")]


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_scripts_can_be_run(script: Path) -> None:
    """What begins with ``#!`` is executable: others call it by its name."""
    assert os.access(script, os.X_OK)
