"""WebSockets behind a WSGI host, without a server: the host is a thread with a socket pair."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bridge.adapters.asgi_on_wsgi.websocket import WebSocketExchange
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.errors import AppError, ClientDisconnected, IllegalMessage
from tests.adapters.asgi_on_wsgi.direct import LIMIT, call, environ
from tests.support.websocket import BINARY, CONTINUATION, frame

ACCEPT = {"type": "websocket.accept"}


class SocketHost:
    """Reads one handshake from its end of a socket pair, and calls the adapter with it."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self.client, self.server = socket.socketpair()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.server.recv(65536)
        lines = head.decode().split("\r\n")[1:-2]
        fields = {
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in (line.split(": ", 1) for line in lines)
        }
        made = environ(**fields, **{"werkzeug.socket": self.server})
        sent: list[Any] = []
        try:
            body = self.adapter(made, lambda *told: sent.append(told))
            status, headers = sent[0][:2]
            lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
            self.server.sendall("\r\n".join(lines).encode() + b"".join(body))
        except BaseException as error:
            self.error = error
        self.blocks = os.get_blocking(self.server.fileno())  # as the host has left it
        self.server.close()

    def end(self) -> None:
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()
        self.client.close()


@contextmanager
def opened(app: Any, client: Any = None, **settings: Any) -> Iterator[ClientConnection]:
    """A client's WebSocket to `app`; at its end the host's thread must have ended, in its way."""
    adapter = AsgiToWsgi(app, lifespan="off", **settings)
    host = SocketHost(adapter)
    try:
        with connect("ws://host/", sock=host.client, open_timeout=LIMIT, **(client or {})) as ws:
            yield ws
        host.end()
        assert isinstance(host.error, BrokenPipeError)
        assert host.blocks
    finally:
        assert adapter.close(LIMIT)


def refused(app: Any, **settings: Any) -> tuple[int, bytes, BaseException | None]:
    """Status and body of a refusal; or what was raised to the host."""
    adapter = AsgiToWsgi(app, lifespan="off", **settings)
    host = SocketHost(adapter)
    status, body = 0, b""
    try:
        with connect("ws://host/", sock=host.client, open_timeout=LIMIT):
            pass
    except InvalidStatus as error:
        status, body = error.response.status_code, bytes(error.response.body or b"")
    except Exception:
        pass  # the host raised, and its socket was closed
    host.end()
    assert host.blocks
    assert adapter.close(LIMIT)
    return status, body, host.error


def closed_with(ws: ClientConnection) -> tuple[int, str]:
    try:
        while True:
            ws.recv(LIMIT)
    except ConnectionClosed as closed:
        return (
            (0, "no close frame") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
        )


