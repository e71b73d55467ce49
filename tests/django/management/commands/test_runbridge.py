"""``manage.py runbridge``: as runserver, by the bridge's server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Command
from tests.support.waiting import eventually

MANAGE = "tests/support/apps/both_ways/manage.py"
OURS = "tests.support.apps.both_ways.asgi.application"
EXAMPLE = hosts.ROOT / "examples/django_on_bridge"


def runbridge(*options: str) -> Command:
    """The command, for the project with views of both kinds."""
    return hosts.python("runbridge", MANAGE, "runbridge", "{port}", *options).with_env(
        PYTHONPATH=str(hosts.ROOT)
    )


def test_the_projects_own_app(start_host: StartHost) -> None:
    """M31: `ASGI_APPLICATION` is served if it is ours, with the options of the command."""
    command = runbridge("--noreload", "--nothreading").with_env(ASGI_APPLICATION=OURS)
    host = start_host(command)
    eventually(lambda: "asgi-bridge running on" in host.log())
    line = "serving tests.support.apps.both_ways.settings (Django both ways, 1 thread, WebSockets)"
    assert line in host.log()
    assert "System check identified no issues" in host.log()
    for path, request in (("/sync", "WSGIRequest"), ("/async", "ASGIRequest")):
        assert httpx.get(host.url(path)).json()["request"] == request
    with connect(host.url("/shout", "ws"), proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(timeout=20) == "HELLO"
    assert host.stop() == 0


def test_another_app_for_websockets(start_host: StartHost) -> None:
    """M31: another `ASGI_APPLICATION` takes the WebSockets, and no requests."""
    name = "tests.support.apps.both_ways.sockets.application"
    host = start_host(
        runbridge("--noreload", "--threads=3", "--runner=thread").with_env(ASGI_APPLICATION=name)
    )
    assert httpx.get(host.url("/sync")).json()["view"] == "sync"
    with connect(host.url("/shout", "ws"), proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(timeout=20) == "HELLO"
    assert "3 threads, WebSockets" in host.log()


OTHERS = "tests.support.apps.both_ways.others"


def test_an_app_of_ours_around_the_project(start_host: StartHost) -> None:
    """M31: a `Dispatcher`, say, is served with all that is in it, and with static files."""
    host = start_host(
        runbridge("--noreload").with_env(ASGI_APPLICATION=f"{OTHERS}.mounted", DEBUG="1")
    )
    for path, request in (("/sync", "WSGIRequest"), ("/async", "ASGIRequest")):
        assert httpx.get(host.url(path)).json()["request"] == request
    assert httpx.get(host.url("/hello")).text == "Hello, world!"
    assert "could not be found" in httpx.get(host.url("/static/nothing")).text


def test_djangos_own_asgi_handler(start_host: StartHost) -> None:
    """M31: `get_asgi_application()` takes no WebSockets: they are refused, with a hint."""
    host = start_host(runbridge("--noreload").with_env(ASGI_APPLICATION=f"{OTHERS}.django_only"))
    assert httpx.get(host.url("/sync")).json()["request"] == "WSGIRequest"
    with pytest.raises(InvalidStatus):
        connect(host.url("/shout", "ws"), proxy=None)
    eventually(lambda: "refused a WebSocket at '/shout'" in host.log())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example, whose files may be changed."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project"))


def test_it_reloads_and_serves_static_files(start_host: StartHost, project: Path) -> None:
    """M31: a file that changes is seen by Django's reloader; static files as with runserver."""
    command = hosts.python("runbridge", "manage.py", "runbridge", "{port}")
    settings = {"DJANGO_DEBUG": "1", "PYTHONPATH": str(hosts.ROOT)}
    host = start_host(Command(command.name, command.argv, settings, project))
    assert "Watching for file changes" in host.log()
    assert httpx.get(host.url("/static/notes/style.css")).status_code == 200
    assert httpx.get(host.url("/unread")).text == "not read\n"
    views = project / "notes/views.py"
    views.write_text(views.read_text().replace("not read\\n", "changed\\n"))

    def is_new() -> bool:
        try:
            return httpx.get(host.url("/unread")).text == "changed\n"
        except httpx.TransportError:  # while it starts again
            return False

    eventually(is_new)
    host.stop()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--noreload", "{port}"], "another process listens there"),
        (["--noreload", "--threads=0", "0"], "threads"),
        (["--noreload", "--threads=3", "--nothreading", "0"], "leave one of them out"),
        (["nowhere:port"], "is not a valid port number"),
    ],
)
def test_what_cannot_be(options: list[str], said: str, start_host: StartHost) -> None:
    """M31: a port that is taken and values that are wrong are one line each."""
    port = start_host(hosts.bridge("tests.support.apps.hello:wsgi")).port
    arguments = [each.format(port=port) for each in options]
    done = subprocess.run(
        [sys.executable, MANAGE, "runbridge", *arguments],
        capture_output=True, text=True, timeout=60, cwd=hosts.ROOT, check=False,
        env={"PYTHONPATH": str(hosts.ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
