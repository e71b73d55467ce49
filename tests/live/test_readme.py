"""The README tells the truth: what it shows runs as it is printed; and it is short."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.hosts import ROOT, Command, start

_USE = re.compile(
    r"^## (?P<title>[^\n]+)\n(?:(?!^## ).)*?"
    r"^```python\n# (?P<file>\w+\.py)\n(?P<code>.*?)^```\n(?:(?!^## ).)*?"
    r"^```console\n(?P<session>.*?)^```\n",
    re.M | re.S,
)


@dataclass(frozen=True)
class Use:
    """One section of the README: a file, the command that serves it, and what curl then shows."""

    title: str
    file: str
    code: str
    command: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]


def uses() -> list[Use]:
    """The sections that have a file and a session."""
    found = []
    for match in _USE.finditer((ROOT / "README.md").read_text()):
        command, *steps = re.split(r"^\$ ", match["session"], flags=re.M)[1:]
        answers = tuple(
            (url.removeprefix("curl http://127.0.0.1:8000"), answer)
            for url, _, answer in (step.partition("\n") for step in steps)
        )
        argv = tuple(shlex.split(command))
        found.append(Use(match["title"], match["file"], match["code"], argv, answers))
    return found


def test_it_fits_on_two_screens() -> None:
    """It has so many lines at most, and one chart."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 110
    assert len(re.findall(r"^!\[", text, re.M)) == 1


def test_what_the_use_needs_is_named() -> None:
    """The line that installs brings all that the use imports."""
    (use,) = uses()
    assert use.command[0] == "asgi-bridge"
    (line,) = re.findall(r"`python -m pip install (?!\.)(.*?)`", (ROOT / "README.md").read_text())
    brought = {"bridge", *line.split(), *sys.stdlib_module_names}
    assert set(re.findall(r"^(?:from|import) (\w+)", use.code, re.M)) <= brought


@pytest.mark.parametrize("use", uses(), ids=lambda use: use.title)
def test_a_use_runs_as_printed(use: Use, tmp_path: Path) -> None:
    """Save the file, type the command, and curl shows what the README shows."""
    (tmp_path / use.file).write_text(use.code)
    program, *arguments = use.command
    argv = (str(Path(sys.executable).with_name(program)), *arguments, "--port={port}")
    with start(Command(use.title, argv, cwd=tmp_path)) as host:
        for path, answer in use.answers:
            response = httpx.get(host.url(path))
            assert response.status_code == 200
            assert response.text.strip() == answer.strip()
