"""`root_path` over the wire: for ASGI apps, WSGI apps and dispatchers (D8, W3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from bridge import Dispatcher
from bridge.server.config.config import Config
from bridge.types import Receive, Scope, Send
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.raw import Client, request
from tests.support.serving import served

SAME = ["/api", "/api/", "api", "//api/"]
TOLD = "tests.wire.requests.test_root_path"


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells where it is."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    told = json.dumps([scope["root_path"], scope["path"], scope["raw_path"].decode()])
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": told})
        return
    fields = [(b"content-length", b"%d" % len(told))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": told.encode()})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Tells where it is."""
    start_response("200 OK", [])
    return [json.dumps([environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]


def ask(client: Client, target: str, method: str = "GET") -> Any:
    client.send(request(target, method=method))
    return json.loads(client.response().body)


@pytest.mark.parametrize("root", SAME)
@pytest.mark.parametrize("sent", ["/api/x", "/x"])
def test_asgi(root: str, sent: str) -> None:
    """D8: the scope says it in one way, whether or not a proxy has taken the place off the path."""
    with served(asgi, root_path=root) as server, server.connect() as client:
        assert ask(client, sent) == ["/api", "/api/x", "/api/x"]
        assert ask(client, "/apiary") == ["/api", "/api/apiary", "/api/apiary"]
        assert ask(client, "*", "OPTIONS") == ["/api", "*", "*"]
        with server.open(sent) as socket:
            assert json.loads(socket.read_text()) == ["/api", "/api/x", "/api/x"]


@pytest.mark.parametrize("root", SAME)
@pytest.mark.parametrize("sent", ["/api/x", "/x"])
@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
def test_wsgi(root: str, sent: str, runner: Any) -> None:
    """D8 W3: so does the environ."""
    with served(WsgiToAsgi(wsgi, runner=runner), root_path=root) as server:
        with server.connect() as client:
            assert ask(client, sent) == ["/api", "/x"]
            assert ask(client, "/apiary") == ["/api", "/apiary"]
            assert ask(client, "*", "OPTIONS") == ["/api", ""]


@pytest.mark.parametrize("root", SAME)
@pytest.mark.parametrize("before", ["/api", ""])
def test_dispatcher(root: str, before: str) -> None:
    """D8 D1: the same mounts are found, nested ones too, and children hear the same."""
    inner = Dispatcher({"/asgi": asgi, "wsgi.example/wsgi/": wsgi, "/wsgi": wsgi})
    app = Dispatcher({"/v1/": inner, "/asgi/": asgi, "/": wsgi})
    with served(app, root_path=root) as server, server.connect() as client:
        assert ask(client, f"{before}/asgi/x")[:2] == ["/api/asgi", "/api/asgi/x"]
        assert ask(client, f"{before}/v1/asgi/x")[:2] == ["/api/v1/asgi", "/api/v1/asgi/x"]
        assert ask(client, f"{before}/v1/wsgi/x") == ["/api/v1/wsgi", "/x"]
        assert ask(client, f"{before}/elsewhere") == ["/api", "/elsewhere"]
        with server.open(f"{before}/v1/asgi/x") as socket:
            assert json.loads(socket.read_text())[:2] == ["/api/v1/asgi", "/api/v1/asgi/x"]


@pytest.mark.parametrize("root", ["/api/", "api"])
def test_from_the_command_line(root: str, start_host: StartHost) -> None:
    """D8: `--root-path` says the same as the setting in Python."""
    mounts = ("--mount", f"/asgi={TOLD}:asgi", "--mount", f"/={TOLD}:wsgi")
    host = start_host(hosts.bridge(*mounts, "--root-path", root))
    with Client(host.connect()) as client:
        assert ask(client, "/api/asgi/x")[:2] == ["/api/asgi", "/api/asgi/x"]
        assert ask(client, "/api/x") == ["/api", "/x"]
        assert ask(client, "/x") == ["/api", "/x"]


@pytest.mark.parametrize("root", ["/api/", "api"])
def test_gunicorn(root: str, start_host: StartHost) -> None:
    """D8 P10: under Gunicorn SCRIPT_NAME says it."""
    command = hosts.gunicorn(f"{TOLD}:asgi", worker=hosts.BRIDGE_WORKER)
    host = start_host(command.with_env(SCRIPT_NAME=root))
    with Client(host.connect()) as client:
        assert ask(client, "/api/x") == ask(client, "/x") == ["/api", "/api/x", "/api/x"]


@pytest.mark.parametrize("root", ["", "/"])
def test_the_whole_site(root: str) -> None:
    """D8: a slash alone is no place."""
    with served(Dispatcher({"/a": asgi, "/": wsgi}), root_path=root) as server:
        with server.connect() as client:
            assert ask(client, "/a/x") == ["/a", "/a/x", "/a/x"]
            assert ask(client, "/b") == ["", "/b"]


def test_config_says_it_once() -> None:
    """D8: settings have the place in its one form."""
    assert {Config(app=asgi, root_path=root).root_path for root in SAME} == {"/api"}


@pytest.mark.parametrize("root", ["https://example.com/api", "/api?x", "/api#x", "/a\nb"])
def test_no_place(root: str) -> None:
    """D8: what is no path of a URL is refused at the start, with what is allowed."""
    env = {**os.environ, "PYTHONPATH": str(hosts.ROOT)}
    argv = [sys.executable, "-m", "bridge", "serve", f"{TOLD}:asgi", "--root-path", root]
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "allowed is the path of a URL, such as /api" in ended.stderr
