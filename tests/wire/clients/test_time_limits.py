"""Every time limit, with its status, and what it is not counted for (S2, S5)."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.apps.known_bytes import CONTENT
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, request
from tests.support.waiting import eventually

ASGI = "tests.support.apps.http_rules:app"
WSGI = "tests.support.apps.wsgi_ways:app"
QUIET = ("--no-access-log", "--log-level=debug")

#: Short times, so that a test can wait for them; the sweep looks once a second.
IMPATIENT = (
    "--timeout-header=1", "--timeout-keep-alive=2", "--timeout-body=1", "--timeout-write=1",
    "--limit-body-pace=1000", *QUIET,
)  # fmt: skip


@pytest.fixture(params=[ASGI, WSGI], ids=["asgi", "wsgi"])
def impatient(shared_host: StartHost, request: pytest.FixtureRequest) -> Host:
    return shared_host(bridge(request.param, *IMPATIENT))


def test_slow_head(impatient: Host) -> None:
    """S2: a head that is not whole in time is a 408, counted from its first byte, not renewed."""
    with Client(impatient.connect()) as client:
        begun = time.monotonic()
        client.send_pieces(([b"GET / HTTP/1.1\r\n"] + [b"X: 1\r\n"] * 60), pause=0.1)
        assert client.response().status == 408
        assert time.monotonic() - begun < 10


def test_head_that_does_not_go_on(impatient: Host) -> None:
    """S2: the same for clients that send any part of a head, and then nothing."""
    with ExitStack() as stack:
        clients = []
        for begin in (b"\r", b"\r\n\r", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n\r"):
            clients.append(stack.enter_context(Client(impatient.connect())))
            clients[-1].send(begin)
        assert [client.response().status for client in clients] == [408] * 4


def test_blank_line_in_two_pieces(impatient: Host) -> None:
    """S2: a blank line is no beginning of a head, even where its LF comes later (RFC 9112 §2.2)."""
    with Client(impatient.connect()) as client:
        client.send_pieces([b"\r", b"\n"], pause=0.1)
        assert client.is_closed()


def test_slow_head_behind_a_request(impatient: Host) -> None:
    """S2: the same for the second request of a connection."""
    with Client(impatient.connect()) as client:
        client.send(request("/ignore") + b"GET")
        assert client.response().status == 200
        assert client.response().status == 408


def test_idle(impatient: Host) -> None:
    """S2: a connection without a request is closed without a word after the keep-alive time."""
    with Client(impatient.connect()) as fresh, Client(impatient.connect()) as used:
        used.get("/ignore")
        assert fresh.is_closed()
        assert used.is_closed()


def test_busy_is_not_idle(impatient: Host) -> None:
    """S2: the keep-alive time does not run while a request is answered."""
    with Client(impatient.connect()) as client:
        assert client.get("/sleep?3.2").status == 200


def test_slow_body(impatient: Host) -> None:
    """S2: a body that comes slower than the minimum pace is a 408."""
    with Client(impatient.connect()) as client:
        client.send(request("/length", "Content-Length: 5000", method="POST"))
        client.send_pieces([b"x"] * 60, pause=0.1)
        assert client.response().status == 408


def test_steady_body(impatient: Host) -> None:
    """S2: a body that keeps the pace may take its time."""
    with Client(impatient.connect()) as client:
        client.send(request("/length", "Content-Length: 6000", method="POST"))
        assert client.send_pieces([b"x" * 200] * 29, pause=0.1)
        client.send(b"x" * 200)
        assert client.response().body == b"6000"


@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_silence_in_a_body(shared_host: StartHost, app: str) -> None:
    """S2: between two pieces of a body there is a limit, however much has come already."""
    host = shared_host(bridge(app, "--timeout-body-idle=1", "--limit-body-pace=0", *QUIET))
    with ExitStack() as stack:
        clients = []
        for first in (b"x" * 70_000, b"x" * 10, b""):
            expect = () if first else ("Expect: 100-continue",)
            head = request("/length", "Content-Length: 90000", *expect, method="POST")
            clients.append(stack.enter_context(Client(host.connect())))
            clients[-1].send(head + first)
        for client in clients:
            response = client.response()
            assert (response.status, response.closes) == (408, True)


@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_pace_of_a_body_that_began_fast(shared_host: StartHost, app: str) -> None:
    """S2: who has sent much of a body at once may not be slow for that much longer."""
    host = shared_host(bridge(app, *IMPATIENT))
    with Client(host.connect()) as client:
        client.send(request("/length", "Content-Length: 900000", method="POST"))
        client.send(b"x" * 500_000)  # of which 1,000 a second are enough
        client.send_pieces([b"x"] * 200, pause=0.1)
        assert client.response().status == 408


@pytest.mark.parametrize("begin", [b"", b"x" * 100])
def test_who_expects_to_go_on_holds_no_thread(start_host: StartHost, begin: bytes) -> None:
    """W25: with Expect, too, no thread is taken before the beginning of the body is here."""
    host = start_host(bridge(WSGI, "--threads=1", *QUIET))
    fields = ("Expect: 100-continue", "Content-Length: 500")
    with Client(host.connect()) as silent, Client(host.connect()) as other:
        silent.send(request("/length", *fields, method="POST") + begin)
        assert begin or silent.line() == b"HTTP/1.1 100 Continue"
        assert other.get("/").body == b"hello"
        begin or silent.line()
        silent.send(b"x" * (500 - len(begin)))
        assert silent.response().body == b"500"


def test_slow_app_is_not_a_slow_body(shared_host: StartHost) -> None:
    """S2: the time in which the app does not read is not held against the client."""
    host = shared_host(bridge(ASGI, *IMPATIENT))
    with Client(host.connect()) as client:
        size = 20_000_000
        client.sock.settimeout(0.5)
        client.send(request("/late_reader", f"Content-Length: {size}", method="POST"))
        sent = 0
        try:
            while sent < size:
                sent += client.sock.send(b"x" * (size - sent))
        except TimeoutError:
            pass
        assert 0 < sent < size
        time.sleep(4)  # far beyond the pace: that is what is tested
        with Client(host.connect()) as other:
            other.get("/release")
        client.sock.settimeout(10)
        client.send(b"x" * (size - sent))
        assert client.response().body == b"%d" % size


def test_waiting_for_continue_is_not_a_slow_body(shared_host: StartHost) -> None:
    """S5: a client that waits for 100 Continue is not slow, however long the app takes."""
    host = shared_host(bridge(ASGI, *IMPATIENT))
    with Client(host.connect()) as client:
        fields = ("Expect: 100-continue", "Content-Length: 5")
        client.send(request("/late_reader", *fields, method="POST"))
        time.sleep(4)  # far beyond the pace: that is what is tested
        with Client(host.connect()) as other:
            other.get("/release")
        assert client.line() == b"HTTP/1.1 100 Continue"
        client.send(b"hello")
        client.line()
        assert client.response().body == b"5"


def test_stalled_reader(impatient: Host) -> None:
    """S2: a client that takes nothing of its response for long is cut off."""
    with Client(impatient.connect()) as client:
        client.send(request("/pour?stalled"))
        port = client.sock.getsockname()[1]
        told = f"WARNING: cut the response to GET /pour?stalled for 127.0.0.1:{port}: "
        eventually(lambda: told in impatient.log(), timeout=20)
        (line,) = [line for line in impatient.log().splitlines() if told in line]
        assert re.search(
            r": [0-9]+ bytes waited for the client, and it took nothing for [0-9]+ s; "
            r"raise --timeout-write to allow that$",
            line,
        )
        assert len(client.everything()) < 20_000_000


def test_slow_reader(impatient: Host) -> None:
    """S2: a client that reads slowly, but reads, is not cut off."""
    with Client(impatient.connect()) as client:
        client.send(request("/pour?reading"))
        for _ in range(30):
            assert client.exactly(100_000)
            time.sleep(0.1)  # a slow client: that is what is tested


@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_pace_of_a_reader(shared_host: StartHost, app: str) -> None:
    """S2: a client that takes a little, again and again, is cut off below the minimum pace."""
    host = shared_host(bridge(app, *IMPATIENT, "--limit-write-pace=1G"))
    with Client(host.connect()) as client:
        client.send(request("/pour?slowly"))
        port = client.sock.getsockname()[1]
        told = f"WARNING: cut the response to GET /pour?slowly for 127.0.0.1:{port}: "
        deadline = time.monotonic() + 30
        while told not in host.log() and time.monotonic() < deadline:
            client.exactly(1_000_000)
            time.sleep(0.2)  # a slow client: that is what is tested
        (line,) = [line for line in host.log().splitlines() if told in line]
        assert re.search(r"took [0-9]+ bytes in [0-9]+ s; lower --limit-write-pace ", line)


def test_stalled_file(shared_host: StartHost, tmp_path_factory: pytest.TempPathFactory) -> None:
    """S2: the same for a client that takes nothing of a file."""
    host = shared_host(bridge(ASGI, *IMPATIENT, "--pathsend"))
    path = tmp_path_factory.mktemp("files") / "large"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with Client(host.connect()) as client:
        said = host.log_size()
        client.send(request(f"/path?{path}"))
        eventually(lambda: "it took nothing for " in host.log(said), timeout=20)
        assert len(client.everything()) < 50_000_000


@pytest.mark.parametrize("app", ["asgi", "wsgi"])
def test_late_loop(shared_host: StartHost, app: str) -> None:
    """S2: the time in which the loop itself was busy is not held against any client.

    One has said nothing yet, one is in a head, one in a body, and one between two requests.
    """
    host = shared_host(bridge(f"tests.support.apps.known_bytes:{app}", *IMPATIENT))
    late = [
        (b"", request("/small?3")),
        (b"GET /small?3 HTTP/1.1\r\n", b"Host: x\r\n\r\n"),
        (request("/small?3", "Content-Length: 9", method="POST") + b"x", b"y" * 8),
        (request("/small?9"), request("/small?3")),
    ]
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(host.connect())) for _ in late]
        other = stack.enter_context(Client(host.connect()))
        for client, (first, _) in zip(clients, late, strict=True):
            client.send(first)
        assert clients[-1].response().status == 200
        other.get("/small?1")  # what came before this has been read
        said = host.log_size()
        other.send(request("/hold?4000"))
        eventually(lambda: "held" in host.log(said))
        for client, (_, rest) in zip(clients, late, strict=True):
            client.send(rest)
        assert [client.response().status for client in clients] == [200] * 4


def test_stalled_file_of_a_thread(start_host: StartHost, tmp_path: Path) -> None:
    """S2 W41: a thread that sends a file is free again when its client takes nothing of it."""
    (tmp_path / "file").write_bytes(CONTENT)
    command = bridge(
        "tests.support.apps.known_bytes:wsgi", "--threads=1", "--stream-limit=0", *IMPATIENT
    )
    host = start_host(command.with_env(FILES_PATH=str(tmp_path / "file")))
    with Client(host.connect()) as stalled, Client(host.connect()) as other:
        stalled.send(request("/file"))
        assert stalled.line() == b"HTTP/1.1 200 OK"
        other.sock.settimeout(30)
        assert other.get("/small?3").body == CONTENT[:3]
        eventually(lambda: "WARNING: cut the response to GET /file " in host.log())


@pytest.mark.parametrize("resets", [False, True])
def test_client_leaves_a_file_of_a_thread(
    start_host: StartHost, tmp_path: Path, resets: bool
) -> None:
    """W40 W41: the thread is free at once when its client leaves in the middle of a file."""
    (tmp_path / "file").write_bytes(CONTENT)
    command = bridge(
        "tests.support.apps.known_bytes:wsgi", "--threads=1", "--stream-limit=0", *QUIET
    )
    host = start_host(command.with_env(FILES_PATH=str(tmp_path / "file")))
    for _ in range(5):
        with Client(host.connect()) as client, Client(host.connect()) as other:
            client.send(request("/file"))
            assert client.line() == b"HTTP/1.1 200 OK"
            client.reset() if resets else client.sock.close()
            assert other.get("/small?3").body == CONTENT[:3]


def test_file_that_shrinks(start_host: StartHost, tmp_path: Path) -> None:
    """S10 W41: a file that ends before its time is an error, and its client can tell."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    command = bridge("tests.support.apps.known_bytes:wsgi", "--threads=1", *QUIET)
    host = start_host(command.with_env(FILES_PATH=str(path)))
    with Client(host.connect()) as client, Client(host.connect()) as other:
        client.send(request("/file"))
        assert client.line() == b"HTTP/1.1 200 OK"
        os.truncate(path, 1000)
        assert len(client.everything()) < len(CONTENT)
        assert other.get("/small?3").body == CONTENT[:3]
    assert "bytes before its time" in host.log()
