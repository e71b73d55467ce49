"""The how-to about routes: its apps are saved, its commands are run, and print what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hosts import ROOT

PAGE = (ROOT / "docs" / "howto" / "see-every-route.md").read_text()
OLD, NEW, PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the two apps of the page."""
    (tmp_path / "old.py").write_text(OLD)
    (tmp_path / "new.py").write_text(NEW)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    """What a command prints, in that folder."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.parametrize("block", BLOCKS, ids=["table", "path", "strict"])
def test_commands(folder: Path, block: str) -> None:
    """M50: each command prints what the page shows."""
    lines = block.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    script = "\n".join(commands).replace("asgi-bridge ", f"{sys.executable} -m bridge ")
    shown = [line for line in lines if not line.startswith("$ ")]
    assert run(folder, "sh", "-c", script).splitlines() == shown


def test_from_python(folder: Path) -> None:
    """M50: the same in Python."""
    assert run(folder, sys.executable, "-c", PYTHON).splitlines() == [
        "2 new.user",
        "True False True",
    ]
