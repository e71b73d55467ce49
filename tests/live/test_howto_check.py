"""The how-to "Check an app before you move it": its app gets the report that it shows (M51)."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hosts import ROOT

PAGE = (ROOT / "docs" / "howto" / "check-your-app.md").read_text()
FILES = dict(re.findall(r"```python\n# ([\w.]+\.py)\n(.*?)```", PAGE, re.S))
SHOWN, *OTHERS = re.findall(r"```console\n\$ asgi-bridge (.*?)```", PAGE, re.S)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, in a folder with its files."""
    for name, text in FILES.items():
        (folder / name).write_text(f"# {name}\n{text}")
    return subprocess.run(
        [sys.executable, "-m", "bridge", *shlex.split(command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_the_report(tmp_path: Path) -> None:
    """M51: is the one that the page shows, but for the name that is made by chance."""
    command, _, shown = SHOWN.partition("\n")
    ended = run(command, tmp_path)
    assert ended.stderr == ""
    assert _same(ended.stdout) == _same(shown)


def _same(report: str) -> str:
    return re.sub(r"bridge-check-[0-9a-f]{12}", "bridge-check-x", report)


@pytest.mark.parametrize("command", OTHERS)
def test_the_other_commands(command: str, tmp_path: Path) -> None:
    """M51: run as they are printed."""
    ended = run(command.strip(), tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    if "--json" in command:
        (app,) = json.loads(ended.stdout)["apps"]
        assert [each["id"] for each in app["findings"]] == ["waits"]
