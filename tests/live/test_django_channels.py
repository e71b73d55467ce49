"""A project with Django Channels runs unchanged, and answers as it does elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.browser import CHROMIUM, browse
from tests.support.hosts import BRIDGE_WORKER, ROOT, Command, Host
from tests.support.redis import needs_redis, redis_server, redis_url
from tests.support.waiting import eventually

pytest.importorskip("channels", reason="needs channels, of the extra test")

__all__ = ["redis_server"]
pytestmark = needs_redis

PROJECT = "examples/django_channels"
APP = "chatsite.asgi:application"
THEIRS = "channels_redis.core.RedisChannelLayer"


def commands() -> list[Any]:
    """The project on our server, on our worker, and as it runs without us."""
    ours = [
        hosts.bridge(f"--app-dir={PROJECT}", APP),
        hosts.gunicorn(APP, f"--chdir={PROJECT}", worker=BRIDGE_WORKER),
        hosts.uvicorn(APP, f"--app-dir={PROJECT}"),
    ]
    theirs = hosts.uvicorn(APP, f"--app-dir={PROJECT}").with_env(CHANNEL_LAYER=THEIRS)
    daphne = ("-m", "daphne", "-p", "{port}", "-b", hosts.ADDRESS, APP)
    twisted = hosts.python("daphne", *daphne).with_env(CHANNEL_LAYER=THEIRS, PYTHONPATH=PROJECT)
    return [
        *(pytest.param(each, id=each.name) for each in ours),
        pytest.param(theirs, id="uvicorn-channels_redis"),
        pytest.param(twisted, id="daphne-channels_redis"),
    ]


@pytest.fixture
def serve(start_host: StartHost, redis_server: Host) -> StartHost:
    """Start the project with the Redis of this module."""

    def start(command: Command) -> Host:
        for part in (*command.argv, command.env.get("CHANNEL_LAYER", "")):
            if part == "daphne" or part == THEIRS:
                package = part.partition(".")[0]
                pytest.importorskip(package, reason=f"needs {package}, of the extra test")
        url = redis_url(redis_server)
        if command.env.get("CHANNEL_LAYER") == THEIRS:
            # It waits for 5 s at a time, and redis-py gives up after 5 s: one of both comes first.
            url += "?socket_timeout=60"
        return start_host(command.with_env(REDIS_URL=url))

    return start


@contextmanager
def chat(host: Host, path: str) -> Iterator[ClientConnection]:
    """A WebSocket of the project."""
    with connect(host.url(path, "ws"), proxy=None) as socket:
        yield socket


def heard(socket: ClientConnection) -> Any:
    """What comes next by it."""
    return json.loads(socket.recv(timeout=20))


@contextmanager
def worker(redis: Host, layer: str | None) -> Iterator[None]:
    """The project's worker: Channels' own command."""
    env = {**os.environ, "REDIS_URL": redis_url(redis), "PYTHONPATH": str(ROOT)}
    if layer is not None:
        env["CHANNEL_LAYER"] = layer
    process = subprocess.Popen(
        [sys.executable, "manage.py", "runworker", "tally"], cwd=ROOT / PROJECT, env=env
    )
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("command", commands())
def test_the_project_answers_alike_everywhere(
    command: Command, serve: StartHost, redis_server: Host
) -> None:
    """L15: rooms, a refusal, an event stream, a view that publishes, and a worker."""
    host = serve(command)
    with worker(redis_server, command.env.get("CHANNEL_LAYER")):
        talk(host)


def talk(host: Host) -> None:
    """Use all that the project has; its worker runs."""
    assert "<title>Chat</title>" in httpx.get(host.url("/"), timeout=30).text
    with pytest.raises(InvalidStatus, match="403"), chat(host, "/chat/closed"):
        pass
    with (
        chat(host, "/chat/one") as ann,
        chat(host, "/chat/one") as bob,
        chat(host, "/chat/two") as eve,
        httpx.stream("GET", host.url("/events/one"), timeout=20) as events,
    ):
        for socket, room in ((ann, "one"), (bob, "one"), (eve, "two")):
            assert heard(socket) == {"joined": room, "as": "guest"}
        assert events.headers["content-type"] == "text/event-stream"
        lines = events.iter_lines()
        assert [next(lines), next(lines)] == [": here", ""]

        ann.send(json.dumps({"text": "Grüße"}))
        data = {"text": "from a view", "room": "one"}
        assert heard(ann) == heard(bob) == {"said": "Grüße"}
        assert httpx.post(host.url("/announce"), data=data).status_code == 202
        assert heard(ann) == heard(bob) == {"said": "from a view"}
        streamed = [next(lines) for _ in range(4)]
        assert [json.loads(line[6:])["said"] for line in streamed[::2]] == ["Grüße", "from a view"]

        ann.close()
        bob.send(json.dumps({"text": "/count three words here"}))
        assert heard(bob) == {"words": 3}
        eve.send(json.dumps({"text": "alone"}))
        assert heard(eve) == {"said": "alone"}
    with chat(host, "/announcements") as one, chat(host, "/announcements") as two:
        one.send("from a consumer")
        assert one.recv(timeout=20) == two.recv(timeout=20) == "from a consumer"
        httpx.post(host.url("/announce"), data={"text": "from a view"})
        assert one.recv(timeout=20) == two.recv(timeout=20) == "from a view"


def test_two_processes_are_one_chat(serve: StartHost) -> None:
    """L15: on two ports, with one Redis: what a client of one says reaches those of the other."""
    here = serve(hosts.bridge(f"--app-dir={PROJECT}", APP))
    there = serve(hosts.gunicorn(APP, f"--chdir={PROJECT}", worker=BRIDGE_WORKER))
    with chat(here, "/chat/lobby") as ann, chat(there, "/chat/lobby") as bob:
        assert heard(ann) == heard(bob) == {"joined": "lobby", "as": "guest"}
        for turn in range(20):
            speaker = (ann, bob)[turn % 2]
            speaker.send(json.dumps({"text": f"line {turn}"}))
            assert heard(ann) == heard(bob) == {"said": f"line {turn}"}
        httpx.post(there.url("/announce"), data={"text": "to both", "room": "lobby"})
        assert heard(ann) == heard(bob) == {"said": "to both"}
        there.kill()
        ann.send(json.dumps({"text": "alone now"}))
        assert heard(ann) == {"said": "alone now"}


def test_behind_a_gateway(start_host: StartHost, redis_server: Host) -> None:
    """L15 L9: a gateway holds the sockets, and two processes without a port run the project."""
    url = redis_url(redis_server)
    gateway = hosts.python("gateway", "-m", "bridge", "gateway", "--channels", url, "--port={port}")
    env = {**os.environ, "REDIS_URL": url, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "bridge", "worker", APP, "--channels", url, "--app-dir", PROJECT]
    host = start_host(gateway)
    with ExitStack() as running, worker(redis_server, None):
        for _ in range(2):
            process = running.enter_context(subprocess.Popen(argv, cwd=ROOT, env=env))
            running.callback(process.terminate)
        talk(host)


def test_many_clients_of_a_room(serve: StartHost) -> None:
    """L15: 100 clients on two servers hear all that any of them says; who leaves hinders nobody."""
    servers = [serve(hosts.bridge(f"--app-dir={PROJECT}", APP)) for _ in range(2)]

    def visit(number: int) -> ClientConnection:
        socket = opened.enter_context(chat(servers[number % 2], "/chat/hall"))
        assert heard(socket)["joined"] == "hall"
        return socket

    def listen(socket: ClientConnection) -> list[str]:
        return sorted(heard(socket)["said"] for _ in range(5))

    with ThreadPoolExecutor(20) as pool, ExitStack() as opened:
        sockets = list(pool.map(visit, range(100)))
        for leaving in sockets[80:]:
            leaving.socket.close()
        for speaker in range(5):
            sockets[speaker].send(json.dumps({"text": f"by {speaker}"}))
        for found in pool.map(listen, sockets[:80]):
            assert found == [f"by {speaker}" for speaker in range(5)]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
def test_in_a_browser(serve: StartHost) -> None:
    """L15: the page itself, in a browser: what is said, and what is announced, is shown."""
    host = serve(hosts.bridge(f"--app-dir={PROJECT}", APP))
    with browse() as page:
        page.open(host.url("/"))
        page.wait_for("lines.textContent.includes('You are in lobby')")
        page.evaluate("say.text.value = 'from the page'; say.requestSubmit()")
        page.wait_for("lines.textContent.includes('from the page')")

        def announced() -> bool:
            """Whether it shows what is announced: it may not be in that group yet."""
            httpx.post(host.url("/announce"), data={"text": "the news"})
            return bool(page.evaluate("lines.textContent.includes('the news')"))

        eventually(announced)
