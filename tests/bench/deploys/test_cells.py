"""A table of lost requests is fair if each server is told what it can, and all is shown."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.deploys import command, orders, table
from bench.deploys.cells import Cell, measure
from bench.deploys.orders import Deployed, workers_of
from bench.deploys.servers import COLUMNS, MAX_REQUESTS, ROWS, Row
from bench.load.deploys.mixture import Mixture
from bench.peers.environments import Tools

TOOLS = Tools(places={"python": sys.executable, "bin": str(Path(sys.executable).parent)})
CELL = Cell(2, 1, 3, 1_234, "2 cut", ("a line",), ("stopped after 1.0 s",))


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders follow each other faster than in the bench."""
    monkeypatch.setattr(orders, "BEFORE", 0.1)
    monkeypatch.setattr(orders, "BETWEEN", 0.1)


def test_what_servers_cannot(tmp_path: Path) -> None:
    """Columns that a row has no order for are none of its cells; every command is whole."""
    for name in ("gunicorn", "uvicorn", "hypercorn", "granian"):
        (tmp_path / name).touch()
    tools = Tools(places={"python": sys.executable, "bin": str(tmp_path)})
    for name, row in ROWS.items():
        for column in COLUMNS:
            if row.can(column):
                words = row.arguments(tools, column, 8000)
                assert ("500" in words) == (column == MAX_REQUESTS), name
    assert not ROWS["granian"].can(MAX_REQUESTS)
    assert not ROWS["weft"].can("scale")
    assert ROWS["bridge"].can("scale")


@pytest.mark.slow
def test_a_cell() -> None:
    """A server is started, asked and told; here one that is told to go, and goes."""
    row = Row(
        "{python} -m bridge serve {app} --host 127.0.0.1 --port {port} --no-access-log",
        "bench.apps.deployed_both:app",
        Mixture("/asgi", "/wsgi", clients=8, pace=0.01, stream=1),
    )
    cell = measure(row, "SIGTERM", TOOLS)
    assert cell.lost == 0, cell
    assert cell.total > 10
    assert "stopped after" in cell.notes[0]
    assert str(cell).startswith("0")


def test_orders_are_signals() -> None:
    """Each is sent to the server, a SIGKILL to one of its workers."""
    program = (
        "import signal, subprocess, sys, time\n"
        "for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):\n"
        "    signal.signal(number, lambda number, frame: print(int(number), flush=True))\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('ready', flush=True)\n"
        "print(child.wait(), flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    said = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdout=said, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout
        assert lines.readline() == "ready\n"
        server = Deployed(process, _Crowd())  # type: ignore[arg-type]
        [worker] = server.workers()
        orders.scale(server)
        assert lines.readline() == f"{signal.SIGTTIN}\n"
        orders.kill_worker(server)
        seen = [*iter(lambda: int(lines.readline()), -signal.SIGKILL)]
        assert {*seen} <= {signal.SIGTTIN, signal.SIGTTOU}
        assert signal.SIGTTOU in seen
        assert [kill.pid for kill in server.kills] == [worker]
        orders.reload_five_times(server)
        assert int(lines.readline()) == signal.SIGHUP
        orders.terminate(server)
        process.stdout.read()
    assert process.returncode == -signal.SIGTERM
    assert server.told is not None
    assert server.told < time.monotonic()
    assert workers_of(process.pid) == set()
    server.tell(signal.SIGHUP)  # it is gone: nothing happens


class _Crowd:
    def ending(self) -> None:
        pass


def test_the_table() -> None:
    """Failures of all requests, those counted apart in brackets, and why there is no figure."""
    cells: dict[str, dict[str, Cell | str]] = {
        "ours": {"HUP x 5": CELL, "scale": "-"},
        "absent": {"HUP x 5": "absent is not installed", "scale": "-"},
    }
    machine: dict[str, object] = {"processor": "a CPU", "cores": 2, "kernel": "6.1"}
    full = json.loads(json.dumps(table.full(cells, machine, {"ours": "1.0"})))
    text = table.markdown(full)
    assert "| ours   | 2 (+4) of 1,234 |     - |" in text
    assert "| absent |               ? |     - |" in text
    assert "- ours, HUP x 5: lost: 2 cut; stopped after 1.0 s" in text
    assert "- absent, HUP x 5: absent is not installed" in text


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows and columns are chosen by words; the table is printed, and kept."""
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command.cells, "measure", lambda row, column, tools: CELL)
    assert command.run("granian", False, ["--columns", "HUP,scale"], TOOLS) == 0
    said = capsys.readouterr()
    assert "| granian | 2 (+4) of 1,234 |     - |" in said.out
    assert "granian, HUP x 5: 2 (+4) of 1,234; 2 cut\n    a line" in said.err
    assert len([*tmp_path.glob("deploys-*.json")]) == 1
    with pytest.raises(SystemExit, match="nothing leaves nothing; there are: bridge, gunicorn"):
        command.run("nothing", False, [], TOOLS)
