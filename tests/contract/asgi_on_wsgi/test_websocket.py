"""WebSockets on every WSGI host: real where the socket is given away, a clear 501 elsewhere."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.conftest import StartHost
from tests.contract.asgi_on_wsgi.hosts import all_hosts, why_no_mod_wsgi
from tests.support.hosts import Host
from tests.support.websocket import status_of_handshake

LIMIT = 60.0

BAD_HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

ALL = {each.name: each for each in all_hosts()}
GIVING = [name for name, each in ALL.items() if each.gives_socket]
KEEPING = [name for name, each in ALL.items() if not each.gives_socket]


@pytest.fixture(params=GIVING)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    return shared_host(ALL[request.param].command)


@pytest.fixture
def note() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bridge-notes-") as folder:
        yield Path(folder) / "note"


def read(note: Path) -> str:
    deadline = time.monotonic() + LIMIT
    while not note.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return note.read_text()


def open_(host: Host, path: str, **more: Any) -> ClientConnection:
    return connect(host.url(path, "ws"), open_timeout=LIMIT, close_timeout=LIMIT, **more)


@pytest.mark.parametrize("upgrade", ["websocket, websocket", "h2c, WebSocket"])
def test_upgrade_is_a_list(host: Host, upgrade: str) -> None:
    """A40: a WebSocket is asked for where it is one of several protocols (RFC 9110 §7.8)."""
    with host.connect() as client:
        client.sendall(
            f"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
            f"Upgrade: {upgrade}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert client.recv(12) == b"HTTP/1.1 101"


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_echo(host: Host, compression: str | None) -> None:
    """A40: text and bytes of every size both ways, with and without permessage-deflate."""
    messages: list[str | bytes] = ["", "text", "grüße 日本", b"", b"\x00\xff", "x" * 70_000]
    messages += [os.urandom(200_000), "long " * 100_000]
    with open_(host, "/echo", compression=compression) as ws:
        assert ws.response is not None
        assert ws.response.headers["x-mine"] == "1"
        negotiated = ws.response.headers.get("Sec-WebSocket-Extensions", "")
        assert ("permessage-deflate" in negotiated) is (compression is not None)
        for message in messages:
            ws.send(message)
            assert ws.recv(LIMIT) == message


def test_fragments_and_pings(host: Host) -> None:
    """A40: a message in fragments arrives as one, and pings are answered."""
    with open_(host, "/echo") as ws:
        ws.send(["frag", "men", "ted"])
        assert ws.recv(LIMIT) == "fragmented"
        assert ws.ping().wait(LIMIT)


def test_scope_and_subprotocol(host: Host) -> None:
    """A1 A31 A40: the scope is a websocket's, with the lifespan's state; subprotocol and close."""
    with open_(host, "/scope", subprotocols=["one", "two"]) as ws:
        assert ws.subprotocol == "two"
        told = json.loads(ws.recv(LIMIT))
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(LIMIT)
    assert told["type"] == "websocket"
    assert told["scheme"] == "ws"
    assert told["subprotocols"] == ["one", "two"]
    assert told["state"]["startups"] == 1
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "told")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/refuse", 403, b"Forbidden\n"), ("/respond", 418, b"no coffee")],
)
def test_refused(host: Host, path: str, status: int, body: bytes) -> None:
    """A40: a refusal is an HTTP response: 403, or the app's own."""
    with pytest.raises(InvalidStatus) as caught:
        open_(host, path)
    assert caught.value.response.status_code == status
    assert caught.value.response.body == body


def test_app_fails(host: Host) -> None:
    """A40: an app that fails before it accepts is the host's 500."""
    assert status_of_handshake(host, "/raise") == 500


@pytest.mark.parametrize(("path", "code"), [("/raise-late", 1011), ("/return", 1000)])
def test_app_ends(host: Host, path: str, code: int) -> None:
    """A40: an app that ends without closing has its WebSocket closed, as its end deserves."""
    with open_(host, path) as ws, pytest.raises(ConnectionClosed) as caught:
        ws.recv(LIMIT)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code


