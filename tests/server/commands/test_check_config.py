"""`serve --check-config`: what a start would load is loaded, and nothing is started (O6)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import AppLoadError, ConfigError
from bridge.server.commands.check_config import check
from bridge.server.config.config import Config
from tests.support import hosts

HELLO = "tests.support.apps.hello:wsgi"


def run(*arguments: str, cwd: Path = hosts.ROOT) -> subprocess.CompletedProcess[str]:
    """`asgi-bridge serve --check-config` with these arguments, until it ends."""
    command = [sys.executable, "-m", "bridge", "serve", "--check-config", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(hosts.ROOT)}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60)


def test_what_is_in_order(tmp_path: Path) -> None:
    """O6: the app and its mounts are told, with 0; an address in use does not matter."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        sock = f"unix:{tmp_path}/a.sock"
        mounts = ("--mount", f"/={HELLO}", "--mount", "/new=tests.support.apps.hello:asgi")
        ended = run(*mounts, "--bind", f"127.0.0.1:{port}", "--bind", sock, "--bind", "fd://3")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("serving mounts:\n  /     ")
    assert ended.stdout.endswith("\nthe settings and the app are in order\n")
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made(tmp_path: Path) -> None:
    """O6: no lifespan runs, no log file is opened; what the app itself does at import, it does."""
    (tmp_path / "shop.py").write_text(
        "print('imported')\nasync def app(scope, receive, send):\n    print('called')\n"
    )
    (tmp_path / "log.json").write_text(
        '{"handlers": {"file": {"class": "logging.FileHandler", "filename": "made.log"}},'
        ' "root": {"handlers": ["file"]}}'
    )
    ended = run("shop:app", "--log-config", "log.json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[:2] == ["imported", "serving shop:app (ASGI)"]
    assert not (tmp_path / "made.log").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["tests.support.apps.hello:wsg"], 3, "Error: tests.support.apps.hello has no attribute"),
        (["--mount", "/=no.such:app"], 3, "Error: there is no module 'no'"),
        ([], 2, "no app is named"),
        ([HELLO, "--bind", "nowhere"], 2, "cannot bind to 'nowhere'"),
        ([HELLO, "--port", "x"], 2, "--port is 'x'"),
    ],
)
def test_what_is_wrong_is_told_as_at_a_start(arguments: list[str], code: int, said: str) -> None:
    """O6: the same line, the same exit code."""
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bind": ("fd://x",)}, "cannot bind to 'fd://x'"),
        ({"bind": ("[::1",)}, "cannot bind to"),
        ({"ssl_certfile": "none.pem"}, "ssl_certfile none.pem cannot be read"),
        ({"access_log_format": "fancy"}, "access_log_format is 'fancy'"),
        ({"forwarded_allow_ips": "x.y"}, "forwarded_allow_ips has 'x.y'"),
        ({"log_config": "none.toml"}, "log_config none.toml cannot be read"),
    ],
)
def test_what_settings_name_is_looked_at(settings: dict[str, object], said: str) -> None:
    """O6: addresses, certificates, formats, files."""
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        check(Config(app=HELLO, **settings))  # type: ignore[arg-type]


def test_lines_about_the_app() -> None:
    """O6: those that a start writes to the log; an app that cannot be loaded raises."""
    lines = check(Config(app=HELLO, threads=3, log_config={"version": 1}))
    assert lines == [
        f"serving {HELLO} (WSGI, 3 threads)",
        "the settings and the app are in order",
    ]
    with pytest.raises(AppLoadError):
        check(Config(app="no.such:app"))


def test_hooks_are_found_and_not_called() -> None:
    """O6, P11: one that is missing is told, and one that is there is left alone."""
    with pytest.raises(AppLoadError, match=r"^post_fork: there is no module 'nowhere'"):
        check(Config(app=HELLO, post_fork="nowhere:hook"))
    check(Config(app=HELLO, on_start="sys:exit", post_fork="sys:exit", worker_exit="sys:exit"))
