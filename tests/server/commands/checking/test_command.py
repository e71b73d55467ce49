"""`asgi-bridge check` as a command: exit codes, and what is printed where (M51)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support import hosts
from tests.support.checking import AWKWARD

PEP = f"{AWKWARD}.pep3333"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, until it ends."""
    command = [sys.executable, "-m", "bridge", "check", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(hosts.ROOT)}
    return subprocess.run(
        command, cwd=hosts.ROOT, env=environ, capture_output=True, text=True, timeout=90
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((f"{PEP}:twice", "--threads", "3"), 1, "--threads 3  (threads suit"),
        ((f"{PEP}:writes", "--fail-on", "note"), 1, "[write]"),
        (("--mount", f"/old={PEP}:good"), 0, "serve --mount"),
    ],
)
def test_exit_codes(arguments: tuple[str, ...], code: int, said: str) -> None:
    """M51: 0, nothing that bad; 1, something is."""
    ended = run(*arguments)
    assert (ended.returncode, ended.stderr) == (code, "")
    assert said in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((f"{AWKWARD}.self_serving:app",), 3, "starts a server of its own at"),
        ((f"{AWKWARD}.never_imported:app", "--time-limit", "0.1"), 3, "it stands at"),
    ],
)
def test_what_cannot_be_checked(arguments: tuple[str, ...], code: int, said: str) -> None:
    """M51: 3, the app cannot be loaded. Nothing hangs."""
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([f"{PEP}:good", "--path", "x"], "--path is 'x'"),
        ([f"{PEP}:good", "--ignore", "x"], "--ignore is 'x'"),
        ([], "no app is named"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    """M51: 2, before anything is loaded."""
    if not arguments:
        ended = run()
        assert (ended.returncode, said in ended.stderr) == (2, True)
        return
    result = CliRunner().invoke(main, ["check", *arguments])
    assert (result.exit_code, said in result.output) == (2, True)


def test_json_is_all_of_standard_output() -> None:
    """M51: whatever the app prints; and threads that hang do not keep the process."""
    ended = run(f"{AWKWARD}.troubled:hangs", "--json", "--time-limit", "0.2")
    told = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert told["apps"][0]["findings"][0]["id"] == "hangs"


def test_a_cutover(tmp_path: Path) -> None:
    """M51: both apps of a file are checked; a new app that cannot be loaded is 3."""
    file = tmp_path / "cutover.toml"
    routes = '[[routes]]\nname = "a"\npaths = "/a"\n'
    file.write_text(f'old = "{PEP}:good"\nnew = "tests.support.apps.hello:asgi"\n{routes}')
    ended = run("--cutover", str(file))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"serve --cutover {file}" in ended.stdout
    words = " ".join(ended.stdout.split())
    assert f"the old app of {file} is a WSGI app" in words
    assert f"the new app of {file} is an ASGI app" in words
    file.write_text(f'old = "{PEP}:good"\nnew = "nowhere:app"\n{routes}')
    ended = run("--cutover", str(file))
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "Error: the new app cannot be loaded: there is no module 'nowhere'" in ended.stderr
