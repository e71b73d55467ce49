"""Open WebSockets: messages both ways, limits, pings, back-pressure, and all the ways to end."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
import websockets
from websockets.sync.client import connect

from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.types import Message, Receive, Scope, Send
from tests.support.raw import Closed
from tests.support.serving import served
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FINAL,
    PING,
    PONG,
    TEXT,
    Recorder,
    close_frame,
    echo,
    frame,
)


def accepted(talk: Any) -> Recorder:
    """An app that accepts and then talks: ``await talk(receive, send)``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await talk(receive, send)

    return Recorder(app)


def disconnect(code: int, reason: str = "") -> Message:
    """What the app is told at the end."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


# ------------------------------------------------------------- messages


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_all_kinds_with_a_client_that_knows_the_rules(compression: str | None) -> None:
    """S20: text and binary, empty, long, fragmented, and pings between, with and without 7692."""
    with (
        served(echo) as server,
        connect(server.url("/x"), compression=compression, max_size=None) as client,
    ):
        assert bool(client.protocol.extensions) == bool(compression)
        for message in ("", "κόσμε", "x" * 70_000, b"", b"\xff" * 200_000, "y" * 125, b"z" * 126):
            client.send(message)
            assert client.recv() == message
        client.send(["frag", "", "mén", "ts"])
        assert client.recv() == "fragménts"
        assert client.ping(b"now").wait(20)
        for number in range(100):
            client.send(f"{number}" * 50)
        assert [client.recv() for _ in range(100)] == [f"{number}" * 50 for number in range(100)]
        client.close(3456, "bye")
        assert (client.close_code, client.close_reason) == (3456, "bye")


def test_compression_is_a_setting() -> None:
    """S20: `ws_per_message_deflate` off: no extension, though the client offers it."""
    with served(echo, ws_per_message_deflate=False) as server, connect(server.url()) as client:
        assert not client.protocol.extensions
        client.send("plain")
        assert client.recv() == "plain"


def test_what_the_app_gets() -> None:
    """S20: one key for the payload; the farewell after everything else, and again if asked."""

    async def talk(receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass
        await receive()

    app = accepted(talk)
    with served(app) as server, server.open() as client:
        client.say(
            frame(TEXT, b"a"), frame(BINARY, b"b"), frame(TEXT, b""), close_frame(3000, "done")
        )
        assert client.read_close() == (3000, "done")
    assert [app.next() for _ in range(6)] == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.receive", "text": ""},
        disconnect(3000, "done"),
        disconnect(3000, "done"),
    ]


def test_one_write_for_a_message() -> None:
    """S20: a short message, a long one and one of bytes-like objects arrive whole and in order."""

    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "text": "a", "bytes": None})
        await send({"type": "websocket.send", "text": "b" * 100_000})
        await send({"type": "websocket.send", "bytes": bytearray(b"c")})
        await send({"type": "websocket.send", "bytes": memoryview(b"d" * 70_000)})

    with served(accepted(talk)) as server, server.open() as client:
        assert client.read() == (FINAL | TEXT, b"a")
        assert client.read() == (FINAL | TEXT, b"b" * 100_000)
        assert client.read() == (FINAL | BINARY, b"c")
        assert client.read() == (FINAL | BINARY, b"d" * 70_000)
        client.say(close_frame(1000))
        assert client.read_close() == (1000, "")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "websocket.send"}, "one of them must be given"),
        ({"type": "websocket.send", "text": None, "bytes": None}, "one of them"),
        ({"type": "websocket.send", "text": "a", "bytes": b"a"}, "one of them"),
        ({"type": "websocket.send", "text": b"a"}, "text bytes"),
        ({"type": "websocket.send", "bytes": "a"}, "must be bytes"),
        ({"type": "websocket.send", "text": "\ud800"}, "UTF-8"),
        ({"type": "websocket.accept"}, "while the WebSocket is open"),
        ({"type": "websocket.http.response.start", "status": 200}, "while the WebSocket is open"),
        ({"type": "websocket.nonsense"}, "unknown message type"),
        ({"text": "a"}, "'type'"),
        ([], "'type'"),
        ({"type": "websocket.close", "code": 1005}, "close code 1005"),
        ({"type": "websocket.close", "code": "1000"}, "must be an int"),
        ({"type": "websocket.close", "code": 1000, "reason": "x" * 124}, "control frame too long"),
        ({"type": "websocket.close", "code": 1000, "reason": b"x"}, "a str"),
    ],
)
def test_messages_that_an_app_may_not_send(message: Any, said: str) -> None:
    """S20: the app gets an error that says what was seen; the WebSocket stays as it was."""

    async def talk(receive: Receive, send: Send) -> None:
        with pytest.raises(IllegalMessage) as caught:
            await send(message)
        await send({"type": "websocket.send", "text": str(caught.value)})

    with served(accepted(talk)) as server, server.open() as client:
        assert said in client.read_text()


def test_several_tasks_receive_and_some_are_cancelled() -> None:
    """S20: no message is lost when a `receive` is cancelled, and each goes to one task."""

    async def talk(receive: Receive, send: Send) -> None:
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.001)
        await send({"type": "websocket.send", "text": "go"})
        got = await asyncio.gather(receive(), receive(), receive())
        text = "".join(sorted(message["text"] for message in got))
        await send({"type": "websocket.send", "text": text})

    with served(accepted(talk)) as server, server.open() as client:
        assert client.read_text() == "go"
        for text in "abc":
            client.text(text)
        assert client.read_text() == "abc"


# ------------------------------------------------------------- limits and pressure


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        ({"ws_max_message_size": 1000}, frame(BINARY, bytes(1001))),
        ({"ws_max_message_size": 1000}, frame(BINARY, size=1 << 40)),
        (
            {"ws_max_message_size": 1000},
            frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 600),
        ),
        ({"ws_max_frame_size": 100}, frame(BINARY, bytes(101))),
    ],
)
def test_more_than_the_limit_is_1009(limits: dict[str, int], sent: bytes) -> None:
    """S20: the client is told, and the app; what came before has been answered."""
    app = Recorder(echo)
    with served(app, **limits) as server, server.open() as client:
        client.say(frame(TEXT, b"before"), sent)
        assert client.read_text() == "before"
        code, reason = client.read_close()
        assert code == 1009
        assert "limit" in reason
        assert app.next()["type"] == "websocket.connect"
        assert app.next()["text"] == "before"
        assert app.next() == disconnect(1009, reason)


def test_a_compression_bomb_is_1009() -> None:
    """S20: a message of 64 MB in 64 kB, with the limit of 16 MB that stands by default."""
    with served(echo) as server, connect(server.url(), max_size=None) as client:
        client.send(b"ok")
        assert client.recv() == b"ok"
        client.send(bytes(64 << 20))
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def flood(client: Any, message: bytes, most: int) -> int:
    """Send `message` until the server takes no more; how often, at most `most` times."""
    client.sock.settimeout(0.3)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    sent = 0
    try:
        while sent < most:
            client.send(message)
            sent += 1
    except TimeoutError:
        pass
    client.sock.settimeout(20)
    return sent


@pytest.mark.parametrize("size", [10, 60_000])
def test_an_app_that_does_not_receive_stops_the_client(size: int) -> None:
    """S20: at `ws_max_queue` messages, and at 64 KiB of them; then all of them arrive."""
    go = asyncio.Event()
    lengths: SimpleQueue[int] = SimpleQueue()

    async def talk(receive: Receive, send: Send) -> None:
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            lengths.put(len(message["bytes"]))

    waiting: list[int] = []
    with served(accepted(talk), ws_max_queue=8) as server, server.open() as client:
        batch = frame(BINARY, bytes(size)) * max(1, 20_000 // size)
        sent = flood(client, batch, 1 << 26)

        def look() -> None:
            (connection,) = server.server.state.connections
            waiting.append(len(connection.queue.events))  # type: ignore[attr-defined]

        server.call(look)
        server.call(go.set)
        client.say(close_frame(1000))  # what is left of the last batch was cut by the timeout
        for _ in range(sent * max(1, 20_000 // size)):
            assert lengths.get(timeout=20) == size
        assert waiting == [8 if size == 10 else 2]


def the_connection(server: Any) -> Any:
    """The only connection of a server."""
    (connection,) = server.server.state.connections
    return connection


def wait_for(server: Any, condition: Callable[[], bool]) -> None:
    """Ask on the server's loop until it is so."""
    while not server.call(condition):
        pass


