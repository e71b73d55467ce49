"""A canary over the wire: the gate, the steps, the cookie, the rescue.

In one process of our server and of another one, and in several workers of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.exchanges import Answer, Client
from tests.support.hosts import Command, Host
from tests.support.waiting import eventually

APP = "tests.support.apps.canary:cutover"
HOSTS: dict[str, Command] = {
    "bridge": hosts.bridge(APP, "--no-access-log"),
    "workers": hosts.bridge(APP, "--no-access-log", "--workers=3"),
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


def side(answer: Answer) -> str:
    """Who answered."""
    (told,) = [value for name, value in answer.fields if name == "x-served-by"]
    return told


def cookie(answer: Answer) -> list[tuple[str, str]]:
    """The cookie that the answer sets, as a browser sends it back."""
    (value,) = [value for name, value in answer.fields if name == "set-cookie"]
    return [("Cookie", value.partition(";")[0])]


def test_a_new_app_that_fails_5_percent_is_taken_back(host: Host, client: Client) -> None:
    """M21: under load, within the window; the log says why, and the hook is called."""
    ended = monotonic() + 60
    while {side(client.ask("GET", "/worse")) for _ in range(50)} != {"old"}:
        assert monotonic() < ended
    eventually(lambda: "told of worse at 50 %" in host.log())
    if host.name == "bridge":  # uvicorn shows no other logs than its own
        assert "route worse: everything goes to the old app, 50 % were on the new one" in host.log()
    assert {client.ask("GET", "/worse").status for _ in range(50)} == {200}


def test_one_that_fails_as_often_as_the_old_one_stays(client: Client) -> None:
    """M21: both fail 5 % of 2,000 requests, and no gate breaks."""
    answers = [client.ask("GET", "/equal") for _ in range(2_000)]
    assert any(answer.status == 500 for answer in answers)
    assert {side(answer) for answer in answers[-50:]} == {"old", "new"}


def test_a_new_app_that_has_a_path_elsewhere_is_taken_back(host: Host, client: Client) -> None:
    """M21: it answers 404 where the old one has a page; the gate that limits this breaks."""
    ended = monotonic() + 60
    while {side(client.ask("GET", "/elsewhere")) for _ in range(50)} != {"old"}:
        assert monotonic() < ended
    eventually(lambda: "told of elsewhere at 50 %" in host.log())
    if host.name == "bridge":
        assert "an error of the client (4xx, such as 404) in the new app, 0.0 % of" in host.log()


def test_a_page_that_neither_app_has_takes_nobody_back(client: Client) -> None:
    """M21: both answer 404 to 300 requests, as bots ask for what is not there."""
    answers = [client.ask("GET", "/nobody-has") for _ in range(300)]
    assert {answer.status for answer in answers} == {404}
    assert {side(answer) for answer in answers[-50:]} == {"old", "new"}


def test_clients_keep_their_side_while_the_share_climbs(client: Client) -> None:
    """M20, M21: nobody goes back to the old app, and at the end all are on the new one."""
    firsts = [client.ask("GET", "/climbs") for _ in range(40)]
    known = [(cookie(answer), [side(answer)]) for answer in firsts]
    ended = monotonic() + 60
    while any(sides[-1] == "old" for _, sides in known):
        assert monotonic() < ended
        for fields, sides in known:
            answer = client.ask("GET", "/climbs", headers=fields)
            sides.append(side(answer))
            assert "set-cookie" not in dict(answer.fields)
    for _, sides in known:
        assert sides == sorted(sides, reverse=True)  # first old, then new
    assert any(sides[0] == "old" for _, sides in known)


def test_websockets_follow_their_client(host: Host, client: Client) -> None:
    """M20: a handshake goes where the pages of its client go, and can give it its place."""
    for _ in range(8):
        page = client.ask("GET", "/half")
        with connect(
            host.url("/half", "ws"), additional_headers=cookie(page), proxy=None
        ) as socket:
            assert socket.recv() == side(page)
    with connect(host.url("/half", "ws"), proxy=None) as socket:
        assert socket.response is not None
        place = socket.response.headers["set-cookie"].partition(";")[0]
        assert side(client.ask("GET", "/half", headers=[("Cookie", place)])) == socket.recv()


def test_a_request_that_the_new_app_fails_is_answered_by_the_old_one(client: Client) -> None:
    """M22: the client sees nothing of it, and a POST is not asked twice."""
    answer = client.ask("GET", "/rescued")
    assert (answer.status, side(answer), answer.body) == (200, "old", b"old")
    answer = client.ask("POST", "/rescued", b"")
    assert (answer.status, side(answer)) == (500, "new")


def test_an_old_app_whose_view_is_gone_hides_no_failure(host: Host, client: Client) -> None:
    """M22: the client gets a 500 of the new app, and no 404; the log has what it raised."""
    answer = client.ask("GET", "/gone")
    assert (answer.status, side(answer)) == (500, "new")
    eventually(lambda: "ValueError: always" in host.log())
