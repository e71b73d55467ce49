"""`asgi-bridge ctl`: each order, each error with its exit code, as text and as JSON."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.server.cli import main
from bridge.server.commands import ctl as module
from bridge.server.control import places
from tests.support.hosts import ROOT
from tests.support.orders import Running, taking_orders
from tests.support.waiting import eventually, listens


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for sockets that is this test's alone."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(places, "_SYSTEM", str(tmp_path / "none"))
    monkeypatch.setattr(
        places, "directories", lambda environ: [os.path.join(environ["XDG_RUNTIME_DIR"], "b")]
    )
    monkeypatch.delenv("BRIDGE_CONTROL_SOCKET", raising=False)
    (tmp_path / "b").mkdir(0o700)
    return tmp_path / "b"


@pytest.fixture
def running(runtime: Path) -> Iterator[Running]:
    with taking_orders(runtime / "1.ctl") as server:
        yield server


def ctl(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["ctl", *arguments], env=environ)


def in_json(result: Result) -> Any:
    assert result.stderr == ""
    return json.loads(result.stdout)


# ------------------------------------------------------------- orders


def test_every_order_is_answered_in_words(running: Running) -> None:
    """O3: the server is found, since it is the only one; exit code 0."""
    for arguments, said in {
        ("status",): "app       shop:app",
        ("workers",): "SLOT",
        ("reload",): "2 workers of generation 2 serve\n",
        ("scale", "3"): "3 workers are wanted\n",
        ("threads",): f"worker {os.getpid()}\nThread MainThread\n  File shop.py, line 3\n",
    }.items():
        result = ctl(*arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        assert said in result.stdout
    assert ctl("status").stdout.count("serving") == 4  # the server, and three workers


def test_every_order_is_answered_in_json(running: Running) -> None:
    """O3: `--json` stands before the order or after it; a line of text is a value, too."""
    assert in_json(ctl("status", "--json"))["wanted"] == 2
    assert in_json(ctl("--json", "workers"))[1]["slot"] == 1
    assert in_json(ctl("scale", "3", "--json")) == {"done": "3 workers are wanted"}
    assert in_json(ctl("threads", "--json")).keys() == {str(os.getpid())}
    assert in_json(ctl("reload", "--json"))["done"].startswith("3 workers of generation 2")


def test_metrics_are_printed_as_they_are(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """O3: Prometheus' text, also in JSON; without figures the error says how to get some."""
    result = ctl("metrics")
    assert result.exit_code == 1
    assert result.stderr == "Error: no figures are kept; say --metrics-bind 127.0.0.1:9000\n"
    monkeypatch.setattr(running.supervised, "metrics", lambda: "# TYPE a counter\na 1\n")
    assert ctl("metrics").stdout == "# TYPE a counter\na 1\n"
    assert in_json(ctl("metrics", "--json")) == {"metrics": "# TYPE a counter\na 1\n"}


def test_the_socket_is_named_in_three_ways(tmp_path: Path) -> None:
    """O3: by `--socket`, before or after the order, or by the server's own variable."""
    with taking_orders(tmp_path / "own.ctl") as running:
        assert ctl("status").exit_code == 4
        assert ctl("--socket", running.path, "status").exit_code == 0
        assert ctl("status", "--socket", running.path).exit_code == 0
        assert ctl("status", BRIDGE_CONTROL_SOCKET=running.path).exit_code == 0
        assert ctl("status", BRIDGE_CONTROL_SOCKET="off").exit_code == 4


def test_a_reload_that_fails_exits_with_1(running: Running) -> None:
    """O3: the old version stays, and the reason is the server's."""
    running.supervised.broken = "generation 1 serves on: importing shop failed: SyntaxError"
    result = ctl("reload")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {running.supervised.broken}\n"
    result = ctl("reload", "--json")
    assert (result.exit_code, in_json(result)["error"]) == (1, running.supervised.broken)


def test_a_wait_has_a_limit_if_one_is_given(running: Running) -> None:
    """O8: what takes longer is not waited for; the server goes on with it."""
    running.supervised.pending = []
    result = ctl("reload", "--timeout", "50ms")
    assert result.exit_code == 1
    assert "has not answered reload in time" in result.stderr


def test_a_wait_can_be_interrupted(running: Running) -> None:
    """O3: CTRL+C ends `ctl`, and not what was ordered."""
    running.supervised.pending = []
    command = [sys.executable, "-m", "bridge", "ctl", "reload", "--socket", running.path]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    eventually(lambda: running.supervised.pending)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.endswith("Error: not waited for; the server goes on with reload\n")


