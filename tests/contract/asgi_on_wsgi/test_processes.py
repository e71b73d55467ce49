"""Hosts that fork, and hosts that end: each process has its own loop and its own lifespan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conftest import StartHost
from tests.contract.asgi_on_wsgi.hosts import APP, mod_wsgi, own, uwsgi, why_no_mod_wsgi
from tests.support import hosts
from tests.support.hosts import Command, Host

LIMIT = 60.0

FORKING = {
    "gthread": hosts.gunicorn(APP, "--preload", "--workers=2", worker="gthread"),
    "sync": hosts.gunicorn(APP, "--preload", "--workers=2", worker="sync"),
    "gevent": hosts.gunicorn(APP, "--preload", "--workers=2", worker="gevent"),
    "uwsgi": uwsgi(APP, "--processes=2"),
}

#: Hosts and the signal at which they end in an orderly way.
ENDING = {
    "gunicorn-sync": (hosts.gunicorn(APP, worker="sync"), signal.SIGTERM),
    "gunicorn-gthread": (hosts.gunicorn(APP, worker="gthread"), signal.SIGTERM),
    "gunicorn-gevent": (hosts.gunicorn(APP, worker="gevent"), signal.SIGTERM),
    "uwsgi": (uwsgi(), signal.SIGTERM),
    "waitress": (hosts.waitress(APP), signal.SIGINT),
    "cheroot": (hosts.cheroot(APP), signal.SIGINT),
    "wsgiref": (own("wsgiref"), signal.SIGINT),
    "werkzeug": (own("werkzeug"), signal.SIGINT),
    "pywsgi": (own("pywsgi"), signal.SIGINT),
}


def state(host: Host) -> Any:
    with urlopen(host.url("/scope"), timeout=LIMIT) as response:
        return json.load(response)["state"]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(host: Host, signal_: int) -> None:
    """Tell a host to end, and wait until it has."""
    host.process.send_signal(signal_)
    host.process.wait(LIMIT)


def has_ended(pid: int) -> bool:
    """Whether there is no such process any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def note() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bridge-notes-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder) / "note"


@pytest.fixture
def startups() -> Iterator[Path]:
    """A folder with a file for each process in which the app has started, named after it."""
    with tempfile.TemporaryDirectory(prefix="bridge-startups-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def started(startups: Path) -> dict[int, str]:
    """How often the app has started, by process; a note that is not written yet does not count."""
    notes = {int(note.name): note.read_text() for note in startups.iterdir()}
    return {pid: count for pid, count in notes.items() if count}


@pytest.mark.parametrize("eager", ["", "1"])
@pytest.mark.parametrize("name", list(FORKING))
def test_prefork(name: str, eager: str, start_host: StartHost, startups: Path) -> None:
    """A30 A31: an app loaded before the fork starts once in each worker, never in the master."""
    host = start_host(FORKING[name].with_env(EAGER=eager, STARTUP_NOTES=str(startups)))
    pids = set()

    def both() -> bool:
        told = state(host)
        pids.add(told["pid"])
        assert told["startups"] == 1
        return len(pids) == 2

    until(both)
    assert started(startups) == dict.fromkeys(pids, "1")
    assert host.process.pid not in pids


@pytest.mark.parametrize("name", ["gthread", "sync", "gevent"])
def test_eager_without_preload(name: str, start_host: StartHost, startups: Path) -> None:
    """A31: an app that each worker loads for itself starts there, before any request."""
    command = hosts.gunicorn(APP, "--workers=2", worker=name)
    host = start_host(command.with_env(EAGER="1", STARTUP_NOTES=str(startups)))
    until(lambda: len(started(startups)) == 2)
    assert set(started(startups).values()) == {"1"}
    assert host.process.pid not in started(startups)


def test_started_by_a_hook(start_host: StartHost, startups: Path, tmp_path: Path) -> None:
    """A31: with `start` in a hook each worker starts a preloaded app before its first request."""
    conf = tmp_path / "conf.py"
    conf.write_text("def post_worker_init(worker):\n    worker.wsgi.start()\n")
    command = hosts.gunicorn(APP, "--preload", "--workers=2", f"--config={conf}")
    host = start_host(command.with_env(EAGER="1", STARTUP_NOTES=str(startups)))
    until(lambda: len(started(startups)) == 2)
    pid = state(host)["pid"]
    assert started(startups)[pid] == "1"
    assert host.process.pid not in started(startups)


def test_lazy_apps(start_host: StartHost, startups: Path) -> None:
    """A31: with uWSGI's --lazy-apps each worker loads and starts the app, before any request."""
    command = uwsgi(APP, "--processes=2", "--lazy-apps")
    host = start_host(command.with_env(EAGER="1", STARTUP_NOTES=str(startups)))
    until(lambda: len(started(startups)) == 2)
    assert set(started(startups).values()) == {"1"}
    assert host.process.pid not in started(startups)


def test_configuration_that_is_only_checked(startups: Path) -> None:
    """A31: a process that loads the app only to check it never starts it."""
    command = hosts.gunicorn(APP, "--check-config")
    env = {
        **os.environ,
        "EAGER": "1",
        "STARTUP_NOTES": str(startups),
        "PYTHONPATH": str(hosts.ROOT),
    }
    argv = [word.format(port=hosts.free_port()) for word in command.argv]
    subprocess.run(argv, env=env, cwd=hosts.ROOT, check=True, timeout=LIMIT)
    assert started(startups) == {}


@pytest.mark.parametrize("name", list(ENDING))
def test_lifespan_shutdown(name: str, start_host: StartHost, note: Path) -> None:
    """A30 A31: when the host ends, the app's shutdown runs in its process, and that ends too.

    A worker of uWSGI's that is told to end while it is busy sometimes ends without Python's exit;
    then nothing of Python's can run, an `atexit` function of the app's no more than ours.
    """
    command, signal_ = ENDING[name]
    for _ in range(5):
        host = start_host(command.with_env(SHUTDOWN_NOTE=str(note)))
        pid = state(host)["pid"]
        end(host, signal_)
        until(lambda: has_ended(pid))  # noqa: B023  a master may end before its worker
        if name != "uwsgi" or note.with_name(f"note.exit.{pid}").exists():
            break
    assert note.read_text() == f"shutdown in {pid}"
    assert (
        "Traceback" not in host.log().replace("KeyboardInterrupt", "") or signal_ == signal.SIGINT
    )


def test_mod_wsgi_shutdown(note: Path) -> None:
    """A31: Apache ends its daemon's interpreter, and with it the app."""
    if why := why_no_mod_wsgi():
        pytest.skip(why)
    with hosts.start(noting(mod_wsgi(), note)) as host:
        pid = state(host)["pid"]
    until(note.exists)
    assert note.read_text() == f"shutdown in {pid}"


def noting(command: Command, note: Path) -> Command:
    """Apache hands no environment on to its daemons, so the script itself sets it."""
    line = f"import os\nos.environ['SHUTDOWN_NOTE'] = {str(note)!r}\n"
    return replace(command, files={**command.files, "app.wsgi": line + command.files["app.wsgi"]})


def test_gunicorn_recycles_workers(start_host: StartHost) -> None:
    """A30: workers that end after some requests, and their successors, lose no request."""
    host = start_host(hosts.gunicorn(APP, "--max-requests=20", worker="gthread"))
    pids = {state(host)["pid"] for _ in range(100)}
    assert len(pids) > 2