def test_client_closes(host: Host, note: Path) -> None:
    """A40: the client's close reaches the app with its code and reason, and is answered."""
    with open_(host, f"/echo?note={note}") as ws:
        ws.close(4000, "enough")
    assert ws.close_code == 4000
    assert read(note) == "4000 enough"


def test_client_vanishes(host: Host, note: Path) -> None:
    """A40: a client that breaks off is websocket.disconnect with 1006."""
    with open_(host, f"/echo?note={note}") as ws:
        ws.socket.shutdown(socket.SHUT_RDWR)
        assert read(note) == "1006 "


def test_clients_that_vanish_hold_no_thread(host: Host, tmp_path: Path) -> None:
    """A26 A40: more clients than the host has threads come and go; the app never notices."""
    for number in range(9):
        with open_(host, f"/news?note={tmp_path}/{number}") as ws:
            ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ws.socket.shutdown(socket.SHUT_RD)
            ws.socket.close()
    for number in range(9):
        assert read(tmp_path / str(number)) == "cancelled"
    with open_(host, "/echo") as ws:
        ws.send("still served")
        assert ws.recv(LIMIT) == "still served"


def test_accepted_too_late(host: Host, note: Path) -> None:
    """A40: an app that accepts after its time opens no WebSocket, on no other client's socket."""
    assert status_of_handshake(host, f"/late?note={note}") == 500
    with ExitStack() as opened:
        others = [opened.enter_context(host.connect()) for _ in range(4)]
        for other in others[: 4 if ALL[host.name].parallel else 1]:
            other.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            assert other.recv(65536).startswith(b"HTTP/1.1 200")
        Path(f"{note}.go").touch()
        assert read(note) == "ClientDisconnected"
        for other in others:
            other.settimeout(0.2)
            try:
                said = other.recv(65536)
            except TimeoutError:
                said = b""
            assert b" 101 " not in said


def test_protocol_errors(host: Host) -> None:
    """A40: text that is no UTF-8 and frames without a mask end the connection."""
    with open_(host, "/echo") as ws:
        ws.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(LIMIT)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1007
    with open_(host, "/echo") as ws:
        ws.socket.sendall(b"\x81\x01x")
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(LIMIT)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1002


def test_back_pressure(host: Host, note: Path) -> None:
    """A40: an app that sends to a client that does not read is held up, and goes on later."""
    with open_(host, f"/flood?note={note}", max_queue=1, compression=None) as ws:
        sent = int(read(note))
        assert sent * 65536 < 20_000_000
        received = 0
        while isinstance(message := ws.recv(LIMIT), bytes):
            received += 1
        assert int(message) == received == sent


def test_bad_handshake(host: Host) -> None:
    """A40: a handshake that is wrong is refused with its own status, and never reaches the app."""
    with host.connect() as raw:
        raw.sendall(BAD_HANDSHAKE)
        assert raw.recv(65536).split(b" ", 2)[1] == b"426"


def test_many_at_once(host: Host) -> None:
    """A40: WebSockets beside each other, as many as the host has threads for."""
    if not ALL[host.name].parallel:
        pytest.skip(f"{host.name} serves one request at a time")
    with ExitStack() as opened:
        sockets = [opened.enter_context(open_(host, "/echo")) for _ in range(6)]
        for number, ws in enumerate(sockets):
            ws.send(f"I am {number}")
        for number, ws in enumerate(sockets):
            assert ws.recv(LIMIT) == f"I am {number}"


def test_never_answering(host: Host) -> None:
    """A22 A40: an app that does not answer the handshake is a 500 after response_timeout."""
    assert status_of_handshake(host, "/never") == 500


@pytest.mark.parametrize("name", KEEPING)
def test_not_possible(name: str, shared_host: StartHost) -> None:
    """A40: where the host keeps its socket, a 501 says which hosts do not."""
    if name == "mod_wsgi" and (why := why_no_mod_wsgi()):
        pytest.skip(why)
    host = shared_host(ALL[name].command)
    connection = http.client.HTTPConnection(host.address, host.port, timeout=LIMIT)
    connection.request("GET", "/echo", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    response = connection.getresponse()
    assert response.status == 501
    assert b"gunicorn (gthread, gevent" in response.read()
    connection.close()
