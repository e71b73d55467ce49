"""Live copies over the wire: two workers, a server of another project, a switch, and a stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bridge.cutover.shadow.report.summary import Summary, read_report
from tests.support import hosts
from tests.support.apps.hung import PATHS
from tests.support.hosts import Host, start
from tests.support.waiting import eventually

FILE = """old = "tests.support.apps.ramp:flask_app"
new = "asgi3:tests.support.apps.ramp:starlette_app"
[shadow]
report = "%s"
ignore = ["$.side"]
[[routes]]
name = "invoices"
paths = ["/invoices/{id}", "/invoices"]
mode = "shadow"
ignore = ["$.up"]
"""


def ask(host: Host, count: int, path: str = "/invoices/7", method: str = "GET") -> None:
    """On a connection for each, so that all workers get some."""
    for _ in range(count):
        answer = httpx.request(method, host.url(path), trust_env=False)
        assert answer.headers["x-served-by"] == "old"


def report_of(path: Path) -> Summary:
    return read_report(path)


def test_workers_write_one_report(tmp_path: Path) -> None:
    """M10, M12: whole lines of all of them, which the command sums up; a switch ends the copies."""
    report, file = tmp_path / "report.jsonl", tmp_path / "cutover.toml"
    file.write_text(FILE % report)
    socket = tmp_path / "control"
    command = hosts.bridge(f"--cutover={file}", "--workers=2", f"--control-socket={socket}")
    with start(command) as host:
        ask(host, 30)
        ask(host, 2, "/invoices?token=hunter2")
        ask(host, 3, method="POST")
        eventually(lambda: report.exists() and report_of(report).compared == 32)
        order = ["cutover", "set", "invoices", "old", f"--socket={socket}"]
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *order], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.startswith("invoices old"), done.stderr
        ask(host, 5)
        assert host.stop() == 0
    summary = report_of(report)
    assert (summary.compared, summary.different, summary.unreadable) == (32, 0, 0)
    assert "hunter2" not in report.read_text()
    shown = subprocess.run(
        [sys.executable, "-m", "bridge", "cutover", "report", str(report), "--max-different=0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[1].split() == ["invoices", "32", "32", "0", "0", "0"]


@pytest.mark.parametrize("server", ["bridge", "uvicorn", "hypercorn"])
def test_copies_on_any_server(tmp_path: Path, server: str) -> None:
    """M10: the same app on ours and on others; what was not compared yet is, at the stop."""
    report = tmp_path / "report.jsonl"
    command = getattr(hosts, server)("tests.support.apps.shadowed:app")
    with start(command.with_env(REPORT=str(report))) as host:
        ask(host, 10)
        ask(host, 3, "/other")
        eventually(lambda: report.exists() and report_of(report).compared >= 9)
        host.stop()
    summary = report_of(report)
    assert (summary.compared, summary.different, summary.errors) == (10, 0, 0)


@pytest.mark.parametrize("server", ["bridge", "uvicorn"])
def test_a_new_app_that_hangs_in_threads_takes_none_of_the_old_one(server: str) -> None:
    """M10: not of the loop, of anyio or of asgiref: clients go on, and copies are dropped.

    There might be more copies than any of them has threads. A stop waits for none of ours.
    """
    command = getattr(hosts, server)("tests.support.apps.hung:app")
    with start(command) as host, httpx.Client(base_url=host.url(), trust_env=False) as client:

        def held() -> int:
            return int(client.get("/held").json())

        def dropped(path: str) -> int:
            return int(client.get("/reasons").json().get(path[1:], {}).get("hanging", 0))

        def jam(path: str) -> None:
            def asked() -> int:
                for _ in range(10):
                    assert client.get(path).json() == "same"
                return dropped(path)

            eventually(lambda: asked() and held() == 4)  # half of what anyio has
            before = dropped(path)
            eventually(lambda: asked() > before)

        for path in PATHS:
            jam(path)
            for other in PATHS:
                assert client.get(other).json() == "same"
            client.get("/free")
            eventually(lambda: not held())
        jam("/tothread")
        assert "there are no others until" in host.log()
        client.close()
        code = host.stop()
        assert "destroyed" not in host.log()
    assert code == (0 if server == "bridge" else -signal.SIGTERM)
