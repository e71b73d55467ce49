"""WebSockets among everything else the server does: mounts, TLS, lifespan, logs, real clients."""

from __future__ import annotations

import signal
import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from bridge import Dispatcher
from bridge.types import Receive, Scope, Send
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.raw import request
from tests.support.websocket import Noting, close_frame, echo, handshake, served


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """An app of both kinds: hello over HTTP, an echo over WebSocket."""
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


def legacy(environ: Any, start_response: Any) -> list[bytes]:
    """A WSGI app."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"legacy"]


# ------------------------------------------------------------- mounts


def test_websockets_go_to_the_app_that_is_mounted_there(caplog: pytest.LogCaptureFixture) -> None:
    """S20 D4: to an ASGI child with its path; a WSGI child and an empty place refuse with 403."""
    child = Noting(hello)

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        await child(scope, receive, send)

    app = Dispatcher({"/api": asgi, "/old": legacy})
    with served(app) as server:
        with server.open("/api/chat") as client:
            client.text("there")
            assert client.read_text() == "there"
            scope = child.scopes.get(timeout=20)
            assert (scope["path"], scope["root_path"]) == ("/api/chat", "/api")
        for path in ("/old/chat", "/nowhere"):
            with server.connect() as client:
                assert client.shake_hands(path).status == 403


def test_each_websocket_sees_the_state_of_the_lifespan() -> None:
    """S20 S13: a copy of it, as HTTP requests do."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["shared"] = ["one"]
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(scope["state"].copy())
        scope["state"]["own"] = True
        await echo(scope, receive, send)

    with served(app, lifespan="on") as server, server.open(), server.open():
        pass
    assert seen == [{"shared": ["one"]}] * 2


# ------------------------------------------------------------- TLS


def test_over_tls(tmp_path: Path) -> None:
    """S20 S31: `wss`, the tls extension beside `websocket.http.response`, and a clean close."""
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    cert = tmp_path / "cert.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(str(cert))
    context = ssl.create_default_context()
    ca.configure_trust(context)
    app = Noting(hello)
    with (
        served(app, ssl_certfile=str(cert)) as server,
        connect(server.url("/", "wss"), ssl=context) as client,
    ):
        scope = app.scopes.get(timeout=20)
        assert scope["scheme"] == "wss"
        assert set(scope["extensions"]) == {"websocket.http.response", "tls"}
        for message in ("short", "x" * 300_000, b"\x00" * 100_000):
            client.send(message)
            assert client.recv() == message
        client.close(3000, "bye")
        assert (client.close_code, client.close_reason) == (3000, "bye")


def test_shutdown_over_tls(tmp_path: Path) -> None:
    """S20 P2: 1012 there, too, and the server ends when the client has answered."""
    ca = trustme.CA()
    cert = tmp_path / "cert.pem"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(cert))
    context = ssl.create_default_context()
    ca.configure_trust(context)
    with served(hello, ssl_certfile=str(cert)) as server:
        with connect(server.url("/", "wss"), ssl=context) as client:
            server.ask_to_stop()
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(timeout=20)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        server.stop()


# ------------------------------------------------------------- the real process


@pytest.fixture
def host(start_host: StartHost) -> hosts.Host:
    """The server as its users start it, with the access log on."""
    return start_host(hosts.bridge("tests.server.websocket.test_exchange:hello", "--lifespan=off"))


def test_the_access_log_has_a_line_for_each_handshake(host: hosts.Host) -> None:
    """S20 S50: when it is answered, with the status that it got."""
    with connect(host.url("/chat?room=1", "ws")) as client:
        client.send("x")
        assert client.recv() == "x"
        _wait_for(host, '"GET /chat?room=1 HTTP/1.1" 101 Switching Protocols')
    with host.connect() as sock:
        sock.sendall(request("/plain"))
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    _wait_for(host, '"GET /plain HTTP/1.1" 200 OK')
    assert host.stop() == 0
    assert host.log().count(" 101 ") == 1


def _wait_for(host: hosts.Host, line: str) -> None:
    deadline = time.monotonic() + 20
    while line not in host.log():
        assert time.monotonic() < deadline, host.log()
        time.sleep(0.01)  # the pace of asking, nothing depends on it


def test_sigterm_closes_websockets_with_1012(host: hosts.Host) -> None:
    """S20 P2: each open one, before the process ends with 0; new ones are not taken."""
    codes = []
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(host.url("/", "ws"))) for _ in range(20)]
        host.process.send_signal(signal.SIGTERM)
        for client in clients:
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(timeout=20)
            assert caught.value.rcvd is not None
            codes.append(caught.value.rcvd.code)
    assert codes == [1012] * 20
    assert host.process.wait(20) == 0
    assert "Traceback" not in host.log()


def test_refusals_reach_a_client_that_knows_the_rules(start_host: StartHost) -> None:
    """S21: the status and the body are those of the refusal."""
    app = "tests.server.websocket.test_exchange:legacy"
    host = start_host(hosts.bridge(app, "--interface=wsgi", "--no-access-log"))
    with pytest.raises(InvalidStatus) as caught, connect(host.url("/", "ws")):
        pass
    assert caught.value.response.status_code == 403
    with host.connect() as sock:
        sock.sendall(handshake(version="12"))
        assert sock.recv(1000).startswith(b"HTTP/1.1 426 Upgrade Required\r\n")


def test_five_hundred_at_once() -> None:
    """S20: open together, each gets its own messages, and nothing is left of them afterwards."""
    with served(hello) as server:
        clients = [server.open() for _ in range(500)]
        for number, client in enumerate(clients):
            client.text(f"I am {number}")
        for number, client in enumerate(clients):
            assert client.read_text() == f"I am {number}"
        for client in clients:
            client.say(close_frame(1000))
            assert client.read_close() == (1000, "")
            client.sock.close()
        while server.call(lambda: len(server.server.state.connections)):
            pass
