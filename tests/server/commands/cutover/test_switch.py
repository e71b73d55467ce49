"""`asgi-bridge cutover set` and `status`, with real servers."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from bridge.server.cli import main
from bridge.server.commands.cutover import switch
from bridge.server.control import client
from tests.support.hosts import Host, bridge, start
from tests.support.waiting import eventually, listens

FILE = """old = "tests.support.apps.ramp:flask_app"
new = "tests.support.apps.ramp:starlette_app"
[[routes]]
name = "invoices"  # kept
paths = "/invoices/{id}"
"""


class Server:
    """A server with workers, its file and its control socket."""

    def __init__(self, folder: Path, workers: int, running: ExitStack) -> None:
        self.file = folder / "cutover.toml"
        self.file.write_text(FILE)
        self.socket = str(folder / "a.ctl")
        self.host: Host = running.enter_context(
            start(
                bridge(
                    f"--cutover={self.file}",
                    f"--workers={workers}",
                    f"--control-socket={self.socket}",
                )
            )
        )
        eventually(lambda: listens(self.socket))
        eventually(lambda: f"serves ({workers} of {workers})" in self.host.log())
        #: What is said of its workers if all follow.
        self.all = f" ({workers} of {workers} worker{'s' if workers > 1 else ''})"

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["cutover", *args, f"--socket={self.socket}"])

    def asked(self) -> str:
        """Who answers, on a connection of its own."""
        answer = httpx.get(self.host.url("/invoices/7"), trust_env=False, timeout=60)
        assert answer.status_code == 200
        return str(answer.headers["x-served-by"])


@pytest.fixture(scope="module", params=[1, 3])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with ExitStack() as running:
        yield Server(tmp_path_factory.mktemp("ramp"), request.param, running)


def test_a_switch_reaches_every_worker_and_loses_no_request(server: Server) -> None:
    """M3: under load; the file keeps it, with its comments."""
    sides: Counter[str] = Counter()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            sides[server.asked()] += 1

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for each in askers:
        each.start()
    try:
        for mode in ("new", "old", "new"):
            result = server.run("set", "invoices", mode)
            assert (result.exit_code, result.output) == (0, f"invoices {mode}{server.all}\n")
            assert [server.asked() for _ in range(12)] == [mode] * 12
    finally:
        done.set()
        for each in askers:
            each.join()
    assert set(sides) == {"old", "new"}
    assert 'name = "invoices"  # kept' in server.file.read_text()
    by = f"as was ordered over the control socket by process {os.getpid()} of user {os.geteuid()}"
    eventually(lambda: f"route invoices: old now, new before, {by}\n" in server.host.log())


def test_status_shows_the_routes(server: Server) -> None:
    """M3: a table, or JSON."""
    assert server.run("set", "invoices", "canary", "--share=5").output == (
        f"invoices canary 5 %{server.all}\n"
    )
    head, row, *more = server.run("status").output.splitlines()
    assert head.split()[:5] == ["route", "mode", "share", "old", "errors"]
    assert row.split()[:4] == ["invoices", "canary", "5", "%"]
    assert [line.startswith("counted since the start of http://") for line in more] == [True]
    (route,) = json.loads(server.run("status", "--json").output)["routes"]
    assert (route["route"], route["mode"], route["share"]) == ("invoices", "canary", 5)
    before = route["old"]["requests"]
    for _ in range(3):
        assert server.asked() in ("old", "new")

    def counted() -> int:
        (route,) = json.loads(server.run("status", "--json").output)["routes"]
        return int(route["old"]["requests"] + route["new"]["requests"])

    eventually(lambda: counted() >= before + 3)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("invoice", "new"), "there is no route invoice; did you mean invoices?; nothing was"),
        (("invoices", "now"), "mode is 'now'; allowed is one of old, shadow, canary, new"),
        (("invoices", "canary", "--share=150"), "share is '150'; allowed is a number of percent"),
    ],
)
def test_an_order_that_cannot_be(server: Server, args: tuple[str, ...], says: str) -> None:
    """M5: one line, exit code 1, and all stays as it was."""
    before = server.file.read_text()
    result = server.run("set", *args)
    assert result.exit_code == 1
    assert says in result.output
    assert server.file.read_text() == before
    eventually(lambda: f"switch {args[0]} {args[1]}" in server.host.log())
    assert f"{args[0]} {args[1]} was ordered" not in server.host.log()


def test_a_file_for_a_server_that_reads_it_itself(tmp_path: Path) -> None:
    """M3: no server is asked."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE)
    run = CliRunner().invoke
    result = run(main, ["cutover", "set", "invoices", "new", f"--file={file}"])
    assert (result.exit_code, result.output) == (0, "invoices new\n")
    assert 'mode = "new"' in file.read_text()
    assert run(main, ["cutover", "set", "x", "new", f"--file={file}"]).exit_code == 1


def test_one_worker_takes_orders_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M3, P12: nothing but --cutover is said, and the socket is where `cutover` looks for it."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE)
    command = bridge(f"--cutover={file}").with_env(XDG_RUNTIME_DIR=str(tmp_path))
    with start(command) as host:
        eventually(lambda: "serves (1 of 1)" in host.log())
        (socket,) = tmp_path.glob("asgi-bridge/*.ctl")
        monkeypatch.setattr(client, "directories", lambda environ: [str(socket.parent)])
        monkeypatch.setattr(client, "sockets", lambda environ: [str(socket)])
        result = CliRunner().invoke(main, ["cutover", "set", "invoices", "new"])
        assert (result.exit_code, result.output) == (0, "invoices new (1 of 1 worker)\n")


def test_several_servers_are_told_apart(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """M3, O8: by what they serve, and where."""

    def find(environ: object) -> str:
        raise client.SeveralServers([server.socket, "/none.ctl"])

    monkeypatch.setattr(switch, "find", find)
    result = CliRunner().invoke(main, ["cutover", "status"])
    assert result.exit_code == 2
    first, second, third = result.output.splitlines()
    assert first == "Error: several servers are running; say which with --socket PATH:"
    assert second.startswith(f"  {server.socket}  {server.file} at http://127.0.0.1:")
    assert third.startswith("  /none.ctl  no server at /none.ctl")


def test_a_share_that_is_missing(tmp_path: Path) -> None:
    """M5: the error says what to type."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE)
    args = ["cutover", "set", "invoices", "canary", f"--file={file}"]
    result = CliRunner().invoke(main, args)
    assert (result.exit_code, "say --share 5 for 5 %" in result.output) == (1, True)


def test_no_server(tmp_path: Path) -> None:
    """M5: as with `ctl`, that has an exit code of its own; `set` says how to do without."""
    result = CliRunner().invoke(main, ["cutover", "status", f"--socket={tmp_path}/no.ctl"])
    assert (result.exit_code, "--file" in result.output) == (4, False)
    result = CliRunner().invoke(main, ["cutover", "set", "a", "new", f"--socket={tmp_path}/no.ctl"])
    assert result.exit_code == 4
    assert "say `asgi-bridge cutover set ... --file cutover.toml`" in result.output
