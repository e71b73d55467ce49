"""The same HTTP/1.1 over TLS, where only the transport can write (S10, S12, S31)."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.conftest import StartHost
from tests.support.corpus import cases, outcome
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, Closed, request
from tests.support.waiting import eventually

ASGI = "tests.support.apps.http_rules:app"
WSGI = "tests.support.apps.wsgi_ways:app"
ECHO = ["tests.support.apps.echo:app", "tests.support.apps.echo:wsgi_app"]

Certified = tuple[tuple[str, ...], ssl.SSLContext]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """The server's options, and a context that trusts its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return (f"--ssl-certfile={folder / 'server.pem'}", "--no-access-log"), context


def connect(host: Host, certified: Certified) -> Client:
    plain = host.connect()
    return Client(certified[1].wrap_socket(plain, server_hostname="localhost"))


@pytest.fixture
def client(shared_host: StartHost, certified: Certified) -> Iterator[Client]:
    with connect(shared_host(bridge(ASGI, *certified[0], "--pathsend")), certified) as client:
        yield client


@pytest.fixture
def threads(shared_host: StartHost, certified: Certified) -> Host:
    return shared_host(bridge(WSGI, *certified[0], "--threads=4"))


@pytest.mark.parametrize("app", ECHO)
def test_corpus_on_tls(shared_host: StartHost, certified: Certified, app: str) -> None:
    """S3: the answers to the corpus are the same on TLS."""
    host = shared_host(bridge(app, *certified[0]))
    for case in cases():
        if case.answers and len(case.data) < 4000:
            with connect(host, certified) as client:
                client.send(case.data)
                got = [outcome(client.response(method)) for method in case.methods]
            for one, allowed in zip(got, case.answers, strict=True):
                assert one == allowed or one in allowed.split(" | "), (case, got)


def test_pathsend_on_tls(client: Client, tmp_path: Path) -> None:
    """S10: on TLS, too, a file is sent whole, with other answers before and behind it."""
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 20_000)
    client.send(request("/respond?piece=" + "y" * 5000) + request(f"/path?{path}") + request("/"))
    assert client.response().body == b"y" * 5000
    assert client.response().body == path.read_bytes()
    assert client.response().body == b"hello"
    with pytest.raises((Closed, ssl.SSLError)):
        client.get(f"/path?{path}&5120001")


def test_refused_upload_on_tls(shared_host: StartHost, certified: Certified) -> None:
    """S2: on TLS, too, a client that sends on gets its 413."""
    host = shared_host(bridge(ASGI, *certified[0], "--limit-body-size=1000"))
    with connect(host, certified) as client:
        client.send(request("/length", "Content-Length: 5000000", method="POST"))
        try:
            client.send_pieces(b"x" * 16384 for _ in range(300))
        except ssl.SSLError:
            pass
        assert client.response().status == 413


def test_large_responses_of_threads_on_tls(threads: Host, certified: Certified) -> None:
    """S1: on TLS threads leave all writing to the loop: large answers, in order, not mixed."""
    with connect(threads, certified) as client:
        client.send(b"".join(request(f"/numbered?{k}") for k in range(12)))
        for k in range(12):
            assert client.response().body == str(k).zfill(8).encode() * 50_000


def test_large_responses_of_the_loop_on_tls(client: Client) -> None:
    """S10: on TLS, too, large pieces and bodies in one piece leave whole, in order."""
    client.send(request("/gush?30000") + request("/sized?300000") * 2 + request("/"))
    assert client.response().body == b"." * 30_000 * 250
    for _ in range(2):
        assert client.response().body == bytes(range(250)) * 1200
    assert client.response().body == b"hello"


def test_aborted_downloads_on_tls(threads: Host, certified: Certified) -> None:
    """S12: downloads that are given up on TLS free their threads (W40)."""
    for _ in range(40):
        clients = [connect(threads, certified) for _ in range(4)]
        for client in clients:
            client.send(request("/pour"))
        for client in clients:
            client.sock.recv(1000)
            client.reset()
    with connect(threads, certified) as client:
        assert client.get("/").body == b"hello"
        eventually(lambda: counts(client) in ((160, 160),))


def counts(client: Client) -> tuple[int, int]:
    """How many downloads have begun, and how many were closed."""
    events = json.loads(client.get("/events").body)
    return events["begun"], events["closed"]


@pytest.mark.parametrize("app", [ASGI, WSGI], ids=["asgi", "wsgi"])
def test_stop_on_tls(start_host: StartHost, certified: Certified, app: str, tmp_path: Path) -> None:
    """P2: on TLS, too, what is in flight is answered, and idle connections hold nothing up."""
    host = start_host(bridge(app, *certified[0]))
    with connect(host, certified) as idle, connect(host, certified) as client:
        assert idle.get("/").status == 200
        client.send(request(f"/until?{tmp_path}/note"))
        assert idle.get("/").status == 200
        host.process.send_signal(signal.SIGTERM)
        assert idle.is_closed()
        (tmp_path / "note").touch()
        response = client.response()
        assert (response.status, response.closes) == (200, True)
        assert host.process.wait(10) == 0
