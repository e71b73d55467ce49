"""Conflicts of a cutover are told by whole servers: at the start, by orders, by signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import hosts
from tests.support.hosts import start
from tests.support.waiting import eventually

FILE = """old = "tests.support.apps.clashing:old"
new = "tests.support.apps.clashing:new"
[[routes]]
name = "invoices"
paths = "/invoices/{rest:path}"
[[routes]]
name = "late"
paths = "/invoices/{id}"
[[routes]]
name = "search"
paths = ["/search", "/health"]
mode = "%s"
"""
LATE = "route late never gets /invoices/{id}: route invoices, which comes before it"
SEARCH = "route search: the new app has no /search, and answers 404"
_CAPTURED: Any = {"capture_output": True, "text": True, "timeout": 60, "check": False}


def run(*command: Any) -> subprocess.CompletedProcess[str]:
    words: Any = [sys.executable, "-m", "bridge", *command]
    return subprocess.run(
        words,
        cwd=hosts.ROOT,
        env=hosts.ENV,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("workers", ["1", "3"])
def test_they_are_told_once_by_a_server(tmp_path: Path, workers: str) -> None:
    """M4: and again when SIGHUP or an order brings others into force; old ones are not repeated."""
    file, socket = tmp_path / "cutover.toml", tmp_path / "control"
    file.write_text(FILE % "old")
    options = [f"--workers={workers}"]
    if workers != "1":
        options.append(f"--control-socket={socket}")
    with start(hosts.bridge(f"--cutover={file}", "--no-access-log", *options)) as host:
        eventually(lambda: LATE in host.log())
        assert SEARCH not in host.log()
        if workers == "1":
            file.write_text(FILE % "new")
            host.process.send_signal(signal.SIGHUP)
        else:
            ended = run("cutover", "set", "search", "new", "--socket", socket)
            assert ended.returncode == 0, ended.stderr
            assert f"Warning: {SEARCH}" in ended.stderr  # as soon as it is known
            assert "to go back: asgi-bridge cutover set search old" in ended.stderr
            assert f"warning: {SEARCH}" in run("cutover", "status", "--socket", socket).stdout
        eventually(lambda: SEARCH in host.log())
        if workers != "1":  # new workers find the same, and more
            file.write_text((FILE % "new").replace('"/health"', '"/gone"'))
            host.process.send_signal(signal.SIGHUP)
            eventually(lambda: "the new app has no /gone" in host.log())
        log = host.log()
    assert (log.count(LATE), log.count(SEARCH)) == (1, 1)
    assert "Traceback" not in log


def test_a_check_of_the_settings_tells_them(tmp_path: Path) -> None:
    """M4, O6: and is in order; a Django project and an app that cannot be read are no trouble."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE % "new")
    ended = run("serve", "--cutover", file, "--check-config")
    assert ended.returncode == 0, ended.stderr
    assert f"warning: {LATE}" in ended.stdout
    assert ended.stdout.endswith("the settings and the app are in order\n")
    text = (FILE % "new").replace(
        "support.apps.clashing:old", "data.routes.django_site:application"
    )
    file.write_text(text.replace("clashing:new", "hello:asgi"))
    ended = run("serve", "--cutover", file, "--check-config")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("warning: ") == 1
