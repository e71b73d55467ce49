"""Completion in shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from bridge.server.commands.help.completion import SHELLS
from tests.support import hosts


def complete(words: str, typed: str, shell: str = "bash") -> list[str]:
    """What the command answers to a shell: a line for each completion."""
    names = {
        "COMP_WORDS": f"asgi-bridge {words} {typed}",
        "COMP_CWORD": str(len(words.split()) + 1),
    }
    asked = {"_ASGI_BRIDGE_COMPLETE": f"{shell}_complete", **names}
    done = CliRunner().invoke(main, [], prog_name="asgi-bridge", env=asked)
    assert done.exit_code == 0, done.output
    return done.output.split()


@pytest.mark.parametrize(
    ("words", "typed", "found"),
    [
        ("", "ser", ["plain,serve"]),
        ("serve", "--worker-e", ["plain,--worker-exit"]),
        ("serve --runner", "gr", ["plain,greenlet"]),
        ("serve app:app --log-level", "w", ["plain,warning"]),
        ("serve --config", "", ["file,"]),
        ("serve --ssl-certfile", "etc", ["file,etc"]),
        ("serve --app-dir", "", ["dir,"]),
        ("serve --chdir", "", ["dir,"]),
        ("serve --root-path", "", []),
        ("serve", "ap", ["plain,app:app"]),
        ("ctl", "rel", ["plain,reload"]),
        ("cutover", "sta", ["plain,status"]),
        ("completion", "z", ["plain,zsh"]),
    ],
)
def test_what_may_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, typed: str, found: list[str]
) -> None:
    """O10: commands, options, choices, files, and the app that the directory plainly holds."""
    (tmp_path / "app.py").write_text("app = Flask(__name__)\n")
    monkeypatch.chdir(tmp_path)
    assert complete(words, typed) == found


@pytest.mark.parametrize(
    "words", ["serve --reload false", "serve --no-such", "nothing", "gateway x"]
)
def test_mistakes_before_it_do_no_harm(words: str) -> None:
    """O10: where a command line is wrong there are no completions, and no error on the terminal."""
    complete(words, "--ho")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_in_bash(tmp_path: Path) -> None:
    """O10: the printed script makes bash complete."""
    program = tmp_path / "asgi-bridge"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bridge "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(asgi-bridge completion bash)"
        complete -p asgi-bridge
        COMP_WORDS=(asgi-bridge serve --run); COMP_CWORD=2
        _asgi_bridge_completion asgi-bridge
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            **os.environ,
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(hosts.ROOT),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "--runner"
    assert "_asgi_bridge_completion asgi-bridge" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_its_script(shell: str) -> None:
    """O10: of bash, zsh and fish; the program is called by its name."""
    shown = CliRunner().invoke(main, ["completion", shell]).output
    assert f"_ASGI_BRIDGE_COMPLETE={shell}_complete" in shown


def test_another_shell() -> None:
    """O10: the error says which there are."""
    done = CliRunner().invoke(main, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert all(f"'{shell}'" in done.output for shell in SHELLS)
