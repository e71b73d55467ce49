"""What counts as a failure, and of whom: the same on our server and on others."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.exchanges import Answer, Client
from tests.support.hosts import Command, Host
from tests.support.waiting import eventually

APP = "tests.support.apps.outcomes:cutover"
FORMAT = "--access-log-format=%(s)s %(U)s %(route)s %(side)s"
HOSTS: dict[str, Command] = {
    "bridge": hosts.bridge(APP, FORMAT),
    "uvicorn": hosts.uvicorn(APP, "--no-access-log"),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    return shared_host(HOSTS[request.param])


@pytest.fixture
def client(host: Host) -> Iterator[Client]:
    client = Client(host.address, host.port)
    yield client
    client.close()


def heard(client: Client, route: str) -> list[list[Any]]:
    """What the canary has heard of a route."""
    told: list[list[Any]] = client.ask("GET", "/heard").json()
    return [rest for name, *rest in told if name == route]


def ask_cut(host: Host, path: str, side: str) -> bytes:
    """Ask on a connection of its own, and return all that comes, whole or not."""
    with socket.create_connection((host.address, host.port), 20) as sock:
        sock.sendall(
            b"GET %b HTTP/1.1\r\nHost: a\r\nX-Side: %b\r\n\r\n" % (path.encode(), side.encode())
        )
        return b"".join(iter(lambda: sock.recv(65536), b""))


def field(answer: Answer, name: str) -> list[str]:
    return [value for key, value in answer.fields if key == name]


def test_a_client_that_leaves_is_a_failure_of_nobody(host: Host, client: Client) -> None:
    """M21: whatever the app makes of it, so nobody outside can trip a gate."""
    with socket.create_connection((host.address, host.port), 20) as sock:
        sock.sendall(b"GET /leaves HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: heard(client, "leaves"))
    assert heard(client, "leaves") == [["new", 0, "timed"]]


def test_a_response_that_breaks_off_is_a_failure(host: Host, client: Client) -> None:
    """M21: of each side, and with or without an exception."""
    for path, side in (("/breaks", "new"), ("/breaks", "old"), ("/ends-early", "new")):
        assert b"200 OK" in ask_cut(host, path, side)
    eventually(lambda: len(heard(client, "breaks") + heard(client, "ends-early")) == 3)
    assert heard(client, "breaks") == [["new", 500, "timed"], ["old", 500, "timed"]]
    assert heard(client, "ends-early") == [["new", 500, "timed"]]


def test_a_websocket_whose_client_leaves_is_no_failure(host: Host, client: Client) -> None:
    """M2, M21: one that raises is; its duration says nothing; the log has its route and side."""
    with connect(host.url("/plain", "ws"), proxy=None):
        pass
    if host.name == "uvicorn":  # our server has answered, and judges no more
        eventually(lambda: heard(client, "plain"))
        assert heard(client, "plain") == [["new", 101, None]]
    else:
        eventually(lambda: "101 /plain plain new" in host.log())


def test_a_client_that_sends_slowly_makes_no_app_slow(host: Host, client: Client) -> None:
    """M21: so that nobody outside can trip a gate, or blind it: what the app waits is not its."""
    head = b"POST /reads HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host.address, host.port), 20) as sock:
        began = time.perf_counter()
        sock.sendall(head + b"a")
        eventually(lambda: heard(client, "reads") == [["waits"]])
        since = time.perf_counter()
        time.sleep(0.2)
        waited = time.perf_counter() - since
        sock.sendall(b"b")
        assert b"200 OK" in b"".join(iter(lambda: sock.recv(65536), b""))
        took = time.perf_counter() - began
    eventually(lambda: len(heard(client, "reads")) == 2)
    (_, (side, status, seconds)) = heard(client, "reads")
    assert (side, status) == ("new", 200)
    assert 0 < seconds < took - waited


def test_an_app_that_hangs_has_failed_before_it_ends(host: Host, client: Client) -> None:
    """M21: after the time of the gate; what it answers later is not counted again."""
    with socket.create_connection((host.address, host.port), 20) as sock:
        sock.sendall(b"GET /hangs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        eventually(lambda: client.ask("GET", "/plain").status == 200 and heard(client, "hangs"))
        assert client.ask("GET", "/release").status == 200
        assert b"200 OK" in b"".join(iter(lambda: sock.recv(65536), b""))
    assert heard(client, "hangs") == [["new", 504, "timed"]]


def test_what_is_rescued_is_one_failure_and_says_who_answered(host: Host, client: Client) -> None:
    """M2, M22: also if the old app fails as well."""
    answer = client.ask("GET", "/fails")
    assert (answer.status, field(answer, "x-served-by"), answer.body) == (200, ["old"], b"old")
    answer = client.ask("GET", "/both-fail")
    assert (answer.status, field(answer, "x-served-by")) == (500, ["old"])
    eventually(lambda: len(heard(client, "fails") + heard(client, "both-fail")) == 4)
    for route in ("fails", "both-fail"):
        assert heard(client, route) == [["rescued"], ["new", 500, "timed"]]
    if host.name == "bridge":
        eventually(lambda: "200 /fails fails old" in host.log())
        eventually(lambda: "500 /both-fail both-fail old" in host.log())


def test_only_the_cutover_says_who_answered(client: Client) -> None:
    """M2: the app's own field of that name is replaced, others stay."""
    for side in ("old", "new"):
        answer = client.ask("GET", "/plain", headers=[("X-Side", side)])
        assert (field(answer, "x-served-by"), field(answer, "x-other")) == ([side], ["1"])
    answer = client.ask("GET", "/nobody")
    assert field(answer, "x-served-by") == ["old"]


@pytest.mark.parametrize(
    ("path", "cookies", "cache"),
    [
        ("/public", [], ["public, max-age=60"]),
        ("/private", ["bridge_canary=7"], ["private, max-age=60"]),
        ("/plain", ["bridge_canary=7"], ["private"]),
    ],
)
@pytest.mark.parametrize("side", ["old", "new"])
def test_no_shared_cache_keeps_a_cookie(
    client: Client, side: str, path: str, cookies: list[str], cache: list[str]
) -> None:
    """M20: what caches may keep for all has none, and what the app leaves open is private."""
    answer = client.ask("GET", path, headers=[("X-Side", side), ("X-New-Here", "1")])
    assert (field(answer, "set-cookie"), field(answer, "cache-control")) == (cookies, cache)
    assert field(client.ask("GET", path, headers=[("X-Side", side)]), "set-cookie") == []
