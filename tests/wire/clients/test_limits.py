"""Every limit and every timeout, each with its status (S2, S5, S6)."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.apps.known_bytes import CONTENT
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, Response, chunked, request
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


@pytest.fixture(params=[ASGI, WSGI], ids=["asgi", "wsgi"])
def narrow(shared_host: StartHost, request: pytest.FixtureRequest) -> Host:
    limits = ("--limit-request-line=100", "--limit-header-size=300", "--limit-header-count=3")
    return shared_host(bridge(request.param, *limits, "--limit-body-size=1000", *QUIET))


def answer(host: Host, data: bytes) -> Response:
    """The only answer to `data`, on a connection that is closed behind it."""
    with Client(host.connect()) as client:
        client.send_pieces([data])
        (response,) = client.responses()
        assert response.closes
        return response


# ------------------------------------------------------------- sizes


def test_sizes_of_heads(narrow: Host) -> None:
    """S2: request line 414, header section 431, number of fields 431; each can be set."""
    assert answer(narrow, request("/" + "a" * 90)).status == 414
    assert answer(narrow, request("/", "X: " + "a" * 300)).status == 431
    assert answer(narrow, request("/", "A: 1", "B: 2", "C: 3")).status == 431
    assert answer(narrow, request("/", "A: 1", "Connection: close")).status == 200


def test_refusal_says_why(narrow: Host) -> None:
    """S6: a refusal is small, and tells the client what was wrong, but no options of ours."""
    response = answer(narrow, request("/", "X: " + "a" * 300))
    assert response.value(b"content-type") == b"text/plain; charset=utf-8"
    assert response.body.startswith(b"Request Header Fields Too Large: read ")
    assert b"--" not in response.body
    assert len(response.body) < 200


def test_refusal_is_logged(narrow: Host) -> None:
    """S6: at level debug a refusal is logged with peer, reason and the first bytes, escaped."""
    said = narrow.log_size()
    with Client(narrow.connect()) as client:
        port = client.sock.getsockname()[1]
        client.send(b"GET /\x1b[31m\r\n HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
    line = next(line for line in narrow.log(said).splitlines() if "refused" in line)
    assert f"127.0.0.1:{port}" in line
    assert "malformed request line" in line
    assert r"it began with b'GET /\x1b[31m" in line


def test_refusals_of_bodies_are_logged(narrow: Host) -> None:
    """S6: so is one of a body, with the request that it belongs to."""
    said = narrow.log_size()
    announced = request("/length?announced", "Content-Length: 1001", method="POST")
    head = request("/length?\xe9", "Transfer-Encoding: chunked", method="POST")
    for data in (announced, head + chunked(b"x" * 1001)):
        with Client(narrow.connect()) as client:
            client.send(data)
            assert client.response().status == 413
    lines = [line for line in narrow.log(said).splitlines() if "refused (413 " in line]
    assert [r"began with b'POST /length?announced'" in line for line in lines] == [True, False]
    assert r"read more than 1000 bytes of body" in lines[1]
    assert r"began with b'POST /length?\\xe9'" in lines[1]


@pytest.mark.parametrize(
    "data",
    [
        request("/length", "Content-Length: 1001", method="POST"),
        request("/length", "Content-Length: 1001", "Expect: 100-continue", method="POST"),
        request("/length", method="POST", body=b"x" * 1001),
        request("/length", "Transfer-Encoding: chunked", method="POST") + chunked(b"x" * 1001),
        request("/length", "Transfer-Encoding: chunked", method="POST")
        + chunked(*[b"x" * 10] * 101),
        request("/length", "Content-Length: 99999999999999", method="POST") + b"x" * 100_000,
        request("/ignore", "Content-Length: 99999999999999", method="POST"),
    ],
)
def test_size_of_body(narrow: Host, data: bytes) -> None:
    """S2: a body beyond the limit is a 413, before the app runs where its length says so."""
    with Client(narrow.connect()) as client:
        client.send_pieces([data])
        response = client.response()
        assert (response.status, response.informational) == (413, [])


def test_body_at_the_limit(narrow: Host) -> None:
    """S2: a body of just the limit passes, with or without a length."""
    with Client(narrow.connect()) as client:
        client.send(request("/length", method="POST", body=b"x" * 1000))
        assert client.response().body == b"1000"
        client.send(request("/length", "Transfer-Encoding: chunked", method="POST"))
        client.send(chunked(b"x" * 999, b"x"))
        assert client.response().body == b"1000"


def test_refused_body_that_is_being_sent(narrow: Host) -> None:
    """S2: a client that sends on gets its 413 all the same, no reset that hides it."""
    with Client(narrow.connect()) as client:
        client.send(request("/length", "Content-Length: 30000000", method="POST"))
        client.send_pieces(b"x" * 65536 for _ in range(450))
        assert client.response().status == 413


# ------------------------------------------------------------- times


def test_slow_head(impatient: Host) -> None:
    """S2: a head that is not whole in time is a 408, counted from its first byte, not renewed."""
    with Client(impatient.connect()) as client:
        begun = time.monotonic()
        client.send_pieces(([b"GET / HTTP/1.1\r\n"] + [b"X: 1\r\n"] * 60), pause=0.1)
        assert client.response().status == 408
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("begin", [b"\r", b"\r\n\r", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n\r"])
def test_head_that_does_not_go_on(impatient: Host, begin: bytes) -> None:
    """S2: the same for a client that sends any part of a head, and then nothing."""
    with Client(impatient.connect()) as client:
        client.send(begin)
        assert client.response().status == 408


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
@pytest.mark.parametrize("first", [b"x" * 70_000, b"x" * 10, b""])
def test_silence_in_a_body(shared_host: StartHost, app: str, first: bytes) -> None:
    """S2: between two pieces of a body there is a limit, however much has come already."""
    host = shared_host(bridge(app, "--timeout-body-idle=1", "--limit-body-pace=0", *QUIET))
    expect = () if first else ("Expect: 100-continue",)
    with Client(host.connect()) as client:
        client.send(request("/length", "Content-Length: 90000", *expect, method="POST") + first)
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
@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"", request("/small?3")),
        (b"GET /small?3 HTTP/1.1\r\n", b"Host: x\r\n\r\n"),
        (request("/small?3", "Content-Length: 9", method="POST") + b"x", b"y" * 8),
        (request("/small?9"), request("/small?3")),
    ],
    ids=["fresh", "head", "body", "idle"],
)
def test_late_loop(shared_host: StartHost, app: str, first: bytes, rest: bytes) -> None:
    """S2: the time in which the loop itself was busy is not held against a client."""
    host = shared_host(bridge(f"tests.support.apps.known_bytes:{app}", *IMPATIENT))
    with Client(host.connect()) as client, Client(host.connect()) as other:
        client.send(first)
        if b"\r\n\r\n" in first and rest.startswith(b"GET"):
            client.response()
        other.get("/small?1")  # what came before this has been read
        said = host.log_size()
        other.send(request("/hold?4000"))
        eventually(lambda: "held" in host.log(said))
        client.send(rest)
        assert client.response().status == 200


def test_stalled_file_of_a_thread(start_host: StartHost, tmp_path: Path) -> None:
    """S2 W41: a thread that sends a file is free again when its client takes nothing of it."""
    (tmp_path / "file").write_bytes(CONTENT)
    command = bridge("tests.support.apps.known_bytes:wsgi", "--threads=1", *IMPATIENT)
    host = start_host(command.with_env(FILES_PATH=str(tmp_path / "file")))
    with Client(host.connect()) as stalled, Client(host.connect()) as other:
        stalled.send(request("/file"))
        assert stalled.line() == b"HTTP/1.1 200 OK"
        other.sock.settimeout(30)
        assert other.get("/small?3").body == CONTENT[:3]
        assert "WARNING: cut the response to GET /file " in host.log()


@pytest.mark.parametrize("resets", [False, True])
def test_client_leaves_a_file_of_a_thread(
    start_host: StartHost, tmp_path: Path, resets: bool
) -> None:
    """W40 W41: the thread is free at once when its client leaves in the middle of a file."""
    (tmp_path / "file").write_bytes(CONTENT)
    command = bridge("tests.support.apps.known_bytes:wsgi", "--threads=1", *QUIET)
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


# ------------------------------------------------------------- how many at a time


@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_requests_at_a_time(tmp_path: Path, start_host: StartHost, app: str) -> None:
    """S2: requests beyond the limit are a 503 with Retry-After; idle connections do not count."""
    host = start_host(bridge(app, "--limit-requests=2", "--threads=4", *QUIET))
    idle = [Client(host.connect()) for _ in range(5)]
    for client in idle:
        assert client.get("/").status == 200
    for client in idle[:2]:
        client.send(request(f"/until?{tmp_path}/note"))
    for client in idle[2:]:
        response = client.get("/")
        assert (response.status, response.value(b"retry-after")) == (503, b"1")
        assert response.closes
    for client in idle[:2]:
        client.reset()
    (tmp_path / "note").touch()  # it is there until the host has ended
    eventually(lambda: once(host) == 200)  # when the app is done, though nobody heard its answer
    for client in idle:
        client.sock.close()


def once(host: Host) -> int:
    """The status of one request on a connection of its own."""
    with Client(host.connect()) as client:
        return client.get("/").status


@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_places_are_given_back(start_host: StartHost, app: str) -> None:
    """S2: however requests end, their places come free: errors, refusals, clients that leave."""
    host = start_host(bridge(app, "--limit-requests=3", "--limit-body-size=100", *QUIET))
    ways = [
        request("/nothing/here", "X-Forwarded-Proto: http", "Forwarded: proto=https"),
        request("/fail?before"),
        request("/fail?streaming"),
        request("/length", "Content-Length: 1000", method="POST"),
        request("/length", "Content-Length: 10", method="POST") + b"123",
        request("/length", "Transfer-Encoding: chunked", method="POST") + b"x",
        request("/pour?places"),
        request("/ignore", "Content-Length: 10", method="POST"),
        request("/") + request("/") + b"GET",
    ]
    for data in ways * 3:
        with Client(host.connect()) as client:
            client.sock.settimeout(0.1)
            client.send_pieces([data])
            try:
                client.sock.recv(1)
            except TimeoutError:
                pass  # it waits for more of the body
            client.reset()

    def three_at_once() -> bool:
        clients = [Client(host.connect()) for _ in range(3)]
        for client in clients:
            client.send(request("/sleep?0.3"))
        statuses = [client.response().status for client in clients]
        for client in clients:
            client.sock.close()
        return statuses == [200] * 3

    eventually(three_at_once, timeout=20)


@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_connections(start_host: StartHost, app: str) -> None:
    """S2: connections beyond the limit are answered 503 and closed; closing one makes room."""
    host = start_host(bridge(app, "--limit-connections=3", *QUIET))
    clients: list[Client] = []

    def three_are_let_in() -> bool:
        clients.append(Client(host.connect()))
        if clients[-1].get("/").status != 200:
            clients.pop().sock.close()  # an earlier connection's end has not been seen yet
        return len(clients) == 3

    eventually(three_are_let_in)
    with Client(host.connect()) as beyond:
        (response,) = beyond.responses()
        assert (response.status, response.value(b"retry-after")) == (503, b"1")
    clients.pop().sock.close()
    eventually(lambda: once(host) == 200)
    for client in clients:
        assert client.get("/").status == 200
        client.sock.close()


# ------------------------------------------------------------- threads and connections


@pytest.fixture
def threads(shared_host: StartHost) -> Host:
    return shared_host(bridge(WSGI, "--threads=4", *QUIET))


@pytest.fixture(params=["thread", "greenlet", "inline"])
def runner(shared_host: StartHost, request: pytest.FixtureRequest) -> Host:
    return shared_host(bridge(WSGI, "--threads=4", f"--runner={request.param}", *QUIET))


def counted(host: Host, name: str) -> int:
    with Client(host.connect()) as client:
        return int(json.loads(client.get("/events").body).get(name, 0))


def test_thousand_aborted_downloads(runner: Host) -> None:
    """S12: after 1,000 downloads that were given up, every one is closed, and all is well (W40)."""
    for _ in range(250):
        clients = [Client(runner.connect()) for _ in range(4)]
        for client in clients:
            client.send(request("/pour"))
        for client in clients:
            client.sock.recv(1000)
            client.reset()
    with Client(runner.connect()) as client:
        assert client.get("/").body == b"hello"
    eventually(lambda: counted(runner, "closed") == counted(runner, "begun") == 1000)


def test_large_pipelined_responses_are_not_mixed(runner: Host) -> None:
    """S1: responses that do not fit into the socket leave whole and in order, threads or not."""
    with Client(runner.connect()) as client:
        client.send(b"".join(request(f"/numbered?{k}") for k in range(12)))
        for k in range(12):
            assert client.response().body == str(k).zfill(8).encode() * 50_000
            time.sleep(0.02)  # a slow reader, so that bytes wait on the other side


def test_client_leaves_while_its_thread_runs(threads: Host) -> None:
    """S12: a connection that ends while a thread works for it harms nobody."""
    before = counted(threads, "holding")
    clients = [Client(threads.connect()) for _ in range(3)]
    for client, target in zip(clients, ("/hold", "/hold_stream", "/hold"), strict=True):
        client.send(request(target))
    eventually(lambda: counted(threads, "holding") == before + 3)
    for client in clients:
        client.reset()
    with Client(threads.connect()) as client:
        assert client.get("/release").body == b"hello"
        assert client.get("/").body == b"hello"


def test_unread_bodies_of_wsgi_apps(runner: Host) -> None:
    """S3: what a WSGI app left unread is taken out of the way before the next request (W26)."""
    with Client(runner.connect()) as client:
        for size in (1, 1000, 60_000):
            client.send(request("/ignore", method="POST", body=b"x" * size) + request("/"))
            assert client.response().body == b"ignored"
            assert client.response().body == b"hello"


def test_error_in_a_wsgi_body(runner: Host) -> None:
    """S14: an error in the middle of a WSGI body: the end never comes, HTTP/1.0 is reset."""
    with Client(runner.connect()) as client:
        client.send(request("/fail"))
        with pytest.raises(ConnectionError):
            client.response()
    with Client(runner.connect()) as client:
        client.send(b"GET /fail HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.response()
