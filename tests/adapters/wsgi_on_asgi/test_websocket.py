"""The relay between an ASGI host and a WSGI app that takes its WebSocket's socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from websockets.frames import Close
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.adapters.wsgi_on_asgi import websocket
from bridge.adapters.wsgi_on_asgi.websocket import (
    CLOSED,
    OPEN,
    WAITING,
    RejectionSink,
    SocketRelay,
)
from bridge.http.response_head import text_head
from bridge.types import Environ, Message, StartResponse
from bridge.websocket.frames import Frames
from bridge.wsgi.environ import environ_from_scope
from tests.support.in_process import websocket_scope
from tests.support.websocket import BINARY, CONTINUATION, PING, TEXT, frame

CONNECT = {"type": "websocket.connect"}
LIMIT = 20


class Library:
    """What a WSGI library does with the socket in the environ: the server's side of RFC 6455."""

    def __init__(self, environ: Environ) -> None:
        self.sock: socket.socket = environ["werkzeug.socket"]
        self.sock.settimeout(LIMIT)
        self.frames = Frames(ServerProtocol(state=State.OPEN), 1 << 20, 0)

    def accept(self, *lines: str) -> Library:
        head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        self.sock.sendall("\r\n".join([*head, "Sec-WebSocket-Accept: x", *lines, "", ""]).encode())
        return self

    def send(self, data: str | bytes) -> None:
        text, data = (data, None) if isinstance(data, str) else (None, data)
        encoded = self.frames.encode(text, data)
        self.sock.sendall(encoded if isinstance(encoded, bytes) else b"".join(encoded))

    def receive(self) -> str | bytes | Close | None:
        """The next message, or the close; None at the end."""
        while (message := self.frames.next_message()) is None:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.frames.feed(data)
        return message


class Host:
    """An ASGI host: `coming` are its events, after which nothing comes; `sent` is the app's."""

    def __init__(self, *coming: Message) -> None:
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        for message in (CONNECT, *coming):
            self.coming.put_nowait(message)
        self.sent: list[Message] = []
        self.gone = False

    async def receive(self) -> Message:
        return await self.coming.get()

    async def send(self, message: Message) -> None:
        if self.gone:
            raise OSError("the client is gone")
        self.sent.append(message)


def relayed(app: Any, *coming: Message, host: Host | None = None, **scope: Any) -> list[Message]:
    """What a host is sent by an app that gets these events."""

    async def main() -> list[Message]:
        used = host or Host(*coming)
        relay = SocketRelay(websocket_scope("/") | scope, used.receive, used.send)
        await asyncio.wait_for(relay.run(app, environ_from_scope(websocket_scope("/"))), LIMIT)
        return used.sent

    return asyncio.run(main())


def said(text: str) -> Message:
    return {"type": "websocket.receive", "text": text}


