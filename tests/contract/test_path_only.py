"""Mounted frameworks that look at ``scope["path"]`` alone, wherever a dispatcher runs (D9)."""

from __future__ import annotations

import httpx
import pytest
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support.hosts import BRIDGE_WORKER, Host, bridge, gunicorn, uvicorn

APP = "tests.support.apps.path_only"
HOSTS = {
    "bridge": bridge(f"{APP}:app"),
    "rooted": bridge(f"{APP}:app", "--root-path=/base"),
    "worker": gunicorn(f"{APP}:app", worker=BRIDGE_WORKER),
    "uvicorn": uvicorn(f"{APP}:app"),
    "wsgi": gunicorn(f"{APP}:wsgi_app"),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    return shared_host(HOSTS[request.param])


def test_falcon(host: Host) -> None:
    """D9: its routes are found; what it says of its place is right; escapes stay what they are."""
    for prefix in ("/falcon", "/deep/in/falcon"):
        answer = httpx.get(host.url(prefix + "/told/a%20b"))
        seen = answer.json()
        assert seen.pop("root").removeprefix("/base") == prefix
        assert seen == {"path": "/told/a b", "name": "a b"}
        assert httpx.get(host.url(prefix)).status_code == 404
    with connect(host.url("/falcon/told/x", "ws"), proxy=None) as socket:
        assert socket.recv(timeout=10) == "x"


def test_sanic(host: Host) -> None:
    """D9: it reads raw_path; its startup has run, once."""
    answer = httpx.get(host.url("/sanic/told/x"))
    assert answer.json() == {"path": "/told/x", "name": "x", "started": ["started"]}


def test_socketio(host: Host) -> None:
    """D9: python-socketio answers at its own path below the mount, by polling and by WebSocket."""
    answer = httpx.get(host.url("/chat/socket.io/?EIO=4&transport=polling"))
    assert answer.status_code == 200
    assert answer.text.startswith('0{"sid":')
    target = "/chat/socket.io/?EIO=4&transport=websocket"
    with connect(host.url(target, "ws"), proxy=None) as socket:
        assert str(socket.recv(timeout=10)).startswith("0{")
        socket.send("40")
        assert str(socket.recv(timeout=10)).startswith("40{")
        socket.send('420["hello","there"]')
        assert socket.recv(timeout=10) == '430["there"]'
