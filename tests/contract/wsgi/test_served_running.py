"""Threads, contexts, pools, and the loop within reach of the app; over the wire."""

from __future__ import annotations

import json
import select
import socket
import struct
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.contract.wsgi.conftest import RUNNERS, WAYS, eventually, happened, noted
from tests.support import hosts, raw
from tests.support.hosts import Host


def test_context(client: raw.Client, host: Host, name: str) -> None:
    """W50: one context and one thread for call, iteration and close; none leaks to the next."""
    for _ in range(3):
        response = client.get(f"/context?{name}")
        seen = json.loads(response.body[2:])
        assert seen == ["unset", "of this request True", "of this request True"]
    events = happened(host, name, "closed in the same thread")
    assert set(events) == {"closed in the same thread"}


@pytest.mark.parametrize("how", ["await_", "async_to_sync", "anyio"])
def test_waiting(client: raw.Client, way: str, how: str) -> None:
    """W51: an app awaits something on the server's own loop."""
    if way.endswith("inline"):
        return  # inline cannot: the loop stands still while the app runs
    response = client.get(f"/waits?{how}")
    assert (response.status, response.body) == (200, b"ran in MainThread")


@pytest.mark.parametrize("served", ["native-greenlet", "uvicorn-greenlet"])
@pytest.mark.parametrize("leaves", ["with RST", "with FIN"])
def test_waiting_for_nobody(served: str, leaves: str, shared_host: StartHost, name: str) -> None:
    """G4: a client that leaves is thrown into a greenlet that waits for something else."""
    host = shared_host(RUNNERS[served]())
    client = raw.Client(host.connect())
    client.send(raw.request(f"/waits_long?{name}"))
    happened(host, name, "waiting")
    if leaves == "with RST":
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()
    assert happened(host, name, "interrupted") == ["waiting", "interrupted"]


@pytest.mark.parametrize("served", [*WAYS])
def test_full_pool(served: str, shared_host: StartHost, name: str) -> None:
    """W52: beyond threads and queue a request is answered 503 with Retry-After, at once."""
    host = shared_host(WAYS[served]("one_thread"))
    clients = [raw.Client(host.connect()) for _ in range(4)]
    clients[0].send(raw.request(f"/slowly?{name}"))
    clients[0].line()  # it runs
    for client in clients[1:3]:
        client.send(raw.request("/hello"))
    # These two are queued; whoever comes now is too many.
    refused = eventually(lambda: _refused(clients[3]))
    assert refused.value(b"retry-after") == b"1"
    for client in clients:
        client.sock.close()
    eventually(lambda: _is_free(host))


@pytest.mark.parametrize("served", [*WAYS])
def test_a_queued_client_leaves(served: str, shared_host: StartHost, name: str) -> None:
    """W52: a request that waits for a thread gives its place back if its client leaves."""
    host = shared_host(WAYS[served]("one_thread"))
    running = raw.Client(host.connect())
    running.send(raw.request(f"/slowly?{name}"))
    running.line()
    leavers = [raw.Client(host.connect()) for _ in range(2)]
    for client in leavers:
        client.send(raw.request("/hello"))
    probe = raw.Client(host.connect())
    eventually(lambda: _refused(probe))  # the queue is full of them
    for client in leavers:
        client.sock.close()
    eventually(lambda: _queued(probe))
    running.sock.close()
    assert probe.response().body == b"Hello, world!"
    probe.sock.close()


def _queued(client: raw.Client) -> bool:
    """Ask; whether that waits for a thread. A 503 comes at once."""
    client.send(raw.request("/hello"))
    readable, _, _ = select.select([client.sock], [], [], 1)
    return not readable or client.response().status != 503


def _refused(client: raw.Client) -> raw.Response | None:
    client.send(raw.request("/hello"))
    response = client.response()
    return response if response.status == 503 else None


def _is_free(host: Host) -> bool:
    with raw.Client(host.connect()) as client:
        return client.get("/hello").status == 200


@pytest.mark.parametrize("served", [*WAYS])
def test_request_to_itself(served: str, shared_host: StartHost) -> None:
    """W53: an app that asks its own server, with no thread left, gets an answer that says so."""
    host = shared_host(WAYS[served]("one_thread"))
    with raw.Client(host.connect()) as client:
        client.send(raw.request("/ask_itself").replace(b"Host: test", _host_line(host)))
        body = client.response().body
    assert body.startswith(b"503 ")
    assert b"request to itself" in body


def test_request_to_itself_answered(thread_host: Host) -> None:
    """W53: with a thread left the app is answered by itself."""
    with raw.Client(thread_host.connect()) as client:
        client.send(raw.request("/ask_itself").replace(b"Host: test", _host_line(thread_host)))
        assert client.response().body == b"200 Hello, world!"


def _host_line(host: Host) -> bytes:
    return f"Host: {host.address}:{host.port}".encode()


def test_aborted_downloads(thread_host: Host, name: str) -> None:
    """W37, W40, W52: after many aborted downloads every thread is free, each was closed once."""
    count = 200
    for _ in range(count // 20):
        clients = [raw.Client(thread_host.connect()) for _ in range(20)]
        for client in clients:
            client.send(raw.request(f"/endless?{name}"))
        for number, client in enumerate(clients):
            client.sock.recv(1000)
            if number % 2:
                client.reset()
            client.sock.close()
    assert _is_free(thread_host)

    def closed() -> bool:
        events = noted(thread_host, name)["events"]
        return bool(events.count("opened") == len(events) / 2)

    eventually(closed)
    events = noted(thread_host, name)["events"]
    assert events.count("closed in the same thread") == len(events) / 2
    assert eventually(lambda: noted(thread_host)["stats"][0] == 1)


@pytest.mark.parametrize("served", [*WAYS])
def test_unix_socket(served: str, start_host: StartHost, tmp_path: Path) -> None:
    """W6: on a Unix socket SERVER_NAME and SERVER_PORT come from the Host field, as text."""
    import socket

    path = tmp_path / "socket"
    app = WAYS[served]("asgi").argv
    target = next(arg for arg in app if arg.startswith("tests.support"))
    flag = f"--uds={path}" if served == "uvicorn" else f"--bind=unix:{path}"
    module = ("uvicorn",) if served == "uvicorn" else ("bridge", "serve")
    command = hosts.python(served, "-m", *module, target, flag)
    # `hosts.start` waits for a TCP port; this one has none.
    process = hosts.subprocess.Popen(command.argv, cwd=command.cwd)
    try:
        eventually(path.exists)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        eventually(lambda: sock.connect_ex(str(path)) == 0)
        with raw.Client(sock) as client:
            noted = json.loads(client.get("/x").body)
    finally:
        process.terminate()
        process.wait(10)
    assert (noted["SERVER_NAME"], noted["SERVER_PORT"]) == ("test", "80")
    assert "REMOTE_ADDR" not in noted