def gone(code: int | None, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def closed(code: int, reason: str = "") -> Message:
    return {"type": "websocket.close", "code": code, "reason": reason}


def accepted(subprotocol: str | None = None, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "websocket.accept", "subprotocol": subprotocol, "headers": list(headers)}


def nothing(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return []


def test_messages_go_both_ways() -> None:
    """W60: text, bytes, large ones; the answer's fields and subprotocol; the client's close."""
    ended: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert environ["HTTP_UPGRADE"] == "websocket"
        assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
        library = Library(environ).accept("X-Mine: 1", "Sec-WebSocket-Protocol: v2")
        while isinstance(message := library.receive(), (str, bytes)):
            library.send(message)
        ended.append(message)
        return nothing(environ, start_response)

    large = bytes(300_000)

    class Waiting(Host):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if len(self.sent) == 4:  # the answer, and all echoes
                self.coming.put_nowait(gone(3000, "bye"))

    large_message = {"type": "websocket.receive", "bytes": large, "text": None}
    sent = relayed(app, host=Waiting(said("text"), large_message, said("")))
    assert sent == [
        accepted("v2", (b"x-mine", b"1")),
        {"type": "websocket.send", "text": "text"},
        {"type": "websocket.send", "bytes": large},
        {"type": "websocket.send", "text": ""},
    ]
    assert ended == [Close(3000, "bye")]


@pytest.mark.parametrize(
    ("code", "ends"), [(None, Close(1005, "")), (1005, Close(1005, "")), (1006, None)]
)
def test_clients_that_say_nothing_of_why(code: int | None, ends: Close | None) -> None:
    """W60: a close without a code is one for the app, too; a broken connection is the end."""
    ended: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        ended.append(Library(environ).accept().receive())
        return nothing(environ, start_response)

    assert relayed(app, gone(code)) == [accepted()]
    assert ended == [ends]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(TEXT, b"fra", fin=False, mask=None) + frame(CONTINUATION, b"g", mask=None), "frag"),
        (
            frame(TEXT, b"x", fin=False, mask=None)
            + frame(CONTINUATION, b"", fin=False, mask=None) * 1200
            + frame(PING, b"", mask=None)
            + frame(CONTINUATION, b"y", mask=None),
            "xy",
        ),
    ],
)
def test_fragments_and_pings_of_the_app(data: bytes, expected: str) -> None:
    """W60: fragments are one message, however many; pings are answered to the app."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        library = Library(environ).accept()
        library.sock.sendall(data)
        if frame(PING, b"", mask=None) in data:
            assert library.sock.recv(2)[0] == 0x8A
        return nothing(environ, start_response)

    sent = relayed(app)
    assert sent == [accepted(), {"type": "websocket.send", "text": expected}, closed(1000)]


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b"\x88\x0b" + (4001).to_bytes(2, "big") + b"because..", 4001, "because.."),
        (b"\x88\x00", 1000, ""),
        (frame(BINARY, b"masked"), 1011, ""),
        (frame(TEXT, b"\xff", mask=None), 1011, ""),
    ],
)
def test_the_app_closes_or_breaks_a_rule(data: bytes, code: int, reason: str) -> None:
    """W60: its code and reason reach the client, 1011 if it breaks a rule; nothing after that."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        library = Library(environ).accept()
        library.sock.sendall(data + frame(TEXT, b"late", mask=None))
        while library.sock.recv(65536):  # until the client's end, which is told by the host
            pass
        return nothing(environ, start_response)

    async def main() -> list[Message]:
        host = Host()
        relay = SocketRelay(websocket_scope("/"), host.receive, host.send)
        running = asyncio.create_task(relay.run(app, environ_from_scope(websocket_scope("/"))))
        while len(host.sent) < 2:
            await asyncio.sleep(0.001)
        host.coming.put_nowait(said("crossing"))
        host.coming.put_nowait(gone(code))
        await asyncio.wait_for(running, LIMIT)
        return host.sent

    assert asyncio.run(main()) == [accepted(), closed(code, reason)]


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(None, 1000, False), (ValueError("mine"), 1011, True), (ConnectionError(), 1000, False)],
)
def test_how_the_app_ends(error: Exception | None, code: int, told: bool) -> None:
    """W60 W38: 1000 if it returns or took the connection over; else 1011, and the host is told."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert Library(environ).accept().receive() == "go"
        if error is not None:
            raise error
        return nothing(environ, start_response)

    host = Host(said("go"))
    if told:
        with pytest.raises(ValueError, match="mine"):
            relayed(app, host=host)
    else:
        relayed(app, host=host)
    assert host.sent == [accepted(), closed(code)]


@pytest.mark.parametrize("extension", [True, False])
def test_an_app_that_does_not_take_it(extension: bool) -> None:
    """W60: its response if the host can send one, else a close, which is a 403."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("404 Not Found", [("X-Mine", "1")])
        return [b"not ", b"here"]

    extensions = {"websocket.http.response": {}} if extension else {}
    sent = relayed(app, extensions=extensions)
    if not extension:
        assert sent == [closed(1000)]
        return
    start, body = sent
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert (b"x-mine", b"1") in [(name.lower(), value) for name, value in start["headers"]]
    assert body == {"type": "websocket.http.response.body", "body": b"not here"}