class TestOpen:
    def test_echo(self) -> None:
        """A40: text and bytes go both ways; the close is the client's."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert await receive() == {"type": "websocket.connect"}
            await send(ACCEPT)
            while (message := await receive())["type"] == "websocket.receive":
                await send({**message, "type": "websocket.send"})
            assert message == {"type": "websocket.disconnect", "code": 1000, "reason": "bye"}

        with opened(app) as ws:
            for said in ("text", b"bytes", "x" * 300_000):
                ws.send(said)
                assert ws.recv(LIMIT) == said
            ws.close(1000, "bye")

    def test_receive_before_accept(self) -> None:
        """A40: an app may wait for messages before it has answered the handshake."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            early = asyncio.create_task(receive())
            await asyncio.sleep(0)
            await send(ACCEPT)
            await send({"type": "websocket.send", "text": (await early)["text"]})

        with opened(app) as ws:
            ws.send("early")
            assert ws.recv(LIMIT) == "early"
            assert closed_with(ws) == (1000, "")

    def test_illegal_messages(self) -> None:
        """A21 A40: what may not be sent raises in the app, which can go on."""
        wrong = [
            {"type": "websocket.send"},
            {"type": "websocket.send", "text": "a", "bytes": b"b"},
            {"type": "websocket.send", "text": 5},
            {"type": "websocket.send", "bytes": "text"},
            {"type": "websocket.accept"},
            {"type": "websocket.close", "code": 5},
            {"type": "websocket.close", "code": 1000, "reason": "x" * 200},
            {"type": "websocket.http.response.start", "status": 200},
        ]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for early in (
                {"type": "websocket.send", "text": "early"},
                {**ACCEPT, "subprotocol": "not offered"},
                {**ACCEPT, "headers": [(b"sec-websocket-accept", b"mine")]},
            ):
                with pytest.raises(IllegalMessage):
                    await send(early)
            await send(ACCEPT)
            for message in wrong:
                with pytest.raises(IllegalMessage):
                    await send(message)
            await send({"type": "websocket.close", "code": 3000, "reason": "all were refused"})
            with pytest.raises(IllegalMessage):
                await send({"type": "websocket.send", "text": "late"})

        with opened(app) as ws:
            assert closed_with(ws) == (3000, "all were refused")

    def test_send_after_the_client_left(self) -> None:
        """A40: sending to a client that is gone raises ClientDisconnected, an OSError."""
        heard: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            heard.extend([await receive(), await receive()])
            try:
                await send({"type": "websocket.send", "text": "anybody there?"})
            except ClientDisconnected as error:
                heard.append(error)
                raise

        with opened(app) as ws:
            ws.socket.shutdown(socket.SHUT_RDWR)
        assert [message["code"] for message in heard[:2]] == [1006, 1006]
        assert isinstance(heard[2], OSError)

    def test_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        """A40: an app that fails is logged, and closes with 1011."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(ACCEPT)
            raise ValueError("mine")

        with opened(app) as ws:
            assert closed_with(ws) == (1011, "")
        assert "the app failed in a WebSocket" in caplog.text

    def test_slow_app(self) -> None:
        """A40: an app that does not receive stops the client, and loses nothing."""
        go = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            await asyncio.to_thread(go.wait, LIMIT)
            total = 0
            while (message := await receive()).get("text") != "end":
                total += len(message["bytes"])
            await send({"type": "websocket.send", "text": str(total)})

        with opened(app, {"compression": None}) as ws:
            stopped = threading.Event()

            def push() -> None:
                for _ in range(200):
                    ws.send(b"x" * 65536)
                stopped.set()
                ws.send("end")

            pusher = threading.Thread(target=push)
            pusher.start()
            assert not stopped.wait(0.3)
            go.set()
            assert ws.recv(LIMIT) == str(200 * 65536)
            pusher.join()

    def test_message_that_is_too_big(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: a message over the limit ends the connection with 1009, compressed or not."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.MAX_SIZE", 1000)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(ACCEPT)
            await receive()
            assert (await receive())["code"] == 1009

        with opened(app) as ws:
            ws.send("x" * 2000)
            assert closed_with(ws)[0] == 1009

    @pytest.mark.parametrize("takes", [True, False], ids=["quick", "slow"])
    def test_very_many_messages_at_once(self, takes: bool) -> None:
        """A40: what comes at once is taken in turns, in its order, and no more than may wait."""
        number, most = 5000, 0
        go = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal most
            await receive()
            await send(ACCEPT)
            if not takes:
                await asyncio.to_thread(go.wait, LIMIT)
            for expected in range(number):
                assert (await receive())["bytes"] == str(expected).encode()
                most = max(most, len(receive.__self__.events))
            await send({"type": "websocket.send", "text": "all"})

        with opened(app, {"compression": None}) as ws:
            ws.socket.sendall(b"".join(frame(BINARY, str(each).encode()) for each in range(number)))
            ws.ping().wait(0.1)
            go.set()
            assert ws.recv(LIMIT) == "all"
        assert most < 1000

    def test_a_close_behind_messages_that_nobody_takes(self) -> None:
        """A40: when the app has closed, the client's close frame is found behind any messages."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            while not receive.__self__.full:
                await asyncio.sleep(0.01)
            await send({"type": "websocket.close", "code": 3000})

        with opened(app, {"compression": None}) as ws:
            ws.socket.sendall(frame(BINARY, b"x") * 5000)
            assert closed_with(ws) == (3000, "")

    def test_tiny_fragments(self) -> None:
        """A40: fragments of two bytes are kept as bytes, not as an object each."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            await send({"type": "websocket.send", "text": str(len((await receive())["bytes"]))})

        number, kept = 20_000, 0
        with opened(app, {"compression": None}) as ws:
            ws.socket.sendall(frame(BINARY, b"xy", fin=False))
            tracemalloc.start()
            try:
                ws.socket.sendall(frame(CONTINUATION, b"xy", fin=False) * (number - 2))
                ws.ping().wait(LIMIT)  # they were all taken
                kept = tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()
            ws.socket.sendall(frame(CONTINUATION, b"xy"))
            assert ws.recv(LIMIT) == str(2 * number)
        assert 2 * number <= kept < 10 * 2 * number


class TestEndOfTheConnection:
    """Where the app goes on, the host's thread does not."""

    @pytest.mark.parametrize("swallowed", [0, 3])
    def test_app_that_does_not_notice(
        self, swallowed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A26 A40: the thread goes when the connection does; the app is cancelled after that."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.instance.FIRST_PAUSE", 0.01)
        cancelled = 0
        ended = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal cancelled
            await receive()
            await send(ACCEPT)
            while cancelled <= swallowed:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled += 1
            with pytest.raises(ClientDisconnected):
                await send({"type": "websocket.send", "text": "late"})
            ended.set()

        with opened(app, disconnect_grace=0.05) as ws:
            ws.socket.shutdown(socket.SHUT_RDWR)
        assert ended.wait(LIMIT)

    def test_thread_does_not_wait_for_the_grace(self) -> None:
        """A40: the thread is free before the app has ended."""
        go = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            await asyncio.to_thread(go.wait, LIMIT)

        adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=LIMIT)
        host = SocketHost(adapter)
        with connect("ws://host/", sock=host.client) as ws:
            ws.socket.shutdown(socket.SHUT_RDWR)
        host.end()  # while the app still waits
        go.set()
        assert adapter.close(LIMIT)

    def test_error_after_the_end(self, caplog: pytest.LogCaptureFixture) -> None:
        """A26 A40: what an app raises later is logged, if it does not come of the leaving."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            assert (await receive())["type"] == "websocket.disconnect"
            raise ValueError("mine")

        with opened(app) as ws:
            ws.socket.shutdown(socket.SHUT_RDWR)
        assert "the app raised after its WebSocket was over" in caplog.text
        assert "mine" in caplog.text

    @pytest.mark.parametrize("how", ["reset", "half-closed"])
    def test_app_that_does_not_read(self, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: a client that leaves behind messages that nobody takes frees the thread as well."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.PING_INTERVAL", 0.05)
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.CLOSE_TIMEOUT", 0.05)
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.instance.FIRST_PAUSE", 0.01)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            await asyncio.Event().wait()

        adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=0.01)
        host = SocketHost(adapter)
        host.client.sendall(TestLeftBeforeTheAnswer.HANDSHAKE)
        assert host.client.recv(12) == b"HTTP/1.1 101"
        for _ in range(20):
            host.client.sendall(frame(BINARY, b"x" * 8192))
        if how == "reset":
            host.client.close()
        else:
            host.client.shutdown(socket.SHUT_WR)
        host.end()
        assert adapter.close(LIMIT)

    def test_client_that_does_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: nor does one hold it that has stopped sending, and takes nothing."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.CLOSE_TIMEOUT", 0.05)
        raised: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            try:
                while True:
                    await send({"type": "websocket.send", "bytes": b"x" * 65536})
            except OSError as error:
                raised.append(error)

        adapter = AsgiToWsgi(app, lifespan="off")
        host = SocketHost(adapter)
        host.client.sendall(TestLeftBeforeTheAnswer.HANDSHAKE)
        assert host.client.recv(12) == b"HTTP/1.1 101"
        host.client.shutdown(socket.SHUT_WR)
        host.end()
        assert adapter.close(LIMIT)
        assert isinstance(raised[0], ClientDisconnected)


class TestLeftBeforeTheAnswer:
    HANDSHAKE = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )

    @pytest.mark.parametrize("early", [b"", frame(BINARY, b"too early")], ids=["silent", "early"])
    def test_client(self, early: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        """A26 A40: a client that leaves before the app has answered frees the thread.

        Also one that leaves bytes behind, which nobody reads before the answer.
        """
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.TICK", 0.02)
        heard: list[Any] = []
        begun, cancelled = threading.Event(), threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            begun.set()
            heard.append(await receive())
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        adapter = AsgiToWsgi(app, lifespan="off", response_timeout=None, disconnect_grace=0.02)
        host = SocketHost(adapter)
        host.client.sendall(self.HANDSHAKE)
        assert begun.wait(LIMIT)  # the host has read no more than the handshake
        host.client.sendall(early)
        host.client.shutdown(socket.SHUT_WR)
        host.thread.join(LIMIT)
        assert isinstance(host.error, BrokenPipeError)
        assert cancelled.wait(LIMIT)
        assert [message["type"] for message in heard] == ["websocket.disconnect"]
        assert adapter.close(LIMIT)
        host.end()

    def test_late_accept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: a WebSocket accepted when the host has let go never opens, on nobody's socket."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.TICK", 0.02)
        raised: list[BaseException] = []
        go, done = threading.Event(), threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.to_thread(go.wait, LIMIT)
            for late in (ACCEPT, {"type": "websocket.send", "text": "secret"}):
                try:
                    await send(late)
                except OSError as error:
                    raised.append(error)
            done.set()

        adapter = AsgiToWsgi(app, lifespan="off", response_timeout=0.02)
        host = SocketHost(adapter)
        number = host.server.fileno()
        host.client.sendall(self.HANDSHAKE)
        host.thread.join(LIMIT)
        pairs = [socket.socketpair() for _ in range(8)]  # the next clients get the number
        assert number in [end.fileno() for pair in pairs for end in pair]
        go.set()
        assert done.wait(LIMIT)
        assert [type(error) for error in raised] == [ClientDisconnected] * 2
        ends = [end for pair in pairs for end in pair]
        for end in ends:
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(1)
        for end in ends:
            end.close()
        assert adapter.close(LIMIT)
        host.end()

    def test_socket_that_cannot_be_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: where the loop cannot take the socket, the app and the host hear of it."""
        raised: list[BaseException] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await send(ACCEPT)
            except OSError as error:
                raised.append(error)
                await asyncio.Event().wait()

        class Failing(asyncio.SelectorEventLoop):
            async def connect_accepted_socket(self, *_: Any, **__: Any) -> Any:
                raise OSError("no room")

        monkeypatch.setattr("bridge.loops.factory._make_loop", Failing)
        assert isinstance(refused(app, disconnect_grace=0.01, shutdown_timeout=0.1)[2], OSError)
        assert str(raised[0]) == "no room"


