"""The how-to "Go to production": its commands run as they are printed, and print what it shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import ROOT, free_port
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "howto" / "go-to-production.md").read_text()
#: Seconds for a command to print what is shown: a curl is tried again, for the server may start.
PATIENCE = 60


def session() -> list[tuple[str, str]]:
    """The commands of the page, and what each prints."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.M | re.S)
    steps = [step for block in blocks for step in re.split(r"^\$ ", block, flags=re.M)[1:]]
    return [(command, output) for command, _, output in (x.partition("\n") for x in steps)]


def masked(output: str) -> list[list[str]]:
    """Lines and their words, without numbers: they differ from one run to the next."""
    text = re.sub(r"\d+(?:[.:,-]\d+)*", "0", output)
    text = re.sub(r"\b0 (?:ms|s|min)\b", "0 s", text)
    text = re.sub(r"\b0 [KM]iB\b", "0 MiB", text)
    return [line.split() for line in text.splitlines()]


class Shell:
    """Runs commands in a folder with the app, on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {"8000": str(free_port()), "9000": str(free_port())}
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            # Edits of one second that keep the size would not be seen behind cached bytecode.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.servers: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> str:
        """Run it, and return what it prints; in the background if it ends with ``&``."""
        for shown, own in self._ports.items():
            command = command.replace(f":{shown}", f":{own}")
        # Other tests run servers of the same user.
        own_place = f"--port {self._ports['8000']} --control-socket {self.folder}/ctl"
        command = command.replace("serve shop:app", f"serve shop:app {own_place}")
        command = command.replace("bridge ctl", f"bridge ctl --socket {self.folder}/ctl")
        if command.endswith("&"):
            argv = ["bash", "-c", f"exec {command.removesuffix('&')}"]
            self.servers.append(subprocess.Popen(argv, cwd=self.folder, env=self.env))
            return ""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.env, timeout=PATIENCE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return done.stdout

    def run_until(self, command: str, output: str) -> None:
        """Run it until it prints what is shown, once if it changes something."""
        end = time.monotonic() + PATIENCE
        found = self.run(command)
        while masked(found) != masked(output):
            asks = command.startswith("curl") or command.endswith("status")
            assert asks, f"{command}:\n{found}"
            assert time.monotonic() < end, f"{command}:\n{found}"
            time.sleep(0.1)  # the pace of asking
            found = self.run(command)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shutil.copy(ROOT / "examples" / "deploy" / "shop.py", tmp_path)
    shell = Shell(tmp_path)
    yield shell
    for server in shell.servers:
        server.send_signal(signal.SIGKILL)
        server.wait()


@pytest.mark.slow
def test_the_session(shell: Shell) -> None:
    """O1 O2 O3 P3: start, health, metrics, a reload, one that fails, a stop; exit code 0."""
    steps = session()
    assert len(steps) == 14
    for command, output in steps:
        shell.run_until(command, output)
    (server,) = shell.servers
    assert server.wait(PATIENCE) == 0
    eventually(lambda: "stopped" in (shell.folder / "shop.log").read_text())


def test_every_file_is_there() -> None:
    """O7: and each recipe is named."""
    named = set(re.findall(r"\(\.\./\.\./examples/deploy/([\w.-]+)\)", PAGE))
    files = {path.name for path in (ROOT / "examples" / "deploy").iterdir() if path.is_file()}
    assert named == files - {"requirements.txt"}
