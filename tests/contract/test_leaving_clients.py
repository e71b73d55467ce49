"""Clients that leave, and what frameworks make of it (S12, A26): all is closed, and finished."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable

import pytest
import trustme

from tests.conftest import StartHost
from tests.support.apps.leaving import FRAMEWORKS
from tests.support.hosts import BRIDGE_WORKER, Host, bridge, gunicorn
from tests.support.raw import Client, request
from tests.support.waiting import eventually

APPS = "tests.support.apps.leaving"
WAYS = ["alone", "mounted", "worker", "tls", "wsgi"]
MANY = 3
#: Mounts of the frameworks that stop a view when its client has left.
STOP_VIEWS = ["/django", "/quart"]

Connect = Callable[[], Client]


class Place:
    """One framework on one host."""

    def __init__(self, host: Host, connect: Connect, prefix: str) -> None:
        self.host = host
        self.connect = connect
        self.prefix = prefix

    def seen(self, path: str = "/seen") -> dict[str, int]:
        with self.connect() as client:
            seen: dict[str, int] = json.loads(client.get(self.prefix + path).body)
        return seen

    def ask(self, path: str) -> Client:
        """A client whose request the app has begun to answer."""
        opened = self.seen()["opened"]
        client = self.connect()
        client.send(request(self.prefix + path))
        eventually(lambda: self.seen()["opened"] > opened)
        return client

    def all_is_done(self, before: dict[str, int], count: int) -> bool:
        return self.seen() == {name: number + count for name, number in before.items()}


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ssl.SSLContext]:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return f"--ssl-certfile={path}", context


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=FRAMEWORKS)
def place(
    request: pytest.FixtureRequest,
    way: str,
    shared_host: StartHost,
    certified: tuple[str, ssl.SSLContext],
) -> Place:
    option, context = certified
    command = {
        "alone": bridge(f"{APPS}:make_{request.param}", "--factory", "--no-access-log"),
        "mounted": bridge(f"{APPS}:make_mounted", "--factory", "--no-access-log"),
        "worker": gunicorn(f"{APPS}:make_mounted()", worker=BRIDGE_WORKER),
        "tls": bridge(f"{APPS}:make_mounted", "--factory", option, "--no-access-log"),
        "wsgi": gunicorn(f"{APPS}:make_wsgi()", threads=24),
    }[way]
    host = shared_host(command)

    def connect() -> Client:
        sock = host.connect()
        if way == "tls":
            return Client(context.wrap_socket(sock, server_hostname="localhost"))
        return Client(sock)

    return Place(host, connect, "" if way == "alone" else f"/{request.param}")


def leave_busy(place: Place) -> None:
    """In mid-stream, with much unread."""
    with place.ask("/busy") as client:
        client.more()


def leave_slow(place: Place) -> None:
    """While the app waits for what comes next."""
    with place.ask("/slow") as client:
        while b"first" not in client.data:
            client.data += client.more()


def test_a_client_leaves_a_stream(place: Place) -> None:
    """S12 A26: its body is closed, what comes after the response is done, and nothing is logged."""
    before, said = place.seen(), place.host.log_size()
    for _ in range(MANY):
        leave_slow(place)
        leave_busy(place)
    eventually(lambda: place.all_is_done(before, 2 * MANY), timeout=30)
    assert "Traceback" not in place.host.log(said)


def test_a_client_leaves_before_the_response(place: Place, way: str) -> None:
    """S12 A26: the framework finishes as it does for clients that stay, or stops the view."""
    before, said = place.seen(), place.host.log_size()
    clients = [place.ask("/late") for _ in range(MANY)]
    for client in clients:
        client.reset()
    if way == "wsgi" and place.prefix in STOP_VIEWS:
        # There, the host's thread looks for its client once a second.
        eventually(lambda: place.seen()["closed"] == before["closed"] + MANY)
    place.seen()
    place.seen("/release")
    eventually(lambda: place.all_is_done(before, MANY), timeout=30)
    assert "Traceback" not in place.host.log(said)
