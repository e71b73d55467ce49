"""Streams of a Flask app beside its pool, over real sockets: nobody waits for their clients."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Command, Host
from tests.support.waiting import eventually

APP = "tests.support.apps.streams"
HOSTS = {
    "bridge": hosts.bridge(f"{APP}:app", "--threads=8", "--no-access-log"),
    "uvicorn": hosts.uvicorn(f"{APP}:asgi"),
}
#: Seconds: tells an app that starves, which answers when a client leaves, from one that does not.
STARVED = 2.0

each_host = pytest.mark.parametrize("command", HOSTS.values(), ids=HOSTS)


def get(host: Host, path: str) -> tuple[int, bytes]:
    """The status and the body that it answers."""
    connection = HTTPConnection(host.address, host.port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def health(host: Host) -> dict[str, Any]:
    """What the app says of its pool and its process."""
    status, body = get(host, "/health")
    assert status == 200, body
    said = json.loads(body)
    assert isinstance(said, dict)
    return said


def ask(host: Host, path: str, count: int, *, room: int | None = None) -> list[socket.socket]:
    """Send requests for `path` on so many connections, at once; `room`: bytes that each takes."""
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.settimeout(20)
        if room is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        client.connect((host.address, host.port))
        clients.append(client)
    for client in clients:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode())
    return clients


def read_until(client: socket.socket, text: bytes) -> bytes:
    """What it gets, up to `text`."""
    data = b""
    while text not in data:
        piece = client.recv(65536)
        assert piece, data
        data += piece
    return data


@contextmanager
def checked(host: Host) -> Iterator[list[float]]:
    """Check its health over and over meanwhile; how long each answer took."""
    took: list[float] = []
    begun: list[float] = []
    done, start = threading.Event(), time.perf_counter()

    def check() -> None:
        while not done.is_set():
            begin = time.perf_counter()
            begun.append(begin - start)
            try:
                assert get(host, "/health")[0] == 200
            except (OSError, AssertionError):
                took.append(float("inf"))
                return
            took.append(time.perf_counter() - begin)
            done.wait(0.005)

    thread = threading.Thread(target=check)
    thread.start()
    try:
        yield took
    finally:
        done.set()
        thread.join(30)
    slowest = sorted(zip(took, begun, strict=True), reverse=True)
    told = ", ".join(f"{each * 1000:.1f} ms (at {when:.2f} s)" for each, when in slowest[:5])
    middle = slowest[len(slowest) // 2][0]
    print(f"{host.name}: {len(took)} health checks, half within {middle * 1000:.1f} ms; {told}")


def is_as_before(host: Host, before: dict[str, Any]) -> bool:
    """Whether its threads and descriptors are back; up to 8 threads may wait for requests."""
    now = health(host)
    return bool(
        (now["streams"], now["busy"]) == (0, 1)
        and now["threads"] <= before["threads"] + 8
        and now["descriptors"] <= before["descriptors"]
    )


@each_host
def test_event_streams(command: Command, start_host: StartHost) -> None:
    """R1: with 8 threads and 100 event streams, a health check is answered all the time."""
    host = start_host(command)
    before, memory = health(host), []
    for _ in range(2):
        with checked(host) as took:
            clients = ask(host, "/events", 100)
            for client in clients:
                assert b"200 OK" in read_until(client, b"an event")
            eventually(lambda: health(host)["streams"] == 100)
            for client in clients:  # they all go on
                read_until(client, b"an event")
            for client in clients:
                client.close()
            eventually(lambda: is_as_before(host, before))
        assert max(took) < STARVED
        memory.append(health(host)["memory"])
    assert memory[1] - memory[0] < 20_000_000
    assert health(host)["rejected"] == 0


@pytest.mark.parametrize("path", ["/generated", "/file"])
@each_host
def test_downloads_that_nobody_reads(command: Command, path: str, start_host: StartHost) -> None:
    """R1: neither do 40 clients that do not read their downloads of 100 MB stop it."""
    host = start_host(command)
    before = health(host)
    with checked(host) as took:
        clients = ask(host, path, 40, room=16 * 1024)
        eventually(lambda: health(host)["streams"] == 40)
        for client in clients[::2]:
            client.close()
        length = 0
        while length < 1_000_000:  # another reads after all
            length += len(clients[1].recv(65536))
        for client in clients[1::2]:
            client.close()
        eventually(lambda: is_as_before(host, before))
    assert max(took) < STARVED
    assert health(host)["memory"] - before["memory"] < 50_000_000


@each_host
def test_stuck(command: Command, start_host: StartHost) -> None:
    """R1: streams that never go on, and a `close()` that blocks, hold no place either."""
    host = start_host(command)
    before = health(host)
    with checked(host) as took:
        stuck, closing = ask(host, "/stuck", 10), ask(host, "/stuck-in-close", 10)
        for client in closing:
            read_until(client, b"0\r\n\r\n")
        eventually(lambda: health(host)["streams"] == 20)
        for client in (*stuck[::2], *closing):
            client.close()
        assert get(host, "/release") == (200, b"released")
        for client in stuck[1::2]:
            read_until(client, b"0\r\n\r\n")
            client.close()
        eventually(lambda: is_as_before(host, before))
    assert max(took) < STARVED


def test_beyond_the_limit(start_host: StartHost) -> None:
    """R1: of 300 streams as many run as may beside the pool and in it; all others get a 503."""
    host = start_host(hosts.bridge(f"{APP}:app", "--threads=8", "--stream-limit=256"))
    before = health(host)
    clients = ask(host, "/events", 300)
    heads = [read_until(client, b"\r\n\r\n") for client in clients]
    streams = [client for client, head in zip(clients, heads, strict=True) if b" 200 " in head]
    refused = [head for head in heads if b" 503 " in head]
    assert (len(streams), len(refused)) == (264, 36)
    assert all(b"retry-after: 1\r\n" in head.lower() for head in refused)
    assert get(host, "/health")[0] == 503
    eventually(lambda: "stream_limit" in host.log())
    for client in streams[:20]:
        client.close()
    eventually(lambda: get(host, "/health")[0] == 200)
    assert health(host)["rejected"] >= 37
    for client in clients:
        client.close()
    eventually(lambda: is_as_before(host, before))


def test_stop(start_host: StartHost) -> None:
    """R1, W54: at its end the server cuts streams beside the pool, and does not wait for ever."""
    options = ("--threads=2", "--timeout-graceful-shutdown=0.5")
    host = start_host(hosts.bridge(f"{APP}:app", *options))
    clients = ask(host, "/events", 10) + ask(host, "/stuck", 10)
    for client in clients:
        read_until(client, b"\r\n\r\n")
    eventually(lambda: health(host)["streams"] >= 18)
    host.stop()
    for client in clients:
        with pytest.raises((AssertionError, ConnectionError)):
            read_until(client, b"0\r\n\r\n")
        client.close()
    assert "Traceback" not in host.log()
