"""The how-to "Move from an old app to a new one": its files and its commands work as printed."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support.hosts import ROOT, Command, start
from tests.support.waiting import eventually, listens

PAGE = (ROOT / "docs" / "howto" / "move-route-by-route.md").read_text()
(FILE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
ORDERS = re.findall(r"\$ asgi-bridge (cutover [^\n]*)\n((?:[^$`].*\n)+)", PAGE)
COMMANDS = re.findall(r"\$ asgi-bridge (serve .*)", PAGE)

#: Apps of your own, which the page does not show.
LEGACY = """
from flask import Flask

app = Flask(__name__)


@app.get("/")
@app.get("/search")
@app.get("/invoices")
@app.get("/invoices/<int:id>")
def page(id=0):
    return "old"
"""
FRESH = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/search")
@app.get("/invoices")
@app.get("/invoices/{id}")
def page(id: int = 0):
    return "new"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in (("legacy", LEGACY), ("fresh", FRESH), ("both", PYTHON)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "cutover.toml").write_text(FILE)
    return tmp_path


def command(name: str, place: Path, *args: str) -> Command:
    run = (sys.executable, "-m", *args, "--port={port}")
    return Command(name, run, env={"PYTHONPATH": f"{ROOT}:{place}"})


def check(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        for path, side in (("/", "old"), ("/invoices/7", "new"), ("/invoices/7/", "old")):
            assert client.get(path).headers["x-served-by"] == side
        side = client.get("/search").headers["x-served-by"]
        assert {client.get("/search").headers["x-served-by"] for _ in range(3)} == {side}


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands(place: Path, line: str) -> None:
    """M1, M2: a file names both apps and the routes; the log says who answered."""
    args = [arg.replace("cutover.toml", str(place / "cutover.toml")) for arg in shlex.split(line)]
    with start(command("bridge", place, "bridge", *args)) as host:
        check(host.url(""))
        if "--access-log-format" in args:
            eventually(lambda: '"GET /invoices/7 HTTP/1.1" 200 invoices new' in host.log())


def test_the_orders(place: Path) -> None:
    """M3: what they print is what the page shows."""
    file, socket = str(place / "cutover.toml"), str(place / "a.ctl")
    serve = ("serve", f"--cutover={file}", f"--control-socket={socket}", "--workers=2")
    with start(command("bridge", place, "bridge", *serve)) as host:
        eventually(lambda: listens(socket) and "serves (2 of 2)" in host.log())
        for line, shown in ORDERS:
            args = [*shlex.split(line), f"--socket={socket}"]
            output = CliRunner().invoke(main, args).output
            if line == "cutover status":  # with other figures
                told = [[row.split()[:4] for row in text.splitlines()] for text in (output, shown)]
                assert told[0] == told[1]
            else:
                assert output == shown


def test_the_module_on_another_server(place: Path) -> None:
    """M1, M2: the same in Python, under uvicorn."""
    with start(command("uvicorn", place, "uvicorn", "both:app")) as host:
        check(host.url(""))
