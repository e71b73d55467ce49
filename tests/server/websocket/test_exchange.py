"""WebSockets among everything else the server does: mounts, TLS, lifespan, logs, real clients."""

from __future__ import annotations

import asyncio
import json
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
from bridge.errors import ClientDisconnected, IllegalMessage, UnsupportedScope
from bridge.types import Message, Receive, Scope, Send
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.raw import request
from tests.support.serving import served
from tests.support.websocket import (
    ACCEPT,
    KEY,
    Recorder,
    close_frame,
    echo,
    frame,
    handshake,
)


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


def accepting(**fields: Any) -> Any:
    """An app that accepts with these, and says by text what `send` raised, if it did."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await send({"type": "websocket.accept", **fields})
        except IllegalMessage as error:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": str(error)})
        await send({"type": "websocket.send", "text": json.dumps(scope["subprotocols"])})

    return app


# ------------------------------------------------------------- the request


def test_the_answer_to_a_handshake() -> None:
    """S20: 101 with the accept key of RFC 6455 §1.3, the server's own fields, and no body."""
    with served(echo) as server, server.connect() as client:
        response = client.open_handshake("/chat")
        assert (response.status, response.reason) == (101, b"Switching Protocols")
        assert response.value(b"sec-websocket-accept") == ACCEPT
        assert response.value(b"upgrade") == b"websocket"
        assert response.value(b"connection") == b"Upgrade"
        assert response.value(b"server") == b"asgi-bridge"
        assert response.value(b"date")
        for absent in (b"content-length", b"transfer-encoding", b"sec-websocket-protocol"):
            assert response.value(absent) is None


def altered(*taken: str, more: tuple[str, ...] = (), **changed: str) -> bytes:
    """A handshake without the fields `taken`, with others or more of them."""
    lines = handshake().decode().rstrip().split("\r\n")
    kept = [line for line in lines if line.partition(":")[0].lower() not in taken]
    return "\r\n".join([*kept, *more]).encode("latin-1") + b"\r\n\r\n"