class TestHostThatEnds:
    """The host's greenlet is killed, or its thread ends, while it waits for the WebSocket."""

    def test_before_the_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A26 A40: what the app accepts after that never opens, and the app is cancelled."""
        raised: list[BaseException] = []
        cancelled, left = threading.Event(), threading.Event()

        def killed(self: WebSocketExchange, given: Any, app: Any, duplicate: Any) -> None:
            raise SystemExit

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.to_thread(left.wait, LIMIT)
            try:
                await send(ACCEPT)
            except OSError as error:
                raised.append(error)
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        monkeypatch.setattr(WebSocketExchange, "_wait", killed)
        adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=0.01)
        host = SocketHost(adapter)
        host.client.sendall(TestLeftBeforeTheAnswer.HANDSHAKE)
        host.thread.join(LIMIT)
        assert isinstance(host.error, SystemExit)
        assert host.client.recv(100) == b""
        left.set()
        assert cancelled.wait(LIMIT)
        assert [type(error) for error in raised] in ([ClientDisconnected], [])
        assert adapter.close(LIMIT)
        host.end()

    def test_while_it_is_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: the client is told 1001, and the app that nothing is sent any more."""
        raised: list[BaseException] = []

        def killed(self: WebSocketExchange, given: Any, app: Any, duplicate: Any) -> None:
            while app.connection is None:
                assert self._waiter.wait(LIMIT)
            raise SystemExit

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            assert (await receive())["type"] == "websocket.disconnect"
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError as error:
                raised.append(error)

        monkeypatch.setattr(WebSocketExchange, "_wait", killed)
        adapter = AsgiToWsgi(app, lifespan="off")
        host = SocketHost(adapter)
        with connect("ws://host/", sock=host.client, open_timeout=LIMIT) as ws:
            assert closed_with(ws) == (1001, "")
        host.thread.join(LIMIT)
        assert isinstance(host.error, SystemExit)
        assert adapter.close(LIMIT)
        assert isinstance(raised[0], ClientDisconnected)
        host.end()


