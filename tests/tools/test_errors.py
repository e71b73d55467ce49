"""The page of errors: every type and every text of the code is on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bridge
from tests.support.hosts import ROOT
from tools.site import errors


@pytest.fixture(scope="module")
def texts() -> list[errors.Text]:
    """Every text in the code."""
    return errors.in_code(ROOT / "bridge")


def test_every_error_has_advice_and_every_text_a_section(texts: list[errors.Text]) -> None:
    """Each type of bridge/errors.py has a line of advice; no advice is for what is none."""
    advice = errors.advice()
    assert errors.problems(texts, advice) == []
    changed = {**advice, "Gone": "x"}
    del changed["AppError"]
    missed, left_over = errors.problems(texts, changed)
    assert missed == "AppError is an error; say what to do in tools/site/errors.toml"
    assert left_over == "errors.toml names Gone, which is no error"


def test_every_text_is_on_the_page(texts: list[errors.Text]) -> None:
    """Those of settings, of the command line, and what clients are told."""
    page = errors.render(texts)
    rows = {(each.text, each.type) for each in texts}
    assert len(rows) > 400
    assert page.count("\n| `") == len(rows) + len(errors.types())
    assert "| `--env is ...; allowed is NAME=VALUE` | `ConfigError` |" in page
    assert "| `the request has no Host field; HTTP/1.1 wants one` | `RequestError` |" in page


def test_types_are_those_of_the_package_and_of_the_page_of_names() -> None:
    """What `bridge` exports of errors is a type here; names.md has a row for each."""
    exported = {
        name
        for name in bridge.__all__
        if isinstance(each := getattr(bridge, name), type) and issubclass(each, Exception)
    }
    assert exported <= errors.types().keys()
    names = (ROOT / "docs" / "reference" / "names.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `bridge\.(?:errors\.)?(\w+)` \|", names.partition("## Errors")[2], re.M)
    assert {*rows, "BridgeError"} == errors.types().keys()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('raise ConfigError(f"{x!r} is wrong; {y}")', ("... is wrong; ...", "ConfigError")),
        ('LEAD = "all"\nraise errors.ConfigError(f"{LEAD}: {x}")', ("all: ...", "ConfigError")),
        ('return AppError(\n"a" f"bc {x}")', ("abc ...", "AppError")),
        ("class Own(RequestError):\n  x = 1\nraise Own('own text')", ("own text", "RequestError")),
        ("raise click.UsageError('no 5 % for you', ctx)", ("no 5 % for you", "UsageError")),
    ],
)
def test_texts_are_found_in_code(code: str, found: tuple[str, str], tmp_path: Path) -> None:
    """They have `...` for what is filled in; what only passes on has none, nor others."""
    (tmp_path / "bridge").mkdir()
    other = (
        "raise ValueError('not ours')\nraise ConfigError(str(a))\nraise ConfigError(f'{a}: {b}')"
    )
    (tmp_path / "bridge" / "new.py").write_text(f"{code}\n{other}\n")
    (text,) = errors.in_code(tmp_path / "bridge")
    assert text[:2] == found
    if text.type in ("ConfigError", "UsageError"):
        problem = errors.problems([text], errors.advice())[0]
        assert problem == f"new.py raises {text.type}, and has no section in tools/site/errors.py"