def test_a_reload_that_takes_long_says_what_is_waited_for(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: on stderr, and it waits on."""
    monkeypatch.setattr(module, "_LONG_AGO", 0.0)
    running.supervised.pending = []
    result = ctl("reload", "--timeout", "1s")
    assert result.exit_code == 1
    assert result.stderr.startswith("waiting for the new workers to start, see the server's log")


def test_stop_returns_when_the_process_is_gone(tmp_path: Path) -> None:
    """O3: then its port is free, and its files are closed."""
    path = tmp_path / "own.ctl"
    command = [sys.executable, "-m", "tests.support.orders", str(path)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        eventually(lambda: listens(path))
        result = ctl("stop", "--timeout", "20", "--socket", str(path))
        assert (result.exit_code, result.stdout) == (0, "stopping\n")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------- no server, several, wrong usage


@pytest.mark.parametrize("as_json", [False, True])
def test_without_a_server_the_exit_code_is_4(runtime: Path, as_json: bool) -> None:
    """O8: nobody is there, or a socket that a killed server has left: one line says so."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(runtime / "stale.ctl"))
    for named, said in {
        (): "no server of user",
        ("--socket", str(runtime / "none.ctl")): "there is no such socket",
        ("--socket", str(runtime / "stale.ctl")): "the socket is stale",
    }.items():
        result = ctl("status", *named, *(["--json"] if as_json else []))
        assert result.exit_code == 4
        if as_json:
            assert said in in_json(result)["error"]
            assert in_json(result)["code"] == 4
        else:
            assert result.stdout == ""
            assert said in result.stderr
            assert result.stderr.count("\n") == 1


def test_several_servers_are_listed(running: Running, runtime: Path) -> None:
    """O3: which one is meant must be said; each is shown with its app and address."""
    with taking_orders(runtime / "2.ctl") as other, socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(runtime / "3.ctl"))
        mute.listen()
        result = ctl("status")
    assert result.exit_code == 2
    first, second, third, fourth = result.stderr.splitlines()
    assert first == "Error: several servers are running; say which with --socket PATH:"
    assert second == f"  {running.path}  shop:app at http://127.0.0.1:8000"
    assert third.startswith(f"  {other.path}  shop:app")
    assert "has not answered status in time" in fourth


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["restart"], "there is no order 'restart'; the orders are status, workers, reload, scale"),
        (["scale"], "Missing argument 'N'"),
        (["scale", "many"], "'many' is not a valid integer"),
        (["stop", "--timeout", "soon"], "--timeout is 'soon'; allowed is a number of seconds"),
        (["status", "--wrong"], "No such option"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], said: str) -> None:
    """O8: before any server is looked for; as JSON if that is asked for."""
    result = ctl(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    result = ctl(*arguments, "--json")
    assert result.exit_code == 2
    assert said in in_json(result)["error"]


@pytest.mark.parametrize("number", ["0", "10000"])
def test_an_impossible_number_exits_with_1(running: Running, number: str) -> None:
    """O8: the server says why, and runs as many workers as before."""
    result = ctl("scale", number)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: cannot scale to {number}: ")
    assert running.supervised.orders == []


def test_the_help_lists_the_orders() -> None:
    """O3: `ctl` alone shows what there is."""
    result = ctl("--help")
    assert result.exit_code == 0
    for name in ("status", "workers", "reload", "scale", "reopen-logs", "threads", "stop", "top"):
        assert f"\n  {name} " in result.stdout


def test_a_server_of_another_version_is_told(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: what cannot be shown is one line; `--json` gives it as it is."""
    monkeypatch.setattr(running.supervised, "status", lambda: {"new": 1})
    monkeypatch.setattr(running.supervised, "workers", lambda: [{"pid": "?"}])
    for order in ("status", "workers", "top"):
        result = ctl(order)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: the server is of another version")
    assert in_json(ctl("status", "--json"))["new"] == 1


# ------------------------------------------------------------- top


def test_top_prints_one_frame_into_a_pipe(running: Running) -> None:
    """O3: as with `--once`, and in JSON, with the rates of a second."""
    for arguments in (["top"], ["top", "--once"]):
        result = ctl(*arguments)
        assert result.exit_code == 0
        assert result.stdout.startswith("shop:app (serving)  up ")
        assert "REQ/S" in result.stdout
        assert "\x1b" not in result.stdout
    figures = in_json(ctl("top", "--json"))
    assert figures["workers"][0]["rate"] == 0


def test_top_without_a_server_exits_with_4() -> None:
    """O8: as every order does."""
    assert ctl("top").exit_code == 4