@pytest.mark.parametrize("way", ["read on", "vanish"])
def test_messages_that_come_one_by_one_fill_the_queue_too(way: str) -> None:
    """S20: reading pauses at `ws_max_queue`; a client that leaves meanwhile is noticed."""
    go = asyncio.Event()

    async def talk(receive: Receive, send: Send) -> None:
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    app = accepted(talk)
    with served(app, ws_max_queue=2) as server, server.open() as client:
        queue = server.call(lambda: the_connection(server).queue)
        for number in range(2):
            client.text(str(number))
            wait_for(server, lambda n=number: len(queue.events) == n + 1)
        assert server.call(lambda: queue.full)
        if way == "read on":
            server.call(go.set)
            assert [client.read_text(), client.read_text()] == ["0", "1"]
            client.text("2")
            assert client.read_text() == "2"
        else:
            client.reset()
            wait_for(server, lambda: queue.disconnect is not None)
            assert queue.disconnect == disconnect(1006)
            server.call(go.set)


def test_an_app_that_refuses() -> None:
    """S20: a close instead of the accept is a 403; else a response of the app's own."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    async def denying(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 418})
        await send({"type": "websocket.http.response.body", "body": b"no coffee"})

    for app, status in ((closing, 403), (denying, 418)):
        with served(app) as server, server.connect() as client:
            assert client.open_handshake().status == status


def test_a_server_that_stops_leaves_what_is_closed_alone() -> None:
    """S20 P2: one that closes already is told nothing more, one that is closed is not cut."""

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        await go.wait()

    go = asyncio.Event()
    with served(accepted(talk)) as server, server.open() as client:
        client.text("close")
        assert client.read_close_frame() == (4000, "")
        connection = server.call(lambda: the_connection(server))
        server.call(lambda: connection.shutdown(at_once=False))
        client.say(close_frame(4000))
        assert client.is_closed()
        wait_for(server, lambda: connection.output.closed)
        server.call(lambda: connection.shutdown(at_once=True))
        server.call(lambda: connection.check_timeouts(0.0))
        server.call(go.set)


def test_a_client_that_does_not_read_stops_the_app() -> None:
    """S20: `send` waits at 64 KiB, and goes on when the client reads."""
    sent: list[int] = [0]

    async def talk(receive: Receive, send: Send) -> None:
        for _ in range(2000):
            await send({"type": "websocket.send", "bytes": bytes(30_000)})
            sent[0] += 1

    with served(accepted(talk)) as server, server.open() as client:

        def paused() -> bool:
            (connection,) = server.server.state.connections
            return connection.output.paused  # type: ignore[attr-defined]

        while not server.call(paused):
            pass
        assert sent[0] < 1000
        for _ in range(2000):
            assert client.read() == (FINAL | BINARY, bytes(30_000))
        assert client.read_close_frame() == (1000, "")


def test_pings_are_answered_only_as_fast_as_the_answers_are_taken() -> None:
    """S20: a flood of pings from a client that reads no pongs fills no memory."""
    with served(echo) as server, server.open() as client:
        pings = frame(PING, bytes(125)) * 400
        sent = flood(client, pings, 2000)
        assert sent < 2000, "100 MB of pings were answered into nowhere"

        def waiting() -> int:
            (connection,) = server.server.state.connections
            return connection.output.transport.get_write_buffer_size()  # type: ignore[attr-defined]

        assert server.call(waiting) < 1 << 20
        for _ in range(sent * 400):
            assert client.read() == (FINAL | PONG, bytes(125))


@pytest.mark.parametrize("last", [b"", close_frame(1000)], ids=["open", "closed"])
def test_others_have_their_turn_between_very_many_frames(last: bytes) -> None:
    """S20: a flood of tiny fragments does not hold the loop; nothing is lost or out of order."""
    with served(echo) as server, server.open() as client:
        frames = server.call(lambda: next(iter(server.server.state.connections)).frames)
        looks, plain = 0, frames.next_message

        def counting() -> Any:
            nonlocal looks
            looks += 1
            return plain()

        frames.next_message = counting
        tiny = frame(CONTINUATION, b"x", fin=False)
        client.say(frame(TEXT, b"x", fin=False), tiny * 5000, frame(CONTINUATION, b"y"), last)
        assert client.read_text() == "x" * 5001 + "y"
        assert looks > 10
        if last:
            assert client.read_close() == (1000, "")
        else:
            client.text("still here")
            assert client.read_text() == "still here"


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    """S20 S2: after `timeout_write`; the app's `send` then raises OSError."""
    raised: SimpleQueue[BaseException] = SimpleQueue()

    async def talk(receive: Receive, send: Send) -> None:
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError as error:
            raised.put(error)
            raise

    with served(accepted(talk), timeout_write=1) as server, server.open():
        assert isinstance(raised.get(timeout=20), ClientDisconnected)