WRONG = {
    "no key": (altered("sec-websocket-key"), 400),
    "short key": (handshake(key="dGhl"), 400),
    "key that is no base 64": (handshake(key="!" * 24), 400),
    "two keys": (handshake("/", f"Sec-WebSocket-Key: {KEY}"), 400),
    "no version": (altered("sec-websocket-version"), 426),
    "old version": (handshake(version="8"), 426),
    "two versions": (handshake("/", "Sec-WebSocket-Version: 13"), 426),
    "two origins": (handshake("/", "Origin: http://a", "Origin: http://b"), 400),
    "malformed extension": (handshake("/", "Sec-WebSocket-Extensions: ;;"), 400),
    "malformed subprotocol": (handshake("/", "Sec-WebSocket-Protocol: a b"), 400),
    "a body": (handshake("/", "Content-Length: 5") + b"Hello", 400),
    "no host": (altered("host"), 400),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_handshake_that_is_wrong(wrong: str) -> None:
    """S21: 400, or 426 with the version that is spoken; the app is not asked."""
    data, status = WRONG[wrong]
    app = Recorder(echo)
    with served(app) as server, server.connect() as client:
        client.send(data + frame(1, b"too early"))
        response = client.response()
        assert response.status == status
        assert response.closes
        assert response.value(b"sec-websocket-version") == (b"13" if status == 426 else None)
        assert response.value(b"upgrade") == (b"websocket" if status == 426 else None)
        assert client.is_closed()
    assert app.scopes.empty()


@pytest.mark.parametrize(
    "data",
    [
        altered("connection"),
        altered("upgrade"),
        altered("upgrade", more=("Upgrade: h2c",)),
        altered("upgrade", more=("Upgrade: h2c, websocket/13", "Upgrade: websockets")),
        altered("connection", more=("Connection: no-upgrade",)),
        handshake().replace(b"GET", b"POST"),
        handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_what_asks_for_no_websocket_is_an_ordinary_request(data: bytes) -> None:
    """S21: the app gets an http scope if a server may ignore the Upgrade field (RFC 9110)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ordinary"})

    with served(app) as server, server.connect() as client:
        client.send(data)
        assert client.response().body == b"ordinary"


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket"),
        ("Connection: keep-alive", "Connection: upgrade", "Upgrade: websocket"),
        ("Connection:Keep-Alive,UPGRADE", "Upgrade: websocket, websocket"),
        ("Connection: , upgrade ,", "Upgrade: websocket", "Upgrade: websocket"),
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c, websocket", "HTTP2-Settings: AA"),
        ("Connection: Upgrade", "Upgrade: websocket,h2c"),
        ("Connection: Upgrade", "Upgrade: foo/2", "Upgrade: ,WebSocket,"),
    ],
)
def test_spellings_of_the_upgrade(fields: tuple[str, ...]) -> None:
    """S20: browsers' and proxies' ways to write it are understood: both fields are lists."""
    with served(echo) as server, server.connect() as client:
        client.send(altered("connection", "upgrade", more=fields))
        assert client.response().status == 101


def test_the_handshake_cut_at_every_position() -> None:
    """S20: nothing is lost if the first frames come in the same packet, or in its pieces."""
    data = handshake() + frame(1, b"early") + frame(1, b"bird")
    with served(echo) as server:
        for at in range(1, len(data), 3):
            with server.connect() as client:
                client.send_pieces([data[:at], data[at:]])
                assert client.response().status == 101
                assert [client.read_text(), client.read_text()] == ["early", "bird"]
        with server.connect() as client:
            client.send_bytewise(data)
            assert client.response().status == 101
            assert [client.read_text(), client.read_text()] == ["early", "bird"]


def accepts_at(go: asyncio.Event) -> Any:
    """An app that accepts when it may, and then echoes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await echo(scope, receive, send)

    return app


def test_what_comes_before_the_app_has_accepted() -> None:
    """S20: a client that does not wait for the answer loses nothing."""
    go = asyncio.Event()
    with served(accepts_at(go)) as server, server.connect() as client:
        client.send(handshake() + frame(2, bytes(60_000)))
        server.call(go.set)
        assert client.response().status == 101
        assert client.read() == (0x82, bytes(60_000))


def test_a_flood_before_the_app_has_accepted() -> None:
    """S20: a client that does not wait cannot fill the memory: it is held up, and then cut."""
    go = asyncio.Event()
    with served(accepts_at(go)) as server, server.connect() as client:
        client.send(handshake())
        with pytest.raises(ConnectionError):
            client.send(frame(2, bytes(60_000)) * 1000)
        server.call(go.set)


def test_a_pipelined_handshake_waits_its_turn() -> None:
    """S20 S1: a request before the handshake is answered first, on the same connection."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first"})

    with served(app) as server, server.connect() as client:
        client.send(request() + handshake() + frame(1, b"then"))
        assert client.response().body == b"first"
        assert client.response().status == 101
        assert client.read_text() == "then"


# ------------------------------------------------------------- the scope


def test_the_scope() -> None:
    """S20: as ASGI says it, with what the app decides on: path, query, host, origin (S21)."""
    app = Recorder(echo)
    with served(app, root_path="/app") as server, server.connect() as client:
        port = client.sock.getsockname()[1]
        client.open_handshake(
            "/app/caf%C3%A9?a=1",
            "Origin: http://elsewhere",
            "Sec-WebSocket-Protocol: chat, v2",
            "Sec-WebSocket-Protocol: v1",
        )
        scope = app.scopes.get(timeout=20)
        assert scope.pop("headers")[0] == (b"host", b"example.com")
        assert scope == {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": "/app/café",
            "raw_path": b"/app/caf%C3%A9",
            "query_string": b"a=1",
            "root_path": "/app",
            "client": ("127.0.0.1", port),
            "server": ("127.0.0.1", server.port),
            "subprotocols": ["chat", "v2", "v1"],
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }


def test_a_target_that_browsers_do_not_encode() -> None:
    """S4, S20: what browsers leave as it is reaches the app of a WebSocket as it came."""
    app = Recorder(echo)
    with served(app) as server, server.connect() as client:
        client.open_handshake('/a|b?{"q":"100%"}\\\xe9')
        scope = app.scopes.get(timeout=20)
        assert (scope["raw_path"], scope["query_string"]) == (b"/a|b", b'{"q":"100%"}\\\xe9')


def test_the_scope_behind_a_trusted_proxy() -> None:
    """S20 S32: client and scheme are those that the proxy tells."""
    app = Recorder(echo)
    with served(app) as server, server.connect() as client:
        client.open_handshake("/", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")
        scope = app.scopes.get(timeout=20)
        assert (scope["scheme"], scope["client"][0]) == ("wss", "192.0.2.7")


# ------------------------------------------------------------- the app accepts


def test_subprotocol_and_fields_of_the_app() -> None:
    """S20: they are in the 101; hop-by-hop fields and those of bodies have no place."""
    app = accepting(
        subprotocol="v2",
        headers=[
            (b"Set-Cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"connection", b"close"),
            (b"upgrade", b"h2c"),
            (b"content-length", b"5"),
            (b"transfer-encoding", b"chunked"),
        ],
    )
    with served(app) as server, server.connect() as client:
        response = client.open_handshake("/", "Sec-WebSocket-Protocol: v1, v2")
        assert response.value(b"sec-websocket-protocol") == b"v2"
        assert response.values(b"set-cookie") == [b"a=1", b"b=2"]
        assert response.value(b"connection") == b"Upgrade"
        assert response.value(b"upgrade") == b"websocket"
        for absent in (b"content-length", b"transfer-encoding"):
            assert response.value(absent) is None
        assert json.loads(client.read_text()) == ["v1", "v2"]


def test_an_accept_that_is_refused() -> None:
    """S20 S10: nothing is injected; the app gets the error, and may accept in another way."""
    app = accepting(headers=[(b"x", b"a\r\nset-cookie: b")])
    with served(app) as server, server.connect() as client:
        response = client.open_handshake("/")
        assert response.status == 101
        assert response.values(b"set-cookie") == []
        assert "control character" in client.read_text()


# ------------------------------------------------------------- the app refuses


def saying(*messages: Message) -> Recorder:
    """An app that sends these, and then receives."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        await receive()

    return Recorder(app)


def test_a_close_before_the_accept_is_a_403() -> None:
    """S20: and the app is told that it is over (ASGI, "Close")."""
    app = saying({"type": "websocket.close", "code": 4001, "reason": "no"})
    with served(app) as server, server.connect() as client:
        response = client.open_handshake()
        assert response.status == 403
        assert response.closes
        assert client.is_closed()
    assert app.next() == {"type": "websocket.connect"}
    assert app.next() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_a_refusal_with_a_response_of_the_apps_own() -> None:
    """S20: `websocket.http.response`, in one piece and in many, with its status and fields."""
    start = {
        "type": "websocket.http.response.start",
        "status": 401,
        "headers": [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")],
    }
    body = "websocket.http.response.body"
    whole = saying(start, {"type": body, "body": b"who are you?"})
    pieces = saying(
        start,
        {"type": body, "body": b"who are ", "more_body": True},
        {"type": body, "body": b"", "more_body": True},
        {"type": body, "body": b"you?", "more_body": False},
    )
    for app, framing in ((whole, "length"), (pieces, "chunked")):
        with served(app) as server, server.connect() as client:
            response = client.open_handshake()
            assert (response.status, response.body) == (401, b"who are you?")
            assert response.value(b"www-authenticate") == b"Bearer"
            assert response.framing == framing
            assert response.closes
            assert client.is_closed()
        assert app.next()["type"] == "websocket.connect"
        assert app.next()["code"] == 1006


@pytest.mark.parametrize(
    ("messages", "status", "said"),
    [
        ([], 500, "without a response"),
        ([{"type": "websocket.send", "text": "x"}], 500, "'websocket.accept'"),
        ([{"type": "websocket.http.response.body"}], 500, "'websocket.accept'"),
        ([{"type": "http.response.start", "status": 200}], 500, "unknown message type"),
        ([{"type": "websocket.http.response.start", "status": 99}], 500, "status"),
        ([{"type": "websocket.http.response.start", "status": 200}], 500, "unfinished"),
        (["websocket.accept"], 500, "dict"),
    ],
)
def test_an_app_that_does_not_answer(
    messages: list[Any], status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S20 S14: it returns or raises before it accepts: 500, and the log says why."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    with served(app) as server, server.connect() as client:
        assert client.open_handshake("/where?q").status == status
        assert client.is_closed()
    assert said in caplog.text
    assert "/where" in caplog.text


def test_an_app_for_which_there_are_no_websockets(caplog: pytest.LogCaptureFixture) -> None:
    """S20 W60: a WSGI app without them: a clear 403, and one line in the log."""

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    with served(wsgi, interface="wsgi") as server, server.connect() as client:
        assert client.open_handshake("/ws").status == 403
    assert "/ws" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_refusal_in_large_pieces() -> None:
    """S20 S12: the app waits for a slow client, and gives the loop its turn."""
    body = "websocket.http.response.body"
    piece = {"type": body, "body": bytes(20_000), "more_body": True}
    app = saying(
        {"type": "websocket.http.response.start", "status": 200}, *[piece] * 400, {"type": body}
    )
    with served(app) as server, server.connect() as client:
        client.send(handshake())

        def paused() -> bool:
            connections = server.server.state.connections
            return any(each.output.paused for each in connections)  # type: ignore[attr-defined]

        while not server.call(paused):
            pass
        assert client.response().body == bytes(400 * 20_000)


def test_an_app_that_refuses_and_returns() -> None:
    """S20: at once, with nothing more to be said; also one that knows no WebSockets."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    async def without(scope: Scope, receive: Receive, send: Send) -> None:
        raise UnsupportedScope("no WebSockets here")

    for app in (closing, without):
        for early in (b"", b"early"):
            with served(app) as server, server.connect() as client:
                client.send(handshake() + early)
                assert client.response().status == 403
                assert client.is_closed()


def test_a_refusal_that_is_longer_than_its_length(caplog: pytest.LogCaptureFixture) -> None:
    """S20 S10: it is cut there, and what follows raises OSError."""
    raised: list[BaseException] = []
    body = {"type": "websocket.http.response.body", "body": b"12345", "more_body": True}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = [(b"content-length", b"3")]
        start = {"type": "websocket.http.response.start", "status": 200, "headers": length}
        await send(start)
        await send(body)
        try:
            await send(body)
        except OSError as error:
            raised.append(error)
            raise

    with served(app) as server, server.connect() as client:
        assert client.open_handshake().body == b"123"
        assert client.is_closed()
    assert isinstance(raised[0], ClientDisconnected)
    assert "longer than its Content-Length" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", ["error", "disconnect"])
def test_an_app_that_raises_in_an_open_websocket(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S20 S14: 1011, and a line in the log; no line if the client has left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if kind == "error":
            raise LookupError("nothing there")
        await receive()
        await send({"type": "websocket.send", "text": "too late"})

    with served(app) as server, server.open("/gone?x") as client:
        if kind == "error":
            assert client.read_close_frame() == (1011, "")
        client.say(close_frame(1000))
        assert client.is_closed() or client.read_close() == (1000, "")
    assert ("the app raised in the WebSocket /gone" in caplog.text) == (kind == "error")


# ------------------------------------------------------------- nobody waits any more


def test_the_client_leaves_before_the_answer() -> None:
    """S20 S12: the app is told, and what it sends then raises OSError."""
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            raised.append(error)
            raise

    noting = Recorder(app)
    with served(noting) as server:
        with server.connect() as client:
            client.send(handshake())
            assert noting.next()["type"] == "websocket.connect"
            client.reset()
        assert noting.next() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    (error,) = raised
    assert isinstance(error, ClientDisconnected)


def test_handshakes_count_as_requests_until_they_are_answered() -> None:
    """S20 S2: beyond the limit 503; an open WebSocket does not count."""
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await go.wait()
        await echo(scope, receive, send)

    with served(app, limit_requests=1) as server:
        with server.open() as first, server.open() as second, server.connect() as third:
            third.send(handshake("/slow"))
            while not server.call(lambda: server.server.state.active):
                pass
            with server.connect() as fourth:
                response = fourth.open_handshake()
                assert (response.status, response.value(b"retry-after")) == (503, b"1")
            server.call(go.set)
            assert third.response().status == 101
            for client in (first, second, third):
                client.text("still here")
                assert client.read_text() == "still here"
                client.say(close_frame(1000))
                assert client.read_close() == (1000, "")
        assert not server.call(lambda: server.server.state.active)


# ------------------------------------------------------------- mounts


def test_websockets_go_to_the_app_that_is_mounted_there(caplog: pytest.LogCaptureFixture) -> None:
    """S20 D4: to an ASGI child with its path; a WSGI child and an empty place refuse with 403."""
    child = Recorder(hello)

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
                assert client.open_handshake(path).status == 403


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
    app = Recorder(hello)
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


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_an_app_that_notices_that_its_client_left(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S20 S14: before the answer there is nothing to answer any more, and nothing to log."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        if how == "raises":
            await send({"type": "websocket.accept"})

    noting = Recorder(app)
    with served(noting) as server:
        with server.connect() as client:
            client.send(handshake())
            assert noting.next()["type"] == "websocket.connect"
            client.reset()
        assert noting.next()["code"] == 1006
    assert "the app" not in caplog.text
