"""The how-to about `ctl`, health and metrics: all its commands are run, and print what it shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bridge.server.control.client import Connection, NoServer
from tests.support.hosts import ROOT, free_port
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "howto" / "see-what-it-does.md").read_text()

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

#: The app of the page.
SHOP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""

#: A command of the page, and what it prints; ``...``: and more.
Example = tuple[str, list[str]]


def examples() -> list[Example]:
    """The commands of the page, in order; not those that show another way to start."""
    found: list[Example] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        if "/run/shop/control" in block:
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


class Shell:
    """Runs the commands of the page: elsewhere, at free ports, with a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = folder / "shop.py"
        self.code.write_text(SHOP)
        self.socket = str(folder / "control")
        self._ports = {"8000": str(free_port()), "9000": str(free_port())}
        self._environ = {
            **os.environ,
            "BRIDGE_CONTROL_SOCKET": self.socket,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        self._environ.pop("COLUMNS", None)

    def adapt(self, command: str) -> str:
        for port, ours in self._ports.items():
            command = command.replace(f":{port}", f":{ours}")
        command = command.replace("serve shop:app", f"serve shop:app --port {self._ports['8000']}")
        bridge = f"{shlex.quote(sys.executable)} -m bridge"
        return command.replace("asgi-bridge", bridge).replace("python -c", f"{sys.executable} -c")

    def start(self, command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(
                shlex.split(self.adapt(command)),
                cwd=self.folder,
                env=self._environ,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def run(self, command: str) -> list[str]:
        """What it prints, in both streams."""
        if command == "git checkout shop.py":
            self.code.write_text(SHOP)
            return []
        ended = subprocess.run(
            ["bash", "-c", self.adapt(command)],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if command.startswith("curl") else subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return ended.stdout.splitlines()

    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['8000']}/"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def server(shell: Shell) -> Iterator[subprocess.Popen[bytes]]:
    """The server of the page's first command, which has served something."""
    process = shell.start(examples()[0][0])
    try:
        eventually(lambda: serving(shell) == 2 or process.poll() is not None)
        assert process.returncode is None, shell.log()
        with httpx.Client() as client:
            for _ in range(10):
                assert client.get(shell.url()).text == "hello"
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def serving(shell: Shell) -> int:
    """How many workers serve, and nothing else."""
    try:
        with Connection(shell.socket) as connection:
            states = [each["state"] for each in connection.ask("workers")]
    except NoServer:
        return 0
    return len(states) if {*states} == {"serving"} else 0


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, units, and the width of columns."""
    line = re.sub(r"(\d[\d.,]*|-) (ms|[KM]iB|%)|((^|\b)\d[\d.,]* (s|min|h)\b ?)+", "N ", line)
    return re.sub(r" +", " ", re.sub(r"\d[\d.,:-]*", "N", line)).strip()


def test_each_command_prints_what_the_page_shows(
    shell: Shell, server: subprocess.Popen[bytes]
) -> None:
    """O1, O2, O3: the states, the orders, the errors, health and metrics, one after the other."""
    (_, first), *others = examples()
    for line in first[:-1]:
        assert shape(line) in [shape(each) for each in shell.log().splitlines()]
    assert len(others) >= 15
    workers = 2
    for command, shown in others:
        eventually(lambda: serving(shell) == workers)  # noqa: B023
        printed = shell.run(command)
        if shown[-1:] == ["..."]:
            shown, printed = shown[:-1], printed[: len(shown) - 1]
        assert [shape(each) for each in printed] == [shape(each) for each in shown], command
        if command == "asgi-bridge ctl scale 3":
            workers = 3
    assert server.wait(60) == 0


def test_the_columns_of_the_page_are_those_of_the_table(
    shell: Shell, server: subprocess.Popen[bytes]
) -> None:
    """O3: each column that is explained is there; each state has its word."""
    names, *_ = shell.run("asgi-bridge ctl workers")
    table = PAGE[PAGE.index("| column |") : PAGE.index("With `--json`")]
    explained = re.findall(r"`([A-Z/]+)`", table)
    assert len(explained) == 6
    assert {*explained} < {*names.split()}


def test_the_log_names_what_blocks_the_loop_as_the_page_shows(shell: Shell) -> None:
    """R3: the app of the page, and the lines of the log."""
    section = PAGE[PAGE.index("## What blocks the event loop") :]
    app, shown = re.findall(r"```(?:python|text)\n(.*?)```", section, re.DOTALL)[:2]
    (shell.folder / "report.py").write_text(app)
    port = free_port()
    process = shell.start(f"asgi-bridge serve report:app --port {port} --no-access-log")
    try:
        eventually(lambda: "running on" in shell.log() or process.poll() is not None)
        httpx.get(f"http://127.0.0.1:{port}/report", timeout=60)
        eventually(lambda: "turns again" in shell.log())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    log = shell.log().replace(str(shell.folder), "/srv/shop")
    lines = [shape(re.sub(r".*WARNING", "WARNING", line)) for line in log.splitlines()]
    for line in shown.splitlines():
        assert shape(line) in lines