# ------------------------------------------------------------- pings


def test_pings_and_a_client_that_is_dead() -> None:
    """S20: a ping in each interval; without a sign of life for the timeout, 1011 to both."""
    app = Recorder(echo)
    with (
        served(app, ws_ping_interval=1, ws_ping_timeout=1) as server,
        server.open() as client,
    ):
        assert client.read() == (FINAL | PING, b"")
        client.say(frame(PONG))
        assert client.read() == (FINAL | PING, b"")
        code, reason = client.read_close()
        assert (code, reason) == (1011, "keepalive ping timeout")
        assert app.next()["type"] == "websocket.connect"
        assert app.next() == disconnect(1011, reason)


def test_anything_that_comes_is_a_sign_of_life() -> None:
    """S20: a client cannot answer a ping in the middle of a long frame; it is not cut for that."""
    message = frame(BINARY, bytes(10))
    with (
        served(echo, ws_ping_interval=1, ws_ping_timeout=1) as server,
        server.open() as client,
    ):
        for byte in message[:3]:
            assert client.read() == (FINAL | PING, b"")
            client.send(bytes((byte,)))
        client.send(message[3:])
        assert client.read() == (FINAL | BINARY, bytes(10))


@pytest.mark.parametrize("slow", ["app", "client"])
def test_a_side_that_is_slow_is_not_taken_for_dead(slow: str) -> None:
    """S20: while the app does not receive, or pings wait behind data, no pong can be expected."""
    go = asyncio.Event()

    async def talk(receive: Receive, send: Send) -> None:
        if slow == "app":
            await go.wait()
            while (await receive())["type"] == "websocket.receive":
                pass
        else:
            await send({"type": "websocket.send", "bytes": bytes(25 << 20)})
            await receive()

    settings = {"ws_ping_interval": 1, "ws_ping_timeout": 3, "ws_max_queue": 4}
    app = accepted(talk)
    with served(app, **settings) as server, server.open() as client:
        if slow == "app":
            client.say(*[frame(TEXT, b"x")] * 10)
            for _ in range(3):
                assert client.read() == (FINAL | PING, b"")
            server.call(go.set)
        else:
            for _ in range(25):  # a slow client: a mebibyte every fifth of a second
                client.exactly(1 << 20)
                time.sleep(0.2)
        client.say(close_frame(1000))
        while (message := app.next())["type"] != "websocket.disconnect":
            pass
        assert message == disconnect(1000)


