"""The README tells the truth: its three uses run as they are printed."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
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

#: How each server is told its port.
_PORT = {
    "asgi-bridge": "--port={port}",
    "uvicorn": "--port={port}",
    "gunicorn": "--bind=127.0.0.1:{port}",
}


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


def test_there_are_three_uses() -> None:
    """The server with both kinds of app, WSGI as ASGI, and ASGI as WSGI."""
    assert [use.command[0] for use in uses()] == ["asgi-bridge", "uvicorn", "gunicorn"]


def test_what_the_uses_need_is_named() -> None:
    """The line that installs names extras that there are, and brings all that the uses import."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"'\.\[(\w+)\]'", text)) == {"examples", "gunicorn"}
    brought = {re.split(r"\W", each)[0] for each in extras["examples"] + extras["gunicorn"]}
    brought |= {"bridge", "uvicorn", *sys.stdlib_module_names}
    assert "'.[examples]' uvicorn`" in text
    for use in uses():
        assert set(re.findall(r"^(?:from|import) (\w+)", use.code, re.M)) <= brought
        assert use.command[0] in brought | {"asgi-bridge"}


@pytest.mark.parametrize("use", uses(), ids=lambda use: use.title)
def test_a_use_runs_as_printed(use: Use, tmp_path: Path) -> None:
    """Save the file, type the command, and curl shows what the README shows."""
    (tmp_path / use.file).write_text(use.code)
    program, *arguments = use.command
    argv = (str(Path(sys.executable).with_name(program)), *arguments, _PORT[program])
    with start(Command(use.title, argv, cwd=tmp_path)) as host:
        for path, answer in use.answers:
            response = httpx.get(host.url(path))
            assert response.status_code == 200
            assert response.text.strip() == answer.strip()
