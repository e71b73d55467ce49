"""A dispatcher gives the same answers wherever it runs.

On our server it is taken apart into handlers; as an ordinary ASGI app it runs there too, and on
uvicorn and hypercorn; and through `AsgiToWsgi` on gunicorn.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.exchanges import Answer, Client
from tests.support.hosts import Command, Host
from tests.support.websocket import status_of_handshake

APP = "tests.support.apps.mounted"

HOSTS: dict[str, Command] = {
    "bridge": hosts.bridge(f"{APP}:app"),
    "bridge-asgi": hosts.bridge(f"{APP}:opaque_app"),
    "uvicorn": hosts.uvicorn(f"{APP}:app"),
    "hypercorn": hosts.hypercorn(f"{APP}:app"),
    "gunicorn": hosts.gunicorn(f"{APP}:wsgi_app"),
    "gunicorn-gevent": hosts.gunicorn(f"{APP}:wsgi_app", worker="gevent"),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    return shared_host(HOSTS[request.param])


def ask(host: Host, method: str, path: str, *more: Any, **fields: str) -> Answer:
    """One request on a connection of its own."""
    client = Client(host.address, host.port)
    try:
        return client.ask(method, path, *more, headers=list(fields.items()))
    finally:
        client.close()


def told(host: Host, path: str, *more: Any, method: str = "GET", **fields: str) -> Any:
    """What a child tells."""
    answer = ask(host, method, path, *more, **fields)
    assert answer.status == 200, answer
    return answer.json()


LATIN = "/Ã¼"  # the two bytes of an UTF-8 ü, as text of a WSGI environ


@pytest.mark.parametrize(
    ("path", "name", "place"),
    [
        ("/asgi", "asgi", ["/asgi", "/asgi"]),
        ("/asgi/x%20y?q", "asgi", ["/asgi", "/asgi/x y"]),
        ("/asgi/%C3%BC", "asgi", ["/asgi", "/asgi/ü"]),
        ("/asgi2/x", "asgi2", ["/asgi2", "/asgi2/x"]),
        ("/wsgi", "wsgi", ["/wsgi", ""]),
        ("/wsgi/", "wsgi", ["/wsgi", "/"]),
        ("/wsgi/%C3%BC", "wsgi", ["/wsgi", LATIN]),
        ("/wsgi/%FF", "wsgi", ["/wsgi", "/\xff"]),
        ("/%77sgi/x", "wsgi", ["/wsgi", "/x"]),
        ("/wsgi%2Fx", "wsgi", ["/wsgi", "/x"]),
        ("/deep/wsgi/x", "deep wsgi", ["/deep/wsgi", "/x"]),
        ("/deep", "deep", ["/deep", "/deep"]),
        ("/deep/wsgix", "deep", ["/deep", "/deep/wsgix"]),
        ("/keep/x", "keep", ["", "/keep/x"]),
        ("/wsgix", "middle", ["", "/wsgix"]),
        ("/asgi22", "middle", ["", "/asgi22"]),
        ("//wsgi", "middle", ["", "//wsgi"]),
        ("/old", "old", ["", "/old"]),
    ],
)
def test_each_child_is_found_and_told_its_place(
    host: Host, path: str, name: str, place: list[str]
) -> None:
    """D1 D2 D6: the longest prefix at a segment boundary, decoded; places of nested ones add up."""
    assert told(host, path) == {"name": name, "place": place}


def test_hosts_and_predicates_choose_too(host: Host) -> None:
    """D1: by the Host field, and by what a webob.Request says."""
    assert told(host, "/post/x", b"", method="POST")["name"] == "post"
    assert told(host, "/post/x")["name"] == "middle"
    client = Client(host.address, host.port, name="API.example.com:8000")
    try:
        answers = [client.ask("GET", path).json() for path in ("/x", "/wsgi/x")]
    finally:
        client.close()
    assert answers == [
        {"name": "by host", "place": ["", "/x"]},
        {"name": "by host", "place": ["", "/wsgi/x"]},
    ]


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
@pytest.mark.parametrize("path", ["/asgi", "/wsgi", "/deep/wsgi", "/gone"])
def test_bodies_reach_the_child(host: Host, path: str, size: int) -> None:
    """D2 D5: also the last of a fallback, after others have read the body and refused."""
    body = b"0123456789" * (size // 10) + b"x" * (size % 10)
    digest = hashlib.sha256(body).hexdigest()[:8]
    assert told(host, path, body, method="POST")["body"] == [size, digest]


def test_each_child_has_its_own_state(host: Host) -> None:
    """D3 D5: lifespans run, of nested children and of a fallback's too."""
    states = [told(host, path) for path in ("/live/state", "/deep/live/state", "/state")]
    assert states == [{"live": "up"}, {"deep": "up"}, {"new": "up"}]