def test_no_pings_where_none_are_wanted() -> None:
    """S20: `ws_ping_interval` 0; two looks at the clock go by without a ping."""
    with served(echo, ws_ping_interval=0) as server, server.open() as client:
        assert not client.is_closed(timeout=2.2)
        assert not client.data


# ------------------------------------------------------------- the client ends


@pytest.mark.parametrize(
    ("sent", "answer", "told"),
    [
        (close_frame(1000), (1000, ""), disconnect(1000)),
        (close_frame(4999, "ünd"), (4999, "ünd"), disconnect(4999, "ünd")),
        (frame(CLOSE), (1005, ""), disconnect(1005)),
        (frame(CLOSE, b"\x03"), (1002, "close frame too short"), None),
        (close_frame(1005), (1002, "invalid status code"), None),
        (frame(TEXT, b"\xff"), (1007, "invalid start byte at position 0"), None),
        (frame(PING, rsv=0x40), (1002, "reserved bits must be 0"), None),
    ],
)
def test_the_clients_close_and_its_errors(
    sent: bytes, answer: tuple[int, str], told: Message | None
) -> None:
    """S20: the close is answered in kind, an error by its code; then the server closes."""
    app = Recorder(echo)
    with served(app) as server, server.open() as client:
        client.say(sent)
        assert client.read_close() == answer
        assert app.next()["type"] == "websocket.connect"
        assert app.next() == (told or disconnect(*answer))


