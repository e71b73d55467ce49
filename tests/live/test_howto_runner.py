"""The how-to "Choose a runner": its files and its commands run as they are printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support.hosts import ROOT, Command, Host
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "howto" / "choose-a-runner.md").read_text()
FILES = dict(re.findall(r"```python\n# ([\w.]+\.py)\n(.*?)```", PAGE, re.S))
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.S)
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]
#: How each server is told its port.
PORT = {"asgi-bridge": "--port={port}", "uvicorn": "--port={port}", "gunicorn": "-b=:{port}"}

#: What the page serves by this name, if it does not show it: a Flask app of your own.
SHOP = """
import time

from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
def home():
    time.sleep(0.1)
    return "waited"


@app.get("/events")
def events():
    def all_of_them():
        for number in range(1000):
            yield f"data: {number}\\n\\n"
            time.sleep(0.2)

    return Response(all_of_them(), mimetype="text/event-stream")


@app.get("/stuck")
def stuck():
    while True:
        pass
"""


def command(folder: Path, line: str, shop: str = SHOP) -> Command:
    """The command of the page, in a folder with the files that it needs."""
    for name, text in {**FILES, "shop.py": shop}.items():
        (folder / name).write_text(text)
    program, *arguments = shlex.split(line.replace("/tmp/shop.ctl", f"{folder}/ctl"))
    argv = (str(Path(sys.executable).with_name(program)), *arguments, PORT[program])
    return Command(program, argv, cwd=folder, env={"PYTHONPATH": str(ROOT)})


def wait_side_by_side(host: Host) -> None:
    """A hundred requests wait at the same time; one after the other would take ten seconds."""
    begin = time.monotonic()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection((host.address, host.port), 60))
            for _ in range(100)
        ]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for client in clients:
            assert b"".join(iter(lambda: client.recv(4096), b"")).endswith(b"waited")  # noqa: B023
    assert time.monotonic() - begin < 7


def test_each_command_is_known_here() -> None:
    """G6: what the page shows is run below; a new command needs a test."""
    assert COMMANDS == [
        "asgi-bridge serve shop:app --runner greenlet --patch",
        "uvicorn shop:app",
        "asgi-bridge serve shop:app --threads 8 --stream-limit 500",
        "asgi-bridge serve reports:app --timeout-request 1s",
        "curl http://127.0.0.1:8000/report",
        "Gateway Timeout",
        "asgi-bridge serve shop:app --runner greenlet --patch --control-socket /tmp/shop.ctl",
        "asgi-bridge ctl --socket /tmp/shop.ctl threads",
        "asgi-bridge ctl --socket /tmp/shop.ctl top",
    ]
    assert {*FILES} == {"gunicorn.conf.py", "shop.py", "reports.py"}


def test_patch_by_the_command_line(start_host: StartHost, tmp_path: Path) -> None:
    """G6: an option, and the app as it is; the start says that it is patched."""
    host = start_host(command(tmp_path, COMMANDS[0]))
    wait_side_by_side(host)
    assert "serving shop:app (WSGI, greenlets, patched)" in host.log()


def test_patch_in_the_module_that_uvicorn_imports(start_host: StartHost, tmp_path: Path) -> None:
    """G6: the file of the page, as it is printed."""
    wait_side_by_side(start_host(command(tmp_path, COMMANDS[1], FILES["shop.py"])))


def test_patch_in_gunicorn_s_file(start_host: StartHost, tmp_path: Path) -> None:
    """G6 P10: two variables in `raw_env`; Gunicorn reads the file of that name by itself."""
    host = start_host(command(tmp_path, "gunicorn shop:app"))
    wait_side_by_side(host)
    assert re.search(r"serving .* \(WSGI, greenlets, patched\)", host.log())
    assert "settings from the environment: BRIDGE_RUNNER, BRIDGE_PATCH" in host.log()


def test_patch_in_django_s_settings(start_host: StartHost, tmp_path: Path) -> None:
    """G6: Django imports them before it does anything."""
    (tmp_path / "settings.py").write_text(
        "import bridge\nbridge.greenlet_patch()\n"
        "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'urls'\n"
    )
    (tmp_path / "urls.py").write_text(
        "import time\nfrom django.http import HttpResponse\nfrom django.urls import path\n"
        "def home(request):\n    time.sleep(0.1)\n    return HttpResponse('waited')\n"
        "urlpatterns = [path('', home)]\n"
    )
    line = "asgi-bridge serve wsgi --runner greenlet"
    (tmp_path / "wsgi.py").write_text(
        "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    wait_side_by_side(start_host(command(tmp_path, line)))


def test_event_streams_beside_eight_threads(start_host: StartHost, tmp_path: Path) -> None:
    """R1: 300 streams are more than the usual limit, and normal requests are answered."""
    host = start_host(command(tmp_path, COMMANDS[2]))
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(limits=limits, timeout=60) as client:
        streams = [
            client.send(client.build_request("GET", host.url("/events")), stream=True)
            for _ in range(300)
        ]
        assert {each.status_code for each in streams} == {200}
        assert httpx.get(host.url(), timeout=60).text == "waited"
        for each in streams:
            each.close()


def test_a_request_that_hangs(start_host: StartHost, tmp_path: Path) -> None:
    """R2: the app is told, cleans up, and the client gets a 504."""
    host = start_host(command(tmp_path, COMMANDS[3]))
    response = httpx.get(host.url("/report"), timeout=60)
    assert (response.status_code, response.text.strip()) == (504, COMMANDS[5])
    eventually(lambda: re.search(r"report given up in month [1-9]", host.log()))
    assert "longer than timeout_request (1 s), and is ended; it is at " in host.log()


@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
def test_a_request_that_computes_for_ever(
    start_host: StartHost, tmp_path: Path, runner: str
) -> None:
    """R2: it is ended at its next line under each runner, and the server goes on."""
    line = f"asgi-bridge serve shop:app --runner {runner} --timeout-request 1s"
    host = start_host(command(tmp_path, line))
    assert httpx.get(host.url("/stuck"), timeout=60).status_code == 504
    assert httpx.get(host.url(), timeout=60).text == "waited"


def test_the_app_s_answer_after_the_time_is_dropped(start_host: StartHost, tmp_path: Path) -> None:
    """R2: an error handler for everything sees the error, and its page does not leave."""
    handler = "app.errorhandler(Exception)(lambda error: (repr(error), 500))\n"
    line = "asgi-bridge serve shop:app --timeout-request 1s --runner greenlet --patch"
    host = start_host(command(tmp_path, line, SHOP + handler))
    response = httpx.get(host.url("/stuck"), timeout=60)
    assert (response.status_code, response.text.strip()) == (504, "Gateway Timeout")


def test_what_blocks_and_what_waits(start_host: StartHost, tmp_path: Path) -> None:
    """R3 O2: a server with one worker takes orders at a named socket."""
    host = start_host(command(tmp_path, COMMANDS[6]))
    with httpx.stream("GET", host.url("/events"), timeout=60) as response:
        pieces = response.iter_bytes()
        next(pieces)
        shown = [order(tmp_path, line) for line in COMMANDS[7:]]
    assert "greenlet GET /events of the app, waiting" in shown[0]
    assert "shop.py" in shown[0]
    assert "LAG" in shown[1]


def order(folder: Path, line: str) -> str:
    """What `asgi-bridge ctl` prints."""
    _, *arguments = shlex.split(line.replace("/tmp/shop.ctl", f"{folder}/ctl"))
    return subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout


def test_the_defaults_on_the_page() -> None:
    """G8: the sizes that it names are those of the server."""
    done = subprocess.run(
        [sys.executable, "-c", "import json, bridge.server as s; c = s.Config(); print(json.dumps("
         "[c.threads, c.stream_limit, c.queue_limit, c.stream_after, c.max_blocking_time]))"],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
    )  # fmt: skip
    threads, streams, queue, after, blocking = json.loads(done.stdout)
    assert f"`--threads` ({threads}), and `--stream-limit` ({streams}) streams" in PAGE
    assert f"`--queue-limit` ({queue}), streams among them" in PAGE
    assert f"`--stream-after` ({after:g} s)" in PAGE
    assert f"`--max-blocking-time` ({blocking} s)" in PAGE
