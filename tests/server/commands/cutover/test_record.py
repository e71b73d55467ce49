"""`asgi-bridge cutover record`, over a real server."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
from click.testing import CliRunner

from bridge.server.cli import main
from tests.conftest import StartHost
from tests.support.hosts import ADDRESS, ROOT, python

APP = "tests.support.apps.hello:wsgi"


def test_what_a_server_is_asked_can_be_replayed(start_host: StartHost, tmp_path: Path) -> None:
    """M13: several workers write one recording of what they are asked, which is then replayed."""
    path = tmp_path / "recording"
    host = start_host(
        python(
            "bridge", "-m", "bridge", "cutover", "record", APP, "--to", str(path), "-w", "2",
            f"--host={ADDRESS}", "--port={port}", "--no-access-log",
        )
    )  # fmt: skip
    for number in range(20):
        httpx.get(host.url(f"/items/{number}"), headers={"Authorization": "Bearer hunter2"})
    httpx.post(host.url("/items"))
    replay = ["cutover", "replay", str(path), f"--old={host.url('')}", f"--new={host.url('')}"]
    result = CliRunner().invoke(main, [*replay, "--max-different=0"])
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(60) == 0
    recorded = path.read_text()
    assert recorded.count("/items/") >= 20
    what = "GET, HEAD and OPTIONS; with --unsafe all methods"
    assert f"serving {APP}, recorded in {path} ({what}) (WSGI, 8 threads)\n" in host.log()
    assert "hunter2" not in recorded
    assert "POST" not in recorded
    assert (path.stat().st_mode & 0o777, result.exit_code) == (0o600, 0), result.output
    assert "GET /items/{id}" in result.output


def test_wrong_usage_is_told(tmp_path: Path) -> None:
    """M13: an app that is not there, and options that `serve` does not have, are told as there."""
    to = ["--to", str(tmp_path / "file")]
    for args, text in [
        ([APP], "Missing option '--to'"),
        ([*to], "Missing argument 'MODULE:ATTR'"),
        ([APP, *to, "--nonsense"], "No such option"),
    ]:
        result = CliRunner().invoke(main, ["cutover", "record", *args])
        assert (result.exit_code, text in result.output) == (2, True), (args, result.output)
    # A server that cannot start ends its process, so it has one of its own.
    for app, file, says in [
        (APP, "/none/file", "cannot be written"),
        ("oldshp:app", to[1], "Error: there is no module 'oldshp'"),
    ]:
        command = [sys.executable, "-m", "bridge", "cutover", "record", app, "--to", file]
        done = subprocess.run(
            [*command, "--port=0"], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, says in done.stderr) == (3, True), done.stderr
