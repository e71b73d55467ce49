"""Forwarding headers, from a real connection to what an app is told."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support.hosts import BRIDGE_WORKER, ROOT, Command, Host, bridge, gunicorn, python
from tests.support.raw import Client

CONNECTION = "tests.support.apps.connection"
HEADERS = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


@pytest.fixture
def trusting(shared_host: StartHost) -> Host:
    return shared_host(bridge(f"{CONNECTION}:asgi"))


def test_a_trusted_proxy_is_believed(trusting: Host) -> None:
    """S32: loopback is trusted by default; without headers the connection speaks."""
    answer = httpx.get(trusting.url("/"), headers=HEADERS).json()
    assert answer["client"] == ["203.0.113.9", 0]
    assert answer["scheme"] == "https"
    plain = httpx.get(trusting.url("/")).json()
    assert plain["client"][0] == "127.0.0.1"
    assert plain["scheme"] == "http"


def test_one_connection_many_clients(trusting: Host) -> None:
    """S32: a proxy's connection carries requests of several clients, each told right."""
    with httpx.Client() as client:
        for at in range(1, 5):
            headers = {"Forwarded": f"for=203.0.113.{at};proto=https"}
            answer = client.get(trusting.url("/"), headers=headers).json()
            assert answer["client"] == [f"203.0.113.{at}", 0]
            assert client.get(trusting.url("/")).json()["client"][0] == "127.0.0.1"


def test_port(trusting: Host) -> None:
    """S32: X-Forwarded-Port is the port of the server that the client talks to."""
    headers = {**HEADERS, "X-Forwarded-Port": "443"}
    answer = httpx.get(trusting.url("/"), headers=headers).json()
    assert answer["server"] == ["127.0.0.1", 443]
    alone = httpx.get(trusting.url("/"), headers={"X-Forwarded-Port": "443"}).json()
    assert alone["server"] == ["127.0.0.1", 443]


def test_ssl_flag(trusting: Host) -> None:
    """S32: X-Forwarded-Ssl alone tells the scheme."""
    answer = httpx.get(trusting.url("/"), headers={"X-Forwarded-Ssl": "on"}).json()
    assert answer["scheme"] == "https"


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Proto": "https, http"},
        {"X-Forwarded-Proto": "gopher"},
        {"Forwarded": 'for="1.2.3.4'},
    ],
)
def test_contradictions(shared_host: StartHost, kind: str, headers: dict[str, str]) -> None:
    """S32: conflicting or malformed forwarding headers are a 400, and reach no app."""
    host = shared_host(bridge(f"{CONNECTION}:{kind}"))
    response = httpx.get(host.url("/"), headers=headers)
    assert response.status_code == 400
    assert httpx.get(host.url("/")).status_code == 200


def test_a_client_s_own_forwarded_is_not_read(start_host: StartHost, trusting: Host) -> None:
    """S32: `Forwarded` says nothing behind a proxy that writes X-Forwarded-For."""
    headers = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=192.0.2.1;proto=https"}
    answer = httpx.get(trusting.url("/"), headers=headers).json()
    assert (answer["client"], answer["scheme"]) == (["203.0.113.9", 0], "http")
    host = start_host(bridge(f"{CONNECTION}:asgi", "--forwarded-headers=forwarded"))
    answer = httpx.get(host.url("/"), headers=headers).json()
    assert (answer["client"], answer["scheme"]) == (["192.0.2.1", 0], "https")


def test_wsgi(start_host: StartHost) -> None:
    """S32: a WSGI app's environ says the same."""
    host = start_host(bridge(f"{CONNECTION}:wsgi"))
    with httpx.Client() as client:
        answer = client.get(host.url("/"), headers={**HEADERS, "X-Forwarded-Port": "443"}).json()
        assert answer["REMOTE_ADDR"] == "203.0.113.9"
        assert answer["wsgi.url_scheme"] == "https"
        assert answer["SERVER_PORT"] == "443"
        plain = client.get(host.url("/")).json()
        assert plain["REMOTE_ADDR"] == "127.0.0.1"
        assert plain["wsgi.url_scheme"] == "http"
        assert plain["SERVER_PORT"] == str(host.port)


@pytest.mark.parametrize(
    "options", [("--forwarded-allow-ips", "10.0.0.0/8"), ("--no-proxy-headers",)]
)
def test_strangers_are_not_believed(start_host: StartHost, options: tuple[str, ...]) -> None:
    """S32: from an address that is not trusted, the headers change nothing, broken or not."""
    host = start_host(bridge(f"{CONNECTION}:asgi", *options))
    for headers in (HEADERS, {"X-Forwarded-Proto": "gopher", "Forwarded": '"'}):
        answer = httpx.get(host.url("/"), headers=headers).json()
        assert answer["client"][0] == "127.0.0.1"
        assert answer["scheme"] == "http"


def test_a_proxy_on_a_unix_socket(start_host: StartHost, tmp_path: Path) -> None:
    """S32: a peer on a Unix socket is trusted where loopback is."""
    path = tmp_path / "app.sock"
    start_host(
        python(
            "bridge", "-m", "bridge", "serve", f"{CONNECTION}:asgi",
            "-b", "127.0.0.1:{port}", "-b", f"unix:{path}",
        )
    )  # fmt: skip
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        answer = client.get("http://localhost/", headers=HEADERS).json()
    assert answer["client"] == ["203.0.113.9", 0]
    assert answer["scheme"] == "https"


def test_a_proxy_on_an_inherited_unix_socket(tmp_path: Path) -> None:
    """S32: an inherited socket's own family tells that its peers are on a Unix socket."""
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        command = [sys.executable, "-m", "bridge", "serve", f"{CONNECTION}:asgi"]
        process = subprocess.Popen(
            [*command, "-b", f"fd://{sock.fileno()}"], pass_fds=(sock.fileno(),), cwd=ROOT
        )
        try:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=30) as client:
                answer = client.get("http://localhost/", headers=HEADERS).json()
        finally:
            process.terminate()
            assert process.wait(20) == 0
    assert (answer["client"], answer["scheme"]) == (["203.0.113.9", 0], "https")


BLOCKING = f"{CONNECTION}:blocking"
FORGED = b"GET /forged HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"


@pytest.mark.parametrize(
    "command",
    [
        bridge(BLOCKING),
        gunicorn(BLOCKING, "--forwarded-allow-ips=10.0.0.1", worker=BRIDGE_WORKER),
    ],
    ids=["bridge", "gunicorn"],
)
def test_a_client_that_has_reset_is_nobody(
    start_host: StartHost, command: Command, tmp_path: Path
) -> None:
    """S32: a TCP client whose address is gone before it is accepted is not served at all."""
    host = start_host(command)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with Client(host.connect()) as busy:
        busy.send(b"GET /block?%b HTTP/1.1\r\nHost: x\r\n\r\n" % bytes(fifo))
        with open(fifo, "w"):  # the loop waits from here on, till this is closed
            for _ in range(10):
                client = host.connect()
                client.sendall(FORGED)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
        busy.response()
        for _ in range(3):
            with Client(host.connect()) as other:
                assert b"203.0.113.9" not in other.get("/seen").body
