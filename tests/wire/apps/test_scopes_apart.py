"""What an app does to its scope or environ, no other request sees (S13, W10, A1)."""

from __future__ import annotations

import copy
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from bridge import AsgiToWsgi, Dispatcher
from bridge.types import Receive, Scope, Send
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.asgi_on_wsgi.direct import LIMIT, FileWrapper, call, environ
from tests.support.raw import Client, request
from tests.support.serving import served


def spoil(value: Any) -> None:
    """Change everything in `value` that can be changed."""
    if isinstance(value, dict):
        for each in value.values():
            spoil(each)
        value["spoiled"] = True
    elif isinstance(value, list):
        for each in value:
            spoil(each)
        value.append("spoiled")


class Spoiler:
    """An app, ASGI or WSGI, that spoils what it is given, and notes what that was before."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def take(self, scope: Any) -> None:
        mine = {key: value for key, value in scope.items() if key != "client"}
        mine["extensions"] = {
            key: value for key, value in scope["extensions"].items() if key != "wsgi.environ"
        }
        self.given.append(copy.deepcopy(mine))
        spoil(mine["extensions"])
        spoil({**scope, "extensions": None})
        scope["extensions"]["spoiled"] = scope["spoiled"] = True

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.take(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        fields = [(b"content-length", b"0"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body"})

    def wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        self.take(environ["asgi.scope"])
        environ["asgi.scope"].clear()
        start_response("200 OK", [])
        return []

    def check(self, count: int) -> None:
        """All were given the same, and nothing spoiled."""
        assert len(self.given) == count
        assert "spoiled" not in repr(self.given)
        assert all(given == self.given[0] for given in self.given)


@pytest.mark.parametrize("mounted", [False, True])
def test_asgi(mounted: bool) -> None:
    """S13: nothing in an HTTP scope is shared: with the same client's requests, or another's."""
    spoiler = Spoiler()
    app = Dispatcher({"/": spoiler.asgi}) if mounted else spoiler.asgi
    with served(app) as server, server.connect() as first, server.connect() as second:
        first.send(request() * 3)
        assert [first.response().status for _ in range(3)] == [200] * 3
        second.send(request())
        assert second.response().status == 200
    spoiler.check(4)


def test_tls(tmp_path: Path) -> None:
    """S13: nor in what an app is told of TLS, by whichever connection."""
    authority = trustme.CA()
    client = ssl.create_default_context()
    authority.configure_trust(client)
    authority.issue_cert("client.example").configure_cert(client)
    authority.cert_pem.write_to_path(tmp_path / "ca")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "own")
    files = {"ssl_certfile": str(tmp_path / "own"), "ssl_ca_certs": str(tmp_path / "ca")}
    spoiler = Spoiler()
    with served(spoiler.asgi, **files, ssl_cert_reqs="required") as server:
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT)
        with Client(client.wrap_socket(plain, server_hostname="127.0.0.1")) as connection:
            for _ in range(3):
                connection.send(request())
                assert connection.response().status == 200
    spoiler.check(3)
    assert len(spoiler.given[0]["extensions"]["tls"]["client_cert_chain"]) >= 1


def test_websocket() -> None:
    """S13: nor in that of a WebSocket."""
    spoiler = Spoiler()
    with served(spoiler.asgi) as server:
        for _ in range(3):
            with server.open() as socket:
                assert socket.read_close_frame()[0] == 1000
    spoiler.check(3)


@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
def test_wsgi(runner: Any) -> None:
    """W10: nor in `asgi.scope`."""
    spoiler = Spoiler()
    with served(WsgiToAsgi(spoiler.wsgi, runner=runner)) as server:
        with server.connect() as first, server.connect() as second:
            for client in (first, first, second):
                client.send(request())
                assert client.response().status == 200
    spoiler.check(3)


def test_behind_a_wsgi_host() -> None:
    """A1: nor in the scope that is made of an environ."""
    spoiler = Spoiler()
    adapter = AsgiToWsgi(spoiler.asgi, lifespan="off")
    for _ in range(3):
        made = environ(wsgi_file_wrapper=FileWrapper, wsgi_early_hints=list.append)
        assert call(adapter, made, validate=False).code == 200
    assert adapter.close(LIMIT)
    spoiler.check(3)


@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
@pytest.mark.parametrize("body", [b"", b"x"])
def test_input(runner: Any, body: bytes) -> None:
    """W20: each request has an input of its own, with a body and without one."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        given = environ["wsgi.input"]
        seen = getattr(given, "user", "nobody")
        given.user = "alice"
        assert given.user == "alice"
        assert given.read() == body
        given.close()
        start_response("200 OK", [])
        return [seen.encode()]

    with served(WsgiToAsgi(app, runner=runner)) as server:
        with server.connect() as first, server.connect() as second:
            for client in (first, first, second):
                client.send(request(method="POST", body=body))
                assert client.response().body == b"nobody"
