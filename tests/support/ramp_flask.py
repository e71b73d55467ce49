"""The example `examples/ramp_flask`, copied into a folder in which its README can be followed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support.exchanges import Answer, Client
from tests.support.hosts import ROOT, Command, Host, start
from tests.support.waiting import eventually

EXAMPLE = ROOT / "examples" / "ramp_flask"
README = (EXAMPLE / "README.md").read_text()

#: How the README serves the example.
SERVE = "asgi-bridge serve --cutover cutover.toml --workers 2 --websocket"

#: What the commands of the README run with: this Python, from this clone.
ENVIRON = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
}


class Shop:
    """A copy of the example, and its server once it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host: Host
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
        self.run("python -m old.fill")

    def run(self, line: str, *more: str, code: int = 0) -> str:
        """Run a command that stands in the README; what it prints, and `more` of its options."""
        assert f"$ {line}\n" in README, line
        if line.startswith(("asgi-bridge cutover set", "asgi-bridge cutover status")):
            return self._order(line, *more)
        ended = subprocess.run(
            shlex.join([*shlex.split(line), *more]) if more else line,
            shell=True,
            cwd=self.folder,
            env=ENVIRON | self._socket(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout

    def _order(self, line: str, *more: str) -> str:
        """Run a command in this process, which is faster."""
        ended = CliRunner().invoke(main, [*shlex.split(line)[1:], *more], env=self._socket())
        assert ended.exit_code == 0, ended.output
        return ended.output

    def _socket(self) -> dict[str, str]:
        return {"BRIDGE_CONTROL_SOCKET": str(self.folder / "ctl")}

    @contextmanager
    def served(self, line: str) -> Iterator[Host]:
        """Serve it by a command that stands in the README, on a port of its own."""
        assert f"$ {line}\n" in README, line
        argv = [sys.executable, "-m", "bridge", *shlex.split(line)[1:], "--port={port}"]
        command = Command("bridge", tuple(argv), self._socket(), self.folder)
        with start(command) as self.host:
            if line == SERVE:
                eventually(lambda: "serves (2 of 2)" in self.host.log())
            yield self.host

    def ask(self, count: int) -> list[Answer]:
        """Ask for items, as programs without cookies do; the answers."""
        client = Client(self.host.address, self.host.port)
        try:
            return [client.ask("GET", f"/api/items/{1 + each % 4}") for each in range(count)]
        finally:
            client.close()


def sides(answers: list[Answer]) -> Counter[str]:
    """How many answers came from which side."""
    return Counter(dict(answer.fields)["x-served-by"] for answer in answers)


def side(answer: httpx.Response) -> str:
    """Who answered."""
    return str(answer.headers["x-served-by"])