def test_what_comes_after_an_error_is_thrown_away() -> None:
    """S20: a client that goes on sending gets the close frame all the same, not a reset."""
    with served(echo) as server, server.open() as client:
        client.say(frame(TEXT, b"\xff"))
        client.send_pieces([frame(BINARY, bytes(50_000))] * 100)
        assert client.read_close_frame()[0] == 1007


@pytest.mark.parametrize("way", ["fin", "reset", "in the midst of a frame"])
def test_a_client_that_vanishes(way: str) -> None:
    """S20 S12: 1006 to the app, and OSError from `send`."""
    raised: SimpleQueue[BaseException] = SimpleQueue()

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        for message in (
            {"type": "websocket.send", "text": "too late"},
            {"type": "websocket.close"},
        ):
            try:
                await send(message)
            except OSError as error:
                raised.put(error)
        await send({"type": "websocket.send", "text": "too late"})

    app = accepted(talk)
    with served(app) as server:
        client = server.open()
        if way == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way != "fin":
            client.send(frame(TEXT, b"Hello")[:5])
        client.sock.close()
        assert app.next()["type"] == "websocket.connect"
        assert app.next() == disconnect(1006)
        for _ in range(2):
            assert isinstance(raised.get(timeout=20), ClientDisconnected)


def test_no_traceback_for_a_client_that_has_left(caplog: pytest.LogCaptureFixture) -> None:
    """S20: an app that lets the OSError of its `send` pass has done nothing wrong."""

    async def talk(receive: Receive, send: Send) -> None:
        while True:
            await send({"type": "websocket.send", "text": "x" * 1000})

    with served(accepted(talk)) as server:
        server.open().sock.close()
    assert caplog.text.count("raised") == 0


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_what_came_with_the_close_can_be_answered(compression: str | None) -> None:
    """S20: a message and the close in one packet: the answer leaves before the close frame."""
    with served(echo) as server, connect(server.url(), compression=compression) as client:
        protocol = client.protocol
        protocol.send_text(b"Hello")
        protocol.send_close(3000, "bye")
        client.socket.sendall(b"".join(protocol.data_to_send()))
        assert client.recv() == "Hello"
        with pytest.raises(websockets.ConnectionClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (3000, "bye")


@pytest.mark.parametrize("how", ["close", "return"])
def test_an_app_that_closes_when_the_client_has_closed_already(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S20: between a message and its answer the client's close came: that one counts."""
    told: SimpleQueue[Message] = SimpleQueue()

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        if how == "close":
            await send({"type": "websocket.close", "code": 4000})
            told.put(await receive())

    with served(accepted(talk)) as server, server.open() as client:
        client.say(frame(TEXT, b"x"), close_frame(3000, "first"))
        assert client.read_close() == (3000, "first")
        if how == "close":
            assert told.get(timeout=20) == disconnect(3000, "first")
    assert "Traceback" not in caplog.text


# ------------------------------------------------------------- the app ends


@pytest.mark.parametrize(
    ("message", "closed"),
    [
        ({}, (1000, "")),
        ({"code": None, "reason": None}, (1000, "")),
        ({"code": 4001, "reason": "enough"}, (4001, "enough")),
    ],
)
def test_the_app_closes(message: Message, closed: tuple[int, str]) -> None:
    """S20: with code and reason; then `receive` tells of it, and nothing more may be sent."""

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", **message})
        assert await receive() == disconnect(*closed)
        with pytest.raises(IllegalMessage, match="after the end"):
            await send({"type": "websocket.send", "text": "more"})

    with served(accepted(talk)) as server, server.open() as client:
        client.say(*[frame(TEXT, b"unread")] * 5)
        assert client.read_close_frame() == closed
        client.say(frame(TEXT, b"on its way"), frame(PING, b"?"))
        assert client.read() == (FINAL | PONG, b"?")
        client.say(close_frame(closed[0]))
        assert client.is_closed()


def test_a_close_to_a_client_that_was_stopped() -> None:
    """S20: if reading was paused because the app did not receive, the closing goes through."""

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    with served(accepted(talk), ws_max_queue=2) as server, server.open() as client:
        client.say(*[frame(TEXT, b"x")] * 50, close_frame(1000))
        assert client.read_close() == (1000, "")


@pytest.mark.parametrize("fails", [False, True])
def test_an_app_that_returns_or_raises(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    """S20 S14: the WebSocket is closed with 1000, or with 1011 and a line in the log."""

    async def talk(receive: Receive, send: Send) -> None:
        if fails:
            raise LookupError("nothing there")

    with served(accepted(talk)) as server, server.open("/gone?x") as client:
        assert client.read_close_frame() == (1011 if fails else 1000, "")
        client.say(close_frame(1000))
        assert client.is_closed()
    assert ("nothing there" in caplog.text) == fails
    assert ("/gone" in caplog.text) == fails


def test_a_client_that_does_not_answer_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """S20: it is cut after `CLOSE_TIMEOUT`."""
    monkeypatch.setattr("bridge.server.websocket.connection.CLOSE_TIMEOUT", 0.5)

    async def talk(receive: Receive, send: Send) -> None:
        pass

    with served(accepted(talk)) as server, server.open() as client:
        assert client.read_close_frame() == (1000, "")
        assert client.is_closed()


# ------------------------------------------------------------- the server ends


def test_shutdown_is_1012() -> None:
    """S20 P2: each client is told 1012, each app too, and may clean up; then the server ends."""
    cleaned: list[int] = []

    async def talk(receive: Receive, send: Send) -> None:
        code = (await receive())["code"]
        await asyncio.sleep(0.1)
        cleaned.append(code)

    with served(accepted(talk)) as server, server.open() as first, server.open() as second:
        server.ask_to_stop()
        for client in (first, second):
            assert client.read_close_frame() == (1012, "")
            client.say(close_frame(1012))
            assert client.is_closed()
    assert cleaned == [1012, 1012]


def test_shutdown_with_an_app_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    """S20 P2: after `timeout_graceful_shutdown` it is cancelled, and the client cut off."""
    cancelled: list[bool] = []

    async def talk(receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with (
        served(accepted(talk), timeout_graceful_shutdown=0.3) as server,
        server.open() as client,
    ):
        server.ask_to_stop()
        assert client.read_close_frame() == (1012, "")
        with pytest.raises((Closed, ConnectionResetError)):
            client.read()
        server.stop()
    assert cancelled == [True]
    assert "Traceback" not in caplog.text