class TestTime:
    def test_silent_client_is_pinged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: a client that answers pings is kept, however silent it is."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.PING_INTERVAL", 1.0)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(ACCEPT)
            await asyncio.sleep(2.5)
            await send({"type": "websocket.send", "text": "still here"})

        with opened(app) as ws:
            assert ws.recv(LIMIT) == "still here"

    @pytest.mark.parametrize("closes", [False, True])
    def test_dead_client_is_given_up(self, closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """A40: a client that answers neither pings nor a close frame does not hold the thread."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.PING_INTERVAL", 0.05)
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket_connection.CLOSE_TIMEOUT", 0.05)
        heard: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            if closes:
                await send({"type": "websocket.close"})
            else:
                heard.append(await receive())

        adapter = AsgiToWsgi(app, lifespan="off")
        host = SocketHost(adapter)
        host.client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        host.end()
        assert adapter.close(LIMIT)
        assert closes or (heard[0]["code"], heard[0]["reason"]) == (1011, "keepalive ping timeout")

    def test_pings_without_end(self) -> None:
        """A40: a client that sends pings and takes no pongs is not read from any more."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(ACCEPT)
            while (await receive())["type"] != "websocket.disconnect":
                pass

        adapter = AsgiToWsgi(app, lifespan="off")
        host = SocketHost(adapter)
        host.client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert host.client.recv(12) == b"HTTP/1.1 101"  # else the host reads them as its own
        host.client.settimeout(1)
        pings, sent = (b"\x89\x80\x00\x00\x00\x00" * 10_000), 0
        try:
            while sent < 100_000_000:
                sent += host.client.send(pings[sent % 6 :])
        except TimeoutError:
            pass
        assert sent < 100_000_000
        host.client.settimeout(LIMIT)
        host.client.shutdown(socket.SHUT_WR)
        while host.client.recv(65536):
            pass
        host.end()
        assert adapter.close(LIMIT)

    def test_shutdown(self) -> None:
        """A27 A40: at shutdown open WebSockets are closed with 1012."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)
            while (await receive())["type"] != "websocket.disconnect":
                pass

        adapter = AsgiToWsgi(app, lifespan="off")
        host = SocketHost(adapter)
        with connect("ws://host/", sock=host.client) as ws:
            closer = threading.Thread(target=adapter.close, args=(LIMIT,))
            closer.start()
            assert closed_with(ws) == (1012, "")
            closer.join(LIMIT)
        host.end()


class TestRefused:
    def test_by_the_app(self) -> None:
        """A40: a close instead of an accept is a 403; receive() says that it is over."""
        heard: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.close"})
            heard.append(await receive())

        assert refused(app)[:2] == (403, b"Forbidden\n")
        assert heard[0]["type"] == "websocket.disconnect"

    def test_by_an_error(self) -> None:
        """A23 A40: an app that ends without an answer is an error for the host, with its cause."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError("mine")

        status, _, error = refused(app)
        assert status == 0
        assert isinstance(error, AppError)
        assert isinstance(error.__cause__, ValueError)

    def test_by_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A22 A40: an app that does not answer the handshake in time is cancelled."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.websocket.TICK", 0.02)
        cancelled = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        error = refused(app, response_timeout=0.05)[2]
        assert isinstance(error, AppError)
        assert cancelled.wait(LIMIT)

    @pytest.mark.parametrize("tls", [False, True])
    def test_by_the_host(self, tls: bool) -> None:
        """A40: without a socket, or with TLS on it, the answer is a 501 that says why."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError

        adapter = AsgiToWsgi(app, lifespan="off")
        with socket.socket() as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            wrapped = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            made = environ(
                HTTP_UPGRADE="websocket",
                HTTP_CONNECTION="Upgrade",
                wsgi_url_scheme="https" if tls else "http",
                **({"gunicorn.socket": wrapped} if tls else {}),
            )
            answer = call(adapter, made, validate=False)
            wrapped.close()
        assert answer.code == 501
        assert (b"end TLS" in answer.body) is tls
        assert (b"gunicorn (gthread" in answer.body) is not tls
        assert adapter.close(LIMIT)
