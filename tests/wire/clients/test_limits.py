"""Every limit of size and number, each with its status (S2, S6)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, Response, chunked, request
from tests.support.waiting import eventually

ASGI = "tests.support.apps.http_rules:app"
WSGI = "tests.support.apps.wsgi_ways:app"
QUIET = ("--no-access-log", "--log-level=debug")


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
