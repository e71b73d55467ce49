"""The examples of ASGI apps on WSGI hosts, each started by the command in its first line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.contract.asgi_on_wsgi.hosts import why_no_mod_wsgi
from tests.support.hosts import ROOT, Command

LIMIT = 60.0
FOLDER = ROOT / "examples" / "asgi_on_wsgi"
EXAMPLES = sorted(FOLDER.glob("on_*.py"))
SERVERS = [path for path in EXAMPLES if path.stem != "on_cgi"]

#: Where `python`, `gunicorn` and the others of the commands are.
PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"

#: A user's shell: nothing but the working directory helps to find the example.
ENV = {"PATH": PATH, "PYTHONPATH": ""}


def first_line(example: Path) -> str:
    line = example.read_text().splitlines()[0]
    assert line.startswith("# ")
    return line[2:]


def command(example: Path) -> Command:
    """The first line, with a port of its own."""
    line = re.sub(r"\b8000\b", "{port}", first_line(example))
    if "{port}" not in line:
        line += " {port}"
    return Command(example.stem, ("bash", "-c", f"exec {line}"), env=ENV)


@pytest.mark.parametrize("example", SERVERS, ids=lambda path: path.stem)
def test_example(example: Path, start_host: StartHost) -> None:
    """A30 A31 A35: the page, the event stream, an upload, and a WebSocket where the host can."""
    if example.stem == "on_mod_wsgi" and (why := why_no_mod_wsgi()):
        pytest.skip(why)
    host = start_host(command(example))
    headers = {"Connection": "close"}  # which uWSGI does, without saying so
    with httpx.Client(base_url=host.url(""), timeout=LIMIT, headers=headers) as client:
        assert "An ASGI app, started 2" in client.get("/").text
        assert client.post("/upload", content=b"x" * 500_000).text == "500000 bytes"
        with client.stream("GET", "/clock?pause=0.01") as stream:
            lines = stream.iter_lines()
            assert [next(lines)[:6] for _ in range(4)] == ["data: ", "", "data: ", ""]
    if example.stem in ("on_gunicorn", "on_gevent", "on_werkzeug"):
        with connect(host.url("/echo", "ws")) as ws:
            ws.send("over")
            assert ws.recv(LIMIT) == "over"


def test_cgi_example() -> None:
    """A35: the CGI script answers one request, as its first line asks it to."""
    done = subprocess.run(
        ["bash", "-c", first_line(FOLDER / "on_cgi.py")],
        cwd=ROOT,
        env={**os.environ, **ENV},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.stdout.startswith("Status: 200 OK\n"), done.stderr
    assert "An ASGI app, started 2" in done.stdout


def test_there_is_one_for_each_host() -> None:
    """A30: no family of hosts is left without an example."""
    assert {path.stem.removeprefix("on_") for path in EXAMPLES} == {
        "gunicorn", "gevent", "waitress", "cheroot", "uwsgi", "wsgiref", "werkzeug", "cgi",
        "mod_wsgi",
    }  # fmt: skip
