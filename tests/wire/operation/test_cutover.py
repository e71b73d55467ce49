"""A server that is started with the file of a cutover, in its own process and with workers."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import hosts
from tests.support.hosts import Host, start
from tests.support.waiting import eventually

FILE = """old = "tests.support.apps.ramp:flask_app"
new = "asgi3:tests.support.apps.ramp:starlette_app"
[[routes]]
name = "invoices"
paths = "/invoices/{id}"
mode = "%s"
share = 0
"""


def asked(host: Host, path: str = "/invoices/7") -> str:
    return str(httpx.get(host.url(path), trust_env=False).headers["x-served-by"])


@pytest.fixture(params=["--control-socket=off", "--workers=2"], ids=["one", "two"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Host, Path]]:
    """A server with the file, and with routes and sides in its access log."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE % "new")
    format = "--access-log-format=%(s)s %(route)s %(side)s"
    with start(hosts.bridge(f"--cutover={file}", request.param, format)) as host:
        yield host, file


def test_a_file_says_who_answers_and_sighup_reads_it_again(host: tuple[Host, Path]) -> None:
    """M1, M2, M3, M5: a wrong file changes nothing, a right one all; the log has route and side."""
    server, file = host
    line = "  the new app: asgi3:tests.support.apps.ramp:starlette_app (ASGI)\n"
    eventually(lambda: line in server.log())
    assert (asked(server), asked(server, "/")) == ("new", "old")
    eventually(lambda: "200 invoices new" in server.log() and "200 - old" in server.log())
    file.write_text(FILE % "never")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: "route invoices: mode is 'never'; allowed is one of" in server.log())
    assert asked(server) == "new"
    file.write_text(FILE % "old")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: asked(server) == "old")


@pytest.mark.parametrize(
    ("name", "text", "args", "says"),
    [
        ("a.toml", FILE % "now", ["--cutover=a.toml"], "route invoices: mode is 'now'; allowed is"),
        ("a.toml", "old = ", ["--cutover=a.toml"], "a.toml: it is not TOML"),
        ("a.toml", "", ["--cutover=b.toml"], "b.toml cannot be read: No such file"),
        ("a.toml", FILE % "new", ["--cutover=a.toml", "x:app"], "give that alone"),
        (
            "pyproject.toml",
            "[tool.bridge.cutover]\nold = 'tests.support.apps.ramp:flask_app'",
            [],
            "pyproject.toml names no new app",
        ),
    ],
)
def test_a_start_that_cannot_be_right(
    tmp_path: Path, name: str, text: str, args: list[str], says: str
) -> None:
    """M5: one line, and an exit code."""
    (tmp_path / name).write_text(text)
    command: Any = [sys.executable, "-m", "bridge", "serve", "--port=0", *args]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env={**hosts.ENV, "PYTHONPATH": str(hosts.ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode != 0
    assert says in run.stderr
    assert "Traceback" not in run.stderr
