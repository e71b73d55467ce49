"""`--patch` on real servers: who patches, and what it brings (G6)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Host

APP = "tests.support.apps.sleeping"
GREENLETS = ("--runner=greenlet", "--patch")
#: Each request sleeps four times so long; one after the other would take a minute.
SECONDS, REQUESTS = 0.4, 40


def ask_all(host: Host, path: str = "/") -> list[str]:
    """What so many clients get that ask at the same time."""
    answers: list[str] = []

    def ask() -> None:
        answers.append(httpx.get(host.url(f"{path}?{SECONDS}"), timeout=60).text)

    threads = [threading.Thread(target=ask) for _ in range(REQUESTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def sleeps_side_by_side(host: Host, path: str = "/") -> None:
    """All requests sleep at the same time."""
    begin = time.monotonic()
    assert ask_all(host, path) == ["same same "] * REQUESTS
    assert time.monotonic() - begin < SECONDS * 4 * REQUESTS / 3


def patched(host: Host) -> str:
    return httpx.get(host.url("/patched")).text


@pytest.mark.parametrize("options", [(), ("-w", "1", "--max-requests=10000")], ids=str)
def test_sleeping_app(start_host: StartHost, options: tuple[str, ...]) -> None:
    """G6, G1: requests of a greenlet runner sleep side by side; call, iteration and close of each
    happen in one greenlet."""
    host = start_host(hosts.bridge(f"{APP}:wsgi", *GREENLETS, *options))
    sleeps_side_by_side(host)
    while not httpx.get(host.url("/closed")).text.startswith(f"{REQUESTS} "):
        time.sleep(0.02)
    assert httpx.get(host.url("/closed")).text == f"{REQUESTS} True time"
    assert "changes nothing" not in host.log()
    assert f"serving {APP}:wsgi (WSGI, greenlets, patched)" in host.log()


def test_environment_and_file(start_host: StartHost, tmp_path: Path) -> None:
    """G6: the environment and a file say it as the command line does."""
    command = hosts.bridge(f"{APP}:wsgi")
    host = start_host(command.with_env(BRIDGE_RUNNER="greenlet", BRIDGE_PATCH="1"))
    assert patched(host) == "True"
    (tmp_path / "bridge.toml").write_text('runner = "greenlet"\npatch = true\n')
    host = start_host(hosts.bridge(f"{APP}:wsgi", "--config", str(tmp_path / "bridge.toml")))
    assert patched(host) == "True"
    host = start_host(command.with_env(BRIDGE_RUNNER="greenlet"))
    assert patched(host) == "False"
    assert f"serving {APP}:wsgi (WSGI, greenlets)" in host.log()


def test_workers_and_templates(start_host: StartHost, tmp_path: Path) -> None:
    """G6: what serves the app is patched, or what it is forked from, and never the supervisor."""
    (tmp_path / "hooks.py").write_text(
        "import time\n"
        "def on_start(config): print('supervisor:', hasattr(time.sleep, '__wrapped__'))\n"
    )
    for options in (("-w", "2"), ("-w", "2", "--preload")):
        command = hosts.bridge(
            f"{APP}:wsgi", *GREENLETS, *options, "--on-start=hooks:on_start",
        ).with_env(PYTHONPATH=str(tmp_path))  # fmt: skip
        host = start_host(command)
        assert {patched(host) for _ in range(10)} == {"True"}
        assert "supervisor: False" in host.log()


def test_threads_beside_greenlets(start_host: StartHost) -> None:
    """G6: a mount with threads goes on as ever beside one with greenlets, which waits for none."""
    host = start_host(hosts.bridge(f"{APP}:mounted", "--patch"))
    begin = time.monotonic()
    busy = [
        threading.Thread(target=httpx.get, args=(host.url("/threads/?1"),), kwargs={"timeout": 60})
        for _ in range(4)
    ]
    for thread in busy:
        thread.start()
    sleeps_side_by_side(host, "/greenlets/")
    for thread in busy:
        thread.join()
    # The fourth of its sleeps is in close(), when the client has the whole response.
    assert time.monotonic() - begin >= 3
    assert httpx.get(host.url("/threads/?0")).text == "same same "
    assert "changes nothing" not in host.log()


def test_without_greenlets(start_host: StartHost) -> None:
    """G6: the patch without a greenlet runner is told to be of no use, and harms nothing."""
    host = start_host(hosts.bridge("tests.support.apps.worker:wsgi", "--patch"))
    assert httpx.get(host.url("/")).status_code == 200
    assert (
        "--patch changes nothing: it is for greenlets, and no app here runs in them; say --runner "
        "greenlet, too, or leave it out" in host.log()
    )


def test_without_greenlets_by_the_environment(start_host: StartHost) -> None:
    """G6: the same by a variable; then the variable that is missing is named, too."""
    host = start_host(hosts.bridge("tests.support.apps.worker:wsgi").with_env(BRIDGE_PATCH="1"))
    assert "BRIDGE_PATCH changes nothing" in host.log()
    assert "say BRIDGE_RUNNER=greenlet, too, or leave it out" in host.log()


@pytest.mark.parametrize("where", ["before", "meanwhile", "after a call in the app"])
def test_apps_that_gevent_has_patched(tmp_path: Path, where: str) -> None:
    """G6: what gevent patches, before or while the app is imported, is an error at the start, also
    if the app itself has called `bridge.greenlet_patch` before."""
    patch = "import gevent.monkey; gevent.monkey.patch_all()\n"
    called = where == "after a call in the app"
    if called:
        patch = f"import bridge; bridge.greenlet_patch(); {patch}"
    (tmp_path / "app.py").write_text(patch + "def app(environ, start_response): ...\n")
    program = (
        f"{patch if where == 'before' else ''}import bridge\n"
        f"bridge.serve('app:app', runner='greenlet', patch={not called}, port=0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{hosts.ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "gevent has changed the standard library, too" in done.stderr


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=str)
def test_under_gunicorn(start_host: StartHost, options: tuple[str, ...]) -> None:
    """G6, P10: a worker of Gunicorn's patches before it imports the app, or after Gunicorn has."""
    command = hosts.gunicorn(f"{APP}:wsgi", *options, worker=hosts.BRIDGE_WORKER)
    host = start_host(command.with_env(BRIDGE_RUNNER="greenlet", BRIDGE_PATCH="1"))
    assert patched(host) == "True"
    sleeps_side_by_side(host)


@pytest.mark.parametrize("server", [hosts.uvicorn, hosts.hypercorn])
def test_on_other_servers(start_host: StartHost, tmp_path: Path, server: object) -> None:
    """G6: an app for other servers calls `bridge.greenlet_patch` in its first line."""
    (tmp_path / "patched_app.py").write_text(
        f"import bridge\nbridge.greenlet_patch()\nfrom {APP} import app\n"
    )
    command = server("patched_app:app").with_env(PYTHONPATH=str(tmp_path))  # type: ignore[operator]
    host = start_host(command)
    assert patched(host) == "True"
    sleeps_side_by_side(host)
