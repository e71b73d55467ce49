"""Processes and their exit codes; each run is a real one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts

HELLO = "tests.support.apps.hello:wsgi"


def run(
    *arguments: str, cwd: Path = hosts.ROOT, **environ: str
) -> subprocess.CompletedProcess[str]:
    """`asgi-bridge` with these arguments, in a process of its own, until it ends."""
    command = [sys.executable, "-m", "bridge", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve"], "no app is named; say module:attr"),
        (["serve", HELLO, "--bind", "nowhere"], "nowhere"),
        (["gateway"], "no channels are named"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], said: str) -> None:
    """What the settings together do not allow is said in one line, and nothing is served."""
    ended = run(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


# ------------------------------------------------------------- exit code 3: the app does not start


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("app = 1/0", "broken:app", "importing broken failed: ZeroDivisionError"),
        ("app = 5", "broken:app", "broken:app is 5, which cannot be called"),
        ("", "broken:app", "broken has no attribute 'app'"),
        ("def app(): ...", "broken:ap", "broken has no attribute 'ap'"),
        ("", "missing:app", "there is no module 'missing'"),
    ],
)
def test_an_app_that_cannot_be_loaded_exits_with_3(
    tmp_path: Path, source: str, target: str, said: str
) -> None:
    """A supervisor can tell that starting again will not help."""
    (tmp_path / "broken.py").write_text(source)
    ended = run("serve", target, "--app-dir", str(tmp_path), "--port=0")
    assert ended.returncode == 3
    assert f"Error: {said}" in ended.stderr


def test_the_apps_own_traceback_is_shown(tmp_path: Path) -> None:
    """S62: the lines of the app's code that raised are shown, and none of the server's."""
    (tmp_path / "broken.py").write_text("def helper():\n    return 1 / 0\n\napp = helper()\n")
    ended = run("serve", "broken:app", "--app-dir", str(tmp_path), "--port=0")
    assert "return 1 / 0" in ended.stderr
    assert ended.stderr.count("  File ") == ended.stderr.count("broken.py") == 2
    assert ended.stderr.splitlines()[-1].startswith("Error: importing broken failed")


def test_a_failure_without_lines_of_the_app_is_told_once(tmp_path: Path) -> None:
    """S62: wrong arguments need no traceback; a syntax error shows its line."""
    (tmp_path / "maker.py").write_text("def make(name): ...\n")
    ended = run("serve", "maker:make()", "--app-dir", str(tmp_path), "--port=0")
    assert ended.stderr.startswith("Error: calling maker:make() failed: TypeError")
    (tmp_path / "unfinished.py").write_text("def make(:\n")
    ended = run("serve", "unfinished:app", "--app-dir", str(tmp_path), "--port=0")
    assert "def make(:" in ended.stderr
    assert ended.stderr.count("  File ") == 1


def test_a_startup_that_fails_exits_with_3(tmp_path: Path) -> None:
    """S40: what the app says about its failed startup is shown."""
    (tmp_path / "failing.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    ended = run("serve", "failing:app", "--app-dir", str(tmp_path), "--port=0")
    assert ended.returncode == 3
    assert "no database" in ended.stderr


def test_an_address_in_use_exits_with_1() -> None:
    """S30: that may be over in a second, so a supervisor may try again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("serve", HELLO, "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "another process listens there" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_serving_until_told_to_stop(start_host: StartHost) -> None:
    """P2, S51: it says where it is, answers, and leaves with 0 on SIGTERM."""
    host = start_host(hosts.bridge(HELLO))
    assert httpx.get(host.url("/")).status_code == 200
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(timeout=30) == 0
    assert f"running on {host.url('').rstrip('/')} (Press CTRL+C to quit)" in host.log()


def test_an_error_that_no_line_of_the_app_has_raised() -> None:
    """S40: what a startup fails of is shown with its traceback all the same."""
    done = run("serve", "builtins:len", "--interface=asgi3", "--lifespan=on", "--port=0")
    assert done.returncode == 3
    assert "TypeError: len() takes exactly one argument (3 given)" in done.stderr
    assert "Traceback" in done.stderr


def test_several_workers_serve_until_told_to_stop(start_host: StartHost) -> None:
    """P1: the exit code is that of the supervisor."""
    host = start_host(hosts.bridge(HELLO, "--workers", "2"))
    assert httpx.get(host.url("/")).status_code == 200
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(timeout=30) == 0
    ended = run("serve", "nowhere:app", "--workers", "2", "--port=0")
    assert ended.returncode == 3
