"""A cutover gives the same answers on our server, where it is taken apart, and on others."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.exchanges import Answer, Client
from tests.support.hosts import Command, Host

APP = "tests.support.apps.ramp"

HOSTS: dict[str, Command] = {
    "bridge": hosts.bridge(f"{APP}:app"),
    "bridge-asgi": hosts.bridge(f"{APP}:opaque_app"),
    "bridge-workers": hosts.bridge(f"{APP}:app", "--workers=2"),
    "uvicorn": hosts.uvicorn(f"{APP}:app"),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    return shared_host(HOSTS[request.param])


def ask(
    host: Host,
    method: str,
    path: str,
    body: bytes | None = None,
    name: str = "example.com",
    **fields: str,
) -> Answer:
    """One request on a connection of its own."""
    client = Client(host.address, host.port, name)
    try:
        return client.ask(method, path, body, headers=list(fields.items()))
    finally:
        client.close()


def field(answer: Answer, name: str) -> list[str]:
    return [value for key, value in answer.fields if key == name]


@pytest.mark.parametrize(
    ("method", "path", "side"),
    [
        ("GET", "/", "old"),
        ("GET", "/invoices", "new"),
        ("GET", "/invoices/7?x=1", "new"),
        ("HEAD", "/invoices/7", "new"),
        ("GET", "/%69nvoices/7", "new"),
        ("GET", "/invoices/%C3%BC", "new"),
        ("GET", "/invoices/7%2F8", "old"),
        ("GET", "/invoices/7/", "old"),
        ("GET", "//invoices/7", "old"),
        ("GET", "/Invoices/7", "old"),
        ("GET", "/posted", "old"),
        ("POST", "/posted", "new"),
        ("GET", "/kept/x/y", "old"),
        ("GET", "/none", "old"),
        ("GET", "/all", "new"),
    ],
)
def test_the_route_says_who_answers(host: Host, method: str, path: str, side: str) -> None:
    """M1, M2: by method and path; the answer says who it was."""
    body = b"sent" if method == "POST" else None
    answer = ask(host, method, path, body)
    assert answer.status == 200
    assert field(answer, "x-served-by") == [side]
    if method != "HEAD":
        told: dict[str, Any] = answer.json()
        assert told["side"] == side
        assert told["body"] == ("sent" if body else "")


def test_a_host_of_its_own(host: Host) -> None:
    """M1: a route may be for one host."""
    assert ask(host, "GET", "/x", name="new.example.com").json()["side"] == "new"
    assert ask(host, "GET", "/x", name="other.example.com").json()["side"] == "old"


@pytest.mark.parametrize(
    ("path", "status", "side"),
    [
        ("/unchanged", 304, "old"),
        ("/invoices/unchanged", 304, "new"),
        ("/broken", 500, "old"),
        ("/invoices/broken", 500, "new"),
    ],
)
def test_every_answer_says_who_gave_it(host: Host, path: str, status: int, side: str) -> None:
    """M2: errors and answers without a body do, too."""
    answer = ask(host, "GET", path)
    assert answer.status == status
    assert field(answer, "x-served-by") == [side]


def test_a_client_of_a_canary_keeps_its_side(host: Host) -> None:
    """M1: a cookie says where a client belongs; without one it is drawn anew."""
    first = ask(host, "GET", "/some")
    (cookie,) = field(first, "set-cookie")
    kept = cookie.partition(";")[0]
    for _ in range(5):
        again = ask(host, "GET", "/some", cookie=kept)
        assert again.json()["side"] == first.json()["side"]
        assert field(again, "set-cookie") == []


def test_websockets_follow_their_route(host: Host) -> None:
    """M1, M2: a handshake is a GET, and its answer says who it was, also if it is a refusal."""
    with connect(host.url("/invoices/7", "ws"), proxy=None) as socket:
        assert socket.recv() == '{"side":"new","path":"/invoices/7"}'
        assert socket.response is not None
        assert socket.response.headers["x-served-by"] == "new"
    for path, side in (("/invoices/refused", "new"), ("/old", "old")):
        with pytest.raises(InvalidStatus) as refused:
            connect(host.url(path, "ws"), proxy=None)
        assert refused.value.response.status_code == 403
        assert refused.value.response.headers.get_all("x-served-by") == [side]