@pytest.mark.parametrize("wrong", [b"HTTP/1.1 400 Bad\r\n\r\n", b"x" * 70_000], ids=["400", "long"])
def test_an_answer_on_the_socket_that_is_none(wrong: bytes) -> None:
    """W60: what is no 101 refuses the WebSocket."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        Library(environ).sock.sendall(wrong)
        return nothing(environ, start_response)

    assert relayed(app) == [closed(1000)]


def test_a_host_that_does_not_connect() -> None:
    """W60: the app is not called for a client that has left already."""
    host = Host()
    host.coming.get_nowait()
    host.coming.put_nowait(gone(1006))
    assert relayed(None, host=host) == []


def test_a_client_that_leaves_while_the_app_answers() -> None:
    """W60: the host's OSError ends the relay, without an error."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        Library(environ).accept()
        return nothing(environ, start_response)

    host = Host()
    host.gone = True
    assert relayed(app, host=host) == []


def test_what_the_app_says_when_the_client_has_left() -> None:
    """W60: goes nowhere."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        library = Library(environ).accept()
        assert library.receive() == Close(1000, "")
        library.sock.sendall(frame(TEXT, b"late", mask=None))
        return nothing(environ, start_response)

    assert relayed(app, gone(1000)) == [accepted()]


def test_an_app_that_closes_its_socket_before_it_has_read() -> None:
    """W60: what the client sends then goes nowhere, and the WebSocket is closed."""
    read = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        library = Library(environ).accept()
        assert library.sock.recv(1)
        read.set()
        library.sock.close()
        return nothing(environ, start_response)

    sent = relayed(app, *[{"type": "websocket.receive", "bytes": bytes(1 << 20)}] * 3)
    assert sent == [accepted(), closed(1000)]


@pytest.mark.parametrize("leaves", [False, True])
def test_no_thread_or_no_descriptor(leaves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """W60: 503, in whatever way the host can say it."""

    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(websocket, "start_thread", fail)
    host = Host()
    host.gone = leaves
    sent = relayed(nothing, host=host, extensions={"websocket.http.response": {}})
    assert [message.get("status") for message in sent] == ([] if leaves else [503, None])


def test_an_app_that_goes_on_after_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """W60: an app that only closes its socket holds up nothing, not even the end of the process."""
    monkeypatch.setattr(websocket, "_THREAD_EXIT_TIMEOUT", 0.01)
    go = threading.Event()
    threads: list[threading.Thread] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        threads.append(threading.current_thread())
        Library(environ).accept().sock.close()
        go.wait(LIMIT)
        return nothing(environ, start_response)

    assert relayed(app) == [accepted(), closed(1011)]
    go.set()
    threads[0].join(LIMIT)
    assert not threads[0].is_alive()


@pytest.mark.parametrize(
    ("error", "phase", "told"),
    [
        (ConnectionError(), WAITING, True),  # it has none yet
        (ConnectionError(), OPEN, False),  # the connection was taken over: python-engineio
        (BrokenPipeError(), CLOSED, False),  # the client has left
        (ConnectionRefusedError("no database"), OPEN, True),
        (ValueError(), CLOSED, True),
    ],
)
def test_how_an_app_says_that_it_took_the_connection_over(
    error: Exception, phase: int, told: bool
) -> None:
    """W60: by a ConnectionError, which is no error of it while it has the WebSocket."""
    sink = RejectionSink()
    sink.advance(phase)
    assert sink.failed(error)
    assert sink.taken_over is not told


def test_a_refusal_is_small() -> None:
    """W60: a response of more than 64 KiB has no place there; nor has a file."""
    sink = RejectionSink()
    assert sink.send_file(None, 1, None) is False
    with pytest.raises(OSError, match="small"):
        sink.respond(text_head("403 Forbidden", []), bytes(70_000))
    sink.finish()
    sink.abort()
    assert sink.head is None
