"""Server-sent events through WSGI hosts: many at once, and no faster than their clients read."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Host

APP = "tests.contract.asgi_on_wsgi.event_stream:application"
LIMIT = 30.0

#: name -> command, and how many streams it is asked for at once.
SERVERS = {
    "gthread": (hosts.gunicorn(APP, worker="gthread", threads=24), 20),
    "gevent": (hosts.gunicorn(APP, worker="gevent"), 100),
}


@pytest.fixture(params=list(SERVERS))
def served(request: pytest.FixtureRequest, shared_host: StartHost) -> tuple[Host, int]:
    command, streams = SERVERS[request.param]
    return shared_host(command), streams


def figures(host: Host) -> Any:
    with urlopen(host.url("/figures"), timeout=LIMIT) as response:
        return json.load(response)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def subscribe(host: Host, path: str) -> socket.socket:
    raw = host.connect(timeout=LIMIT)
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
    return raw


def test_many_streams(served: tuple[Host, int]) -> None:
    """A20 A33 A35: many streams at once in one process, each alive, and all ended when left."""
    host, streams = served
    with ExitStack() as opened:
        clients = [opened.enter_context(subscribe(host, "/ticks")) for _ in range(streams)]
        readers = [opened.enter_context(client.makefile("rb")) for client in clients]
        for _ in range(3):
            for reader in readers:
                while b"data: tick" not in reader.readline():
                    pass
        told = figures(host)
        assert told["streams"] == streams
    until(lambda: figures(host)["streams"] == 0)


def test_gevent_needs_few_threads(shared_host: StartHost) -> None:
    """A33: on gevent the streams share the worker's thread and the loop's."""
    host = shared_host(SERVERS["gevent"][0])
    with ExitStack() as opened:
        clients = [opened.enter_context(subscribe(host, "/ticks")) for _ in range(50)]
        for client in clients:
            client.recv(10)
        assert figures(host)["threads"] < 20


def test_back_pressure(served: tuple[Host, int]) -> None:
    """A20: streams whose clients do not read stop the app, and go on when they read."""
    host, _ = served
    with ExitStack() as opened:
        clients = [opened.enter_context(subscribe(host, "/flood")) for _ in range(10)]
        for client in clients:
            client.recv(1)
        seen = [-1, figures(host)["bytes"]]

        def stands_still() -> bool:
            time.sleep(0.1)  # the pace of looking
            seen.append(figures(host)["bytes"])
            return seen[-1] == seen[-2] == seen[-3]

        until(stands_still)
        for client in clients:
            left = 3_000_000
            while left > 0:
                left -= len(client.recv(65536))
        assert figures(host)["bytes"] > seen[-1]
    until(lambda: figures(host)["streams"] == 0)