def test_a_fallback_asks_the_next_app(host: Host) -> None:
    """D5: a 404 and a 405 of the new app are not seen."""
    assert told(host, "/nothing")["name"] == "middle"
    assert told(host, "/state", b"x", method="POST")["name"] == "middle"
    assert told(host, "/gone")["name"] == "old"


ONLY = {
    "bridge": hosts.bridge(f"{APP}:only"),
    "bridge-asgi": hosts.bridge(f"{APP}:opaque_only"),
    "uvicorn": hosts.uvicorn(f"{APP}:only"),
    "gunicorn": hosts.gunicorn(f"{APP}:wsgi_only"),
}


@pytest.mark.parametrize("command", ONLY.values(), ids=ONLY)
def test_no_match_is_a_404_in_the_preferred_type(command: Command, shared_host: StartHost) -> None:
    """D7: for what is mounted nowhere, with and without a body."""
    host = shared_host(command)
    page = ask(host, "GET", "/x", Accept="text/html")
    data = ask(host, "POST", "/onlyx", b"body", Accept="application/json")
    head = ask(host, "HEAD", "/", Accept="text/html")
    assert (page.status, data.status, head.status) == (404, 404, 404)
    assert b"<title>404 Not Found</title>" in page.body
    assert data.json()["title"] == "Not Found"
    assert (head.body, head.length) == (b"", page.length)
    assert told(host, "/only")["name"] == "only"


@pytest.mark.parametrize("app", ["app", "opaque_app"])
def test_a_root_path_of_the_server_comes_first(app: str, shared_host: StartHost) -> None:
    """D1: below ``--root-path``, which requests may carry or not, on both ways of our server."""
    host = shared_host(hosts.bridge(f"{APP}:{app}", "--root-path=/base"))
    assert told(host, "/base/wsgi/x")["place"] == ["/base/wsgi", "/x"]
    assert told(host, "/base/asgi/x")["place"] == ["/base/asgi", "/base/asgi/x"]
    assert told(host, "/base/deep/wsgi/x")["place"] == ["/base/deep/wsgi", "/x"]
    assert told(host, "/wsgi/x")["place"] == ["/base/wsgi", "/x"]
    assert told(host, "/asgi/x")["place"] == ["/base/asgi", "/base/asgi/x"]


SOCKETS = [name for name in HOSTS if name != "gunicorn"]


@pytest.mark.parametrize("name", SOCKETS)
def test_websockets_go_to_the_child_or_are_refused(name: str, shared_host: StartHost) -> None:
    """D4: an ASGI child gets them; a WSGI child, and no child, refuse with 403."""
    host = shared_host(HOSTS[name])
    with connect(host.url("/deep/x", "ws"), proxy=None) as socket:
        assert json.loads(socket.recv(timeout=10))["place"] == ["/deep", "/deep/x"]
    for path in ("/wsgi", "/deep/wsgi", "/live/nothing"):
        with pytest.raises(InvalidStatus) as refused:
            connect(host.url(path, "ws"), proxy=None)
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/broken", "/chain"])
@pytest.mark.parametrize("name", SOCKETS)
def test_an_app_that_raises_in_the_handshake(name: str, path: str, shared_host: StartHost) -> None:
    """D4 D5: that is a 500, as without a dispatcher; and its traceback is in the log."""
    host = shared_host(HOSTS[name])
    said = host.log_size()
    assert status_of_handshake(host, path) == 500
    assert "ValueError: broken" in host.log(said)
