"""A new app that ends its workers: a supervisor counts what they took with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support import hosts
from tests.support.exchanges import Client
from tests.support.hosts import Host, start
from tests.support.waiting import eventually

FILE = """old = 'tests.support.apps.canary:app("old")'
new = "tests.support.apps.canary:deadly"

[[routes]]
name = "deadly"
paths = "/deadly"
mode = "canary"
share = 10
gate = { window = "60s", min_requests = 50, max_error_points = 1 }
on_rollback = "tests.support.apps.canary:tell"
"""


class Server:
    """A server with a file and two workers."""

    def __init__(self, file: Path, host: Host, socket: str) -> None:
        self.file, self.host, self.socket = file, host, socket

    def ask(self) -> str:
        """Who answers a client that has no place yet; empty: nobody."""
        client = Client(self.host.address, self.host.port)
        try:
            return dict(client.ask("GET", "/deadly").fields)["x-served-by"]
        except (OSError, HTTPException):
            return ""
        finally:
            client.close()

    def status(self) -> dict[str, Any]:
        args = ["cutover", "status", "--json", f"--socket={self.socket}"]
        found: dict[str, Any] = json.loads(CliRunner().invoke(main, args).output)
        return found


@pytest.fixture(params=["", "--preload"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    file, socket = tmp_path / "cutover.toml", str(tmp_path / "a.ctl")
    file.write_text(FILE)
    more = [request.param] if request.param else []
    args = (f"--cutover={file}", "--workers=2", f"--control-socket={socket}", *more)
    with start(hosts.bridge(*args, "--no-access-log")) as host:
        eventually(lambda: "serves (2 of 2)" in host.log())
        yield Server(file, host, socket)


def test_a_new_app_that_ends_its_workers_is_taken_back(server: Server) -> None:
    """M23: after few of them; nobody gets it then, and the file and the hook are told."""
    ended = monotonic() + 60
    died = 0
    while 'mode = "old"' not in server.file.read_text():
        assert monotonic() < ended
        died += server.ask() == ""
    assert 3 <= died <= 8
    assert {server.ask() for _ in range(40)} == {"old"}
    eventually(lambda: "told of deadly at 10 %" in server.host.log())
    assert "workers have died with a request in the new app, 0 with one in" in server.host.log()
    (route,) = server.status()["routes"]
    assert (route["mode"], route["rollbacks"], route["steps"]) == ("old", 1, "rolled back")
    assert route["new"]["errors"] == route["new"]["requests"] >= 3
