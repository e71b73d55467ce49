"""The guide "From the old app to the new one": all that it says to type is typed, in its order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support.hosts import ROOT, Command, Host, start
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "howto" / "migrate.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.S))
(FILES["cutover.toml"],) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
#: Each command, and what it prints.
STEPS = [
    step.rstrip("\n").partition("\n")[::2]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S)
    for step in re.split(r"^\$ ", block, flags=re.M)[1:]
]
SERVER = re.compile(r"asgi-bridge (serve|cutover record) ")
#: What is asked of a running server, without importing an app.
ORDER = re.compile(r"asgi-bridge (cutover (set|status|report)|ctl) ")
ENVIRON = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "BRIDGE_CONTROL_SOCKET": "ctl",
}


def shown(text: str, printed: str) -> bool:
    """Whether `printed` is what the page shows; ``...`` there is anything, blanks do not count."""
    words = re.escape(" ".join(text.split()))
    pattern = re.sub(r"\\\.\\\.\\\.", ".*", words)
    return re.fullmatch(pattern, " ".join(printed.split()), re.S) is not None


class Reader:
    """Somebody who follows the page; has one server at a time."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.host: Host | None = None
        self.code = 0

    def follow(self, command: str, text: str) -> None:
        """Type a command, and compare what it prints."""
        if SERVER.match(command):
            self.serve(command)
        elif command.startswith("asgi-bridge cutover report"):  # the copies come afterwards
            words = shlex.split(command)[1:]
            eventually(lambda: shown(text, CliRunner().invoke(main, words).stdout))
        else:
            printed = self.type(command)
            assert not text or shown(text, printed), (command, printed)

    def type(self, command: str) -> str:
        """What a command prints that ends by itself."""
        if command == "echo $?":
            return str(self.code)
        if command.startswith("curl "):
            return self.curl(command)
        if ORDER.match(f"{command} "):
            return self.order(command)
        if "replay" in command:
            self.stop()
        ended = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env={**os.environ, **ENVIRON},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.code = ended.returncode
        assert self.code == 0, (command, ended.stdout, ended.stderr)
        return ended.stdout

    def order(self, command: str) -> str:
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output)
        return done.stdout

    def serve(self, command: str) -> None:
        self.stop()
        words = (sys.executable, "-m", "bridge", *shlex.split(command)[1:], "--port={port}")
        self.host = self.stack.enter_context(start(Command("bridge", words, ENVIRON, self.folder)))
        host = self.host
        if "--workers" in words:
            eventually(lambda: "serves (2 of 2)" in host.log())

    def stop(self) -> None:
        if self.host is not None and self.host.process.poll() is None:
            self.host.stop()

    def curl(self, command: str) -> str:
        """Ask as curl would."""
        words = shlex.split(command)
        assert self.host is not None
        url = self.host.url(words[-1].partition(":8000")[2])
        cookies = {"Cookie": words[words.index("--cookie") + 1]} if "--cookie" in words else {}
        answer = httpx.get(url, headers=cookies, trust_env=False)
        head = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\n"
        head += "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        return answer.text if "-s" in words and "-D" not in words else f"{head}\n{answer.text}"


def test_the_page_from_its_first_command_to_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1, M3, M10, M13, M20, M50, M51: each command of the guide prints what the guide shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_CONTROL_SOCKET", "ctl")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack)
        for command, text in STEPS:
            if "pip install" not in command:
                reader.follow(command, text)
    assert 'mode = "new"' in (tmp_path / "cutover.toml").read_text()
