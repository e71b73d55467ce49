"""A cutover with a gate over several workers: what is decided holds in all of them, and stays."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support import hosts
from tests.support.exchanges import Client
from tests.support.hosts import Host, start
from tests.support.processes import children
from tests.support.waiting import eventually

WORKERS = 3
FILE = """old = 'tests.support.apps.canary:app("old")'
new = 'tests.support.apps.canary:app("new", "/worse")'

[[routes]]
name = "worse"
paths = "/worse"  # ours
mode = "canary"
share = 50
gate = { window = "60s", min_requests = 50, max_error_points = 1 }
on_rollback = "tests.support.apps.canary:tell"

[[routes]]
name = "other"
paths = "/other"
"""


class Server:
    """A server with a file and three workers."""

    def __init__(self, file: Path, host: Host, socket: str) -> None:
        self.file, self.host, self.socket = file, host, socket

    def run(self, *args: str) -> str:
        return CliRunner().invoke(main, ["cutover", *args, f"--socket={self.socket}"]).output

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    def sides(self, path: str, number: int = 12) -> set[str]:
        """Who answers, each on a connection of its own."""
        found = set()
        for _ in range(number):
            client = Client(self.host.address, self.host.port)
            found.add(dict(client.ask("GET", path).fields)["x-served-by"])
            client.close()
        return found

    def follows(self) -> bool:
        workers = self.status()["workers"]
        return len(workers) == WORKERS and all(each["follows"] for each in workers)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    file, socket = tmp_path / "cutover.toml", str(tmp_path / "a.ctl")
    file.write_text(FILE)
    args = (f"--cutover={file}", f"--workers={WORKERS}", f"--control-socket={socket}")
    with start(hosts.bridge(*args, "--no-access-log")) as host:
        eventually(lambda: f"serves ({WORKERS} of {WORKERS})" in host.log())
        yield Server(file, host, socket)


def test_one_decides_for_all_and_it_stays(server: Server) -> None:
    """M3, M21: with a worker that is killed, and a file that is half edited or read again."""
    clients = [Client(server.host.address, server.host.port) for _ in range(8)]
    ended = monotonic() + 60
    while server.file.read_text() == FILE:
        assert monotonic() < ended
        for client in clients * 10:
            client.ask("GET", "/worse")
    eventually(server.follows)
    assert server.sides("/worse") == {"old"}
    worse, _ = server.status()["routes"]
    assert (worse["mode"], worse["steps"], worse["rollbacks"]) == ("old", "rolled back", 1)
    assert worse["new"]["errors"] > 0
    eventually(lambda: "told of worse at 50 %" in server.host.log())
    assert server.host.log().count("told of worse") == 1  # by one worker
    assert 'paths = "/worse"  # ours\nmode = "old"' in server.file.read_text()

    server.file.write_text(FILE + "[[rou")
    assert server.run("set", "other", "new").startswith(f"other new ({WORKERS} of {WORKERS} worker")
    worker = min(children(server.host.process.pid))
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: worker not in children(server.host.process.pid) and server.follows())
    assert (server.sides("/worse"), server.sides("/other")) == ({"old"}, {"new"})
    server.host.process.send_signal(signal.SIGHUP)
    eventually(lambda: "no reload, the workers stay as they are" in server.host.log())

    server.file.write_text(FILE)  # a person gives it another try
    server.host.process.send_signal(signal.SIGHUP)
    eventually(lambda: "reloaded: 3 new workers" in server.host.log())
    eventually(server.follows)
    assert server.sides("/worse", 40) == {"old", "new"}
    for client in clients:
        client.close()
