"""The tutorial: its files are saved, its commands are run, and all print what it shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.hosts import ROOT, Command, start
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "tutorial" / "first-steps.md").read_text()
FILES = dict(re.findall(r"ave (?:this|it) as `(\w+\.py)`[^`]*```python\n(.*?)```", PAGE, re.S))
#: Each command of the page, and what it prints.
STEPS = [
    step.partition("\n")[::2]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S)
    for step in re.split(r"^\$ ", block, flags=re.M)[1:]
]
SERVED = [number for number, (command, _) in enumerate(STEPS) if " serve " in command]
ASKED = [step for step in STEPS if re.match("asgi-bridge (?!serve)", step[0])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_all_of_it_is_tried() -> None:
    """Each block of the page is a file, or commands that are run below."""
    assert len(FILES) == PAGE.count("```python")
    tried = {*SERVED, *(STEPS.index(step) for step in ASKED)}
    tried |= {at for at, (command, _) in enumerate(STEPS) if command.startswith("curl ")}
    assert tried == {*range(len(STEPS))}


def _same(text: str) -> str:
    """What a server or a check prints, without times, ports, processes and names by chance."""
    text = re.sub(r"(?m)^\S+ \S+ \+0000 \[\d+\] ", "", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", text)
    return re.sub(r"bridge-check-[0-9a-f]{12}", "bridge-check", text)


@pytest.mark.parametrize("at", SERVED, ids=["one", "both"])
def test_serving(folder: Path, at: int) -> None:
    """The server says what the page shows, and curl gets it."""
    (command, shown), *others = STEPS[at:]
    words = [sys.executable, "-m", "bridge", *shlex.split(command)[1:], "--port={port}"]
    with start(Command("tutorial", tuple(words), cwd=folder)) as host:
        for line in _same(shown).splitlines():
            eventually(lambda line=line: line in _same(host.log()))  # type: ignore[misc]
        for curl, answer in others:
            if not curl.startswith("curl "):
                break
            path = curl.partition("127.0.0.1:8000")[2]
            with httpx.stream("GET", host.url(path), trust_env=False) as response:
                assert response.status_code == 200
                wanted, found = answer.splitlines(), []
                for found_line in response.iter_lines():
                    found.append(re.sub(r"\d\d:\d\d:\d\d", "12:00:00", found_line))
                    if len(found) == len(wanted):
                        break
            assert found == [re.sub(r"\d\d:\d\d:\d\d", "12:00:00", line) for line in wanted]


@pytest.mark.parametrize(("command", "shown"), ASKED, ids=["routes", "path", "check"])
def test_looking(folder: Path, command: str, shown: str) -> None:
    """M50, M51: `routes` and `check` print what the page shows."""
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", *shlex.split(command)[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert _same(ended.stdout) == _same(shown)


def test_the_same_in_python(folder: Path) -> None:
    """D1: both.py is the same site as the two mounts."""
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", "serve", "both:app", "--check-config"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "/clock  new.app (ASGI)" in ended.stdout
