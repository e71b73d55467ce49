"""One connection in process: phases, pipelining, pauses, half-close, and its ends.

Nothing looks after these connections once a second: whatever goes on does so by itself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.server.apps.handlers import make_handler
from bridge.server.exchange import DONE, Connection, Exchange, Handler
from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.factory import connection_factory
from bridge.server.http1.timeouts import (
    ANSWERING,
    BODY,
    CLOSED,
    CLOSING,
    DISCARDING,
    HANDED_OVER,
    HEAD,
    IDLE,
    LEAVING,
)
from bridge.server.proxy.proxy_protocol import Proxied
from bridge.server.request import Request
from bridge.server.state import DRAIN_LIMIT, LATE
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.in_loop import InLoop, Talk, bytewise, cuts, in_loop, tcp_pair
from tests.support.raw import Response, chunked, parse_responses, request
from tests.support.websocket import handshake

#: Seconds that nothing here takes, on the slowest machine.
LONG = 60

#: More than a socket and a transport take before the client reads.
MUCH = b"x" * 5_000_000

#: For SO_LINGER: the socket is reset when it is closed.
RESET = struct.pack("ii", 1, 0)

CHUNKED = "Transfer-Encoding: chunked"
LAST = request("/last", "Connection: close")


class App:
    """Answers as the path says, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun = 0
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await receive()
            if scope["path"] == "/hold":
                self.told.append("holds")
                await self.go.wait()
            await send({"type": "websocket.accept"})
            self.told.append((await receive())["type"])
            return
        way, body = scope["path"][1:], b""
        self.begun += 1
        if way == "much":
            body = MUCH
        if way in ("read", "late"):
            body = await self.read(receive)
        if way in ("hold", "late", "begin"):
            if way == "begin":
                await self.start(send, scope)
            self.told.append("holds")
            await self.go.wait()
        if way == "gone":
            message = await receive()
            while message["type"] != "http.disconnect":
                message = await receive()
            self.told.append("gone")
            return
        if way == "fail":
            await self.start(send, scope)
            raise ValueError("on purpose")
        if way != "begin":
            await self.start(send, scope, whole=True)
        whole = body or way.encode()
        await send({"type": "http.response.body", "body": whole})

    async def start(self, send: Send, scope: Scope, *, whole: bool = False) -> None:
        """The head, and with `whole` nothing else yet."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if not whole:
            await send({"type": "http.response.body", "body": b"begun ", "more_body": True})

    async def read(self, receive: Receive) -> bytes:
        """The whole body."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.told.append("gone")
                raise ConnectionError("gone")
            body += message["body"]
            more = message["more_body"]
        return body


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def server(app: App) -> Iterator[InLoop]:
    with in_loop(app) as server:
        yield server


class Client:
    """One connection of the server, and its end."""

    def __init__(self, server: InLoop, talk: Talk) -> None:
        self.server = server
        self.talk = talk
        self.connection: Http1Connection = talk.protocol

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.server.run(self.talk.send(piece))
        self.turns()

    def send_unread(self, *pieces: bytes) -> None:
        """Send, and let the loop turn, and take nothing of what comes back."""
        for piece in pieces:
            self.server.run(self.talk.send(piece))
            self.server.run(asyncio.sleep(0.001))

    def turns(self, count: int = 6) -> None:
        async def turning() -> None:
            for _ in range(count):
                await self.talk.turn()

        self.server.run(turning())

    def until(self, holds: Callable[[], object]) -> None:
        async def turning() -> None:
            while not holds():
                await self.talk.turn()

        self.server.run(asyncio.wait_for(turning(), LONG))

    def fin(self) -> None:
        self.talk.sock.shutdown(1)
        self.until(lambda: self.connection.input.end or self.connection.phase == CLOSED)
        self.turns()

    def leave(self, told: list[str]) -> None:
        """Close, with RST on TCP, and wait until the app is told."""
        self.talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        async def waiting() -> None:
            self.talk.sock.close()
            while not told:
                await asyncio.sleep(0)

        self.server.run(asyncio.wait_for(waiting(), LONG))

    def answers(self) -> list[Response]:
        return parse_responses(bytes(self.talk.answer))

    def close(self) -> None:
        if self.connection.phase not in (CLOSED, HANDED_OVER):
            self.connection.shutdown(at_once=True)
            self.until(lambda: self.connection.phase == CLOSED)
        self.talk.sock.close()


@pytest.fixture
def client(server: InLoop) -> Iterator[Client]:
    client = Client(server, server.run(server.open()))
    yield client
    client.close()


def bodies(data: bytes) -> list[bytes]:
    return [answer.body for answer in parse_responses(data)]


# ------------------------------------------------------------- pipelining


POST = request("/read", method="POST", body=b"some")
UPLOAD = request("/read", CHUNKED, method="POST") + chunked(b"in ", b"chunks")


@pytest.mark.parametrize("pieces", [None, 1])
def test_requests_in_any_pieces(server: InLoop, pieces: int | None) -> None:
    """S1: pipelined requests are answered in order, in one piece or byte by byte."""
    data = request("/a") + POST + UPLOAD + request("/b") + b"\r\n" + LAST
    sent = bytewise(data) if pieces else [data]
    assert bodies(server.talk(sent)) == [b"a", b"some", b"in chunks", b"b", b"last"]


def test_a_long_head(server: InLoop) -> None:
    """S1: a long head that comes again is read as the first."""
    long = request("/a", "X-Long: " + "x" * 8000)
    assert bodies(server.talk([long, long, LAST])) == [b"a", b"a", b"last"]


def test_requests_cut_in_two(server: InLoop) -> None:
    """S1: the same wherever they are cut."""
    for two in cuts(POST + request("/unread", CHUNKED, method="POST") + chunked(b"x") + LAST):
        assert bodies(server.talk(two)) == [b"some", b"unread", b"last"]


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer when the test lets it, if that is asked for."""
    if environ["PATH_INFO"] == "/wait":
        BEGUN.set()
        assert GO.wait(LONG)
        GO.clear()
    start_response("200 OK", [("Content-Length", "2")])
    if environ["PATH_INFO"] == "/stream":
        return (piece for piece in (b"o", b"k"))
    return [b"o", b"k"] if environ["PATH_INFO"] == "/pieces" else [b"ok"]


BEGUN = threading.Event()
GO = threading.Event()


@contextmanager
def threaded(threads: int = 4) -> Iterator[InLoop]:
    """A server whose app runs in threads."""
    BEGUN.clear()
    app = WsgiToAsgi(wsgi, threads=threads)
    with in_loop(app) as server:
        app.runner.start(server.loop)
        try:
            yield server
        finally:
            server.run(stopped(app))


async def stopped(app: WsgiToAsgi) -> None:
    """End its threads."""
    assert await app.runner.stop(LONG)


@pytest.mark.parametrize("apart", [False, True])
def test_pipelined_behind_a_thread(apart: bool) -> None:
    """S1: a request that waits is answered when a thread has answered the one before it."""
    with threaded() as server:
        client = Client(server, server.run(server.open()))
        for _ in range(20):
            if apart:
                client.send(request("/wait"), request("/"))
            else:
                client.send(request("/wait") + request("/"))
            GO.set()
            client.until(lambda: client.talk.answer.count(b"ok") == 2)
            client.talk.answer.clear()
        client.close()


def test_a_stop_behind_a_thread() -> None:
    """P2: a connection that is shut down closes when its thread has answered, without a look."""
    with threaded() as server:
        client = Client(server, server.run(server.open()))
        client.send(request("/wait"))
        client.connection.shutdown(at_once=False)
        GO.set()
        client.until(lambda: client.talk.ended)
        assert [answer.status for answer in client.answers()] == [200]
        client.close()


@pytest.mark.parametrize("then", ["request", "fin", "stop", "lost"])
def test_what_follows_an_answer_that_a_thread_has_written(then: str) -> None:
    """S1, S12, P2: a thread need not have told the loop of its end: it is seen all the same."""
    with threaded() as server:
        client = Client(server, server.run(server.open()))
        client.send(request("/pieces"))
        exchange = client.connection.exchange
        client.until(lambda: client.talk.answer.endswith(b"ok"))
        client.until(lambda: exchange is None or exchange.response_state >= DONE)
        if then == "request":
            client.send(LAST)
        elif then == "fin":
            client.talk.sock.shutdown(socket.SHUT_WR)
        elif then == "stop":
            client.connection.shutdown(at_once=False)
        else:
            client.talk.transport.abort()
        client.until(lambda: client.talk.ended)
        assert len(client.answers()) == server.state.served == (2 if then == "request" else 1)
        client.close()


def end_without_the_loop(exchange: Exchange | None) -> None:
    """Let a thread that waits go on, and keep the loop's own until that has answered `exchange`."""
    assert exchange is not None
    GO.set()
    while exchange.response_state < DONE:
        time.sleep(0)


class InOneStep:
    """Hands requests to `handler`; the loop goes on when a thread has answered the first."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._is_first = True

    def open(self, connection: Connection, request: Request) -> Exchange:
        """An exchange; the first is over as soon as it has started."""
        exchange = self._handler.open(connection, request)
        if self._is_first:
            self._is_first = False
            start = exchange.start_app

            def start_app() -> None:
                start()
                end_without_the_loop(exchange)

            exchange.start_app = start_app  # type: ignore[method-assign]
        return exchange


def test_a_thread_that_has_answered_before_the_loop_looks() -> None:
    """S1: a request that waits is answered, if a thread ends before it sees that one waits."""
    with threaded(threads=1) as server:
        first = Client(server, server.run(server.open()))
        first.send(request("/wait"))
        first.until(BEGUN.is_set)
        handler = InOneStep(make_handler(server.config.app, {}))
        server._connection = connection_factory(server.state, handler, handler)
        assert bodies(server.talk([request("/stream") + LAST])) == [b"ok"] * 2
        first.until(lambda: first.talk.answer.endswith(b"ok"))
        first.close()


def test_what_comes_while_a_thread_tells_of_its_end() -> None:
    """S1: that a thread has ended is seen when bytes come, and is harmless to hear again."""
    with threaded() as server:
        client = Client(server, server.run(server.open()))
        client.send(request("/wait") + request("/a")[:9])
        client.until(BEGUN.is_set)

        async def both() -> None:
            end_without_the_loop(client.connection.exchange)
            client.connection.data_received(request("/a")[9:])

        server.run(both())
        client.until(lambda: client.talk.answer.count(b"ok") == 2)
        client.close()


def test_what_comes_before_a_paused_connection_reads_on() -> None:
    """S1: bytes that come although it is paused are read, and the client is not paused for ever."""
    with threaded() as server:
        client = Client(server, server.run(server.open()))
        client.send(request("/wait"))
        client.until(BEGUN.is_set)
        BEGUN.clear()
        upload = request("/wait", method="POST", body=b"x" * 70_000)

        async def both() -> None:
            client.connection.data_received(upload[:-9])
            assert client.connection.input.paused
            end_without_the_loop(client.connection.exchange)
            client.connection.data_received(upload[-9:])

        server.run(both())
        client.until(BEGUN.is_set)
        client.turns()
        GO.set()
        client.until(lambda: client.talk.answer.count(b"ok") == 2)
        client.send(request("/"))
        client.until(lambda: client.talk.answer.count(b"ok") == 3)
        client.close()


@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
def test_a_connection_that_is_lost_behind_a_thread(fields: tuple[str, ...]) -> None:
    """S12: what a thread tells of its end when the connection is lost changes nothing any more."""
    with threaded() as server:
        client = Client(server, server.run(server.open()))
        client.send(request("/wait", *fields) + LAST)
        client.until(BEGUN.is_set)

        async def both() -> None:
            client.connection.output.transport.abort()
            end_without_the_loop(client.connection.exchange)

        server.run(both())
        client.until(lambda: client.connection.exchange is None)
        assert client.connection.phase == CLOSED
        assert server.state.served == 1
        client.close()


def test_what_waits_is_bounded(app: App, client: Client) -> None:
    """S1: while a request is answered, a client that goes on has to wait, and then goes on."""
    client.send(request("/hold"))
    more = request("/a")
    for _ in range(client.server.config.limit_pipeline + 1):
        if client.connection.input.paused:
            break
        client.send(more)
    assert client.connection.input.paused
    assert not client.talk.transport.is_reading()
    app.go.set()
    client.until(lambda: client.connection.phase == IDLE)
    assert client.talk.transport.is_reading()
    assert {answer.body for answer in client.answers()} == {b"hold", b"a"}


# ------------------------------------------------------------- a client that does not read

MUCH_AND_MORE = request("/much"), request("/a")


@pytest.mark.parametrize("pieces", [MUCH_AND_MORE, (b"".join(MUCH_AND_MORE),)], ids=len)
def test_a_client_that_does_not_read(app: App, client: Client, pieces: tuple[bytes, ...]) -> None:
    """S1: the next request is not begun before the client has taken enough of the response."""
    client.send_unread(*pieces)
    assert client.connection.exchange is None
    assert (client.connection.phase, app.begun) == (LEAVING, 1)
    for _ in range(client.server.config.limit_pipeline):
        if client.connection.input.paused:
            break
        client.send_unread(request("/a"))
    assert client.connection.input.paused
    assert app.begun == 1
    client.until(lambda: client.connection.phase == IDLE and not client.connection.reader.buffer)
    client.turns()
    assert client.talk.transport.is_reading()
    assert bodies(bytes(client.talk.answer)) == [MUCH, *[b"a"] * (app.begun - 1)]
    assert app.begun > client.server.config.limit_pipeline


def test_a_client_that_reads_before_it_asks_again(client: Client) -> None:
    """S1: a connection is idle when the client has taken its response."""
    client.send_unread(request("/much"))
    assert client.connection.phase == LEAVING
    client.until(lambda: client.connection.phase == IDLE)
    client.send(request("/a"))
    client.until(lambda: client.talk.answer.endswith(b"a"))


def test_a_client_of_a_thread_that_does_not_read() -> None:
    """S1 W25: its next request is not begun, and holds no thread."""
    begun: list[str] = []

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        begun.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", str(len(MUCH)))])
        return [MUCH]

    app = WsgiToAsgi(answer)
    with in_loop(app) as server:
        app.runner.start(server.loop)
        client = Client(server, server.run(server.open()))
        client.send_unread(request("/first") + request("/second"))

        async def leaving() -> None:
            while client.connection.phase != LEAVING:
                await asyncio.sleep(0.001)

        server.run(asyncio.wait_for(leaving(), LONG))
        client.send_unread(request("/third"))
        assert begun == ["/first"]
        client.until(lambda: len(client.talk.answer) > 3 * len(MUCH))
        assert begun == ["/first", "/second", "/third"]
        client.close()
        server.run(stopped(app))


@pytest.mark.parametrize("more", [b"", request("/a"), request("/a") * 2 + b"GET"])
def test_fin_of_a_client_that_does_not_read(client: Client, more: bytes) -> None:
    """S1: all that came whole before its FIN is answered, when it reads on."""
    client.send_unread(request("/much") + more)
    client.talk.sock.shutdown(1)
    client.until(lambda: client.talk.ended)
    assert bodies(bytes(client.talk.answer)) == [MUCH, *[b"a"] * more.count(b"/a")]


@pytest.mark.parametrize("more", [b"", request("/a")])
def test_shutdown_while_a_response_leaves(client: Client, more: bytes) -> None:
    """P2: a response that leaves slowly is not cut, and what came behind it is answered."""
    client.send_unread(request("/much") + more)
    client.connection.shutdown(at_once=False)
    client.until(lambda: client.talk.ended)
    assert bodies(bytes(client.talk.answer)) == ([MUCH, b"a"] if more else [MUCH])


def test_cut_while_a_response_leaves(client: Client) -> None:
    """P2: at the end of its time the client of such a response is cut."""
    client.send_unread(request("/much") + request("/a"))
    client.connection.shutdown(at_once=True)
    client.until(lambda: client.connection.phase == CLOSED)


# ------------------------------------------------------------- phases


def test_phases(app: App, client: Client) -> None:
    """S1: a connection is idle, reads a head, a body, answers, and is idle again."""
    phases = [client.connection.phase]
    for piece in (POST[:10], POST[10:-2], POST[-2:]):
        client.send(piece)
        phases.append(client.connection.phase)
    client.send(request("/hold"))
    phases.append(client.connection.phase)
    app.go.set()
    client.until(lambda: client.talk.answer.endswith(b"hold"))
    phases.append(client.connection.phase)
    assert phases == [IDLE, HEAD, BODY, IDLE, ANSWERING, IDLE]


def test_a_blank_line_in_two_pieces(client: Client) -> None:
    """S1: a blank line before a request is nothing; a look at a connection changes nothing."""
    client.send(b"\r")
    client.connection.check_timeouts(client.server.state.clock())
    assert client.connection.phase == HEAD
    client.send(b"\n")
    assert client.connection.phase == IDLE
    client.send(request("/a"))
    assert [answer.body for answer in client.answers()] == [b"a"]


@pytest.mark.parametrize("more", ["at once", "later"])
def test_an_answer_before_the_body(client: Client, more: str) -> None:
    """W26: the rest of the body is thrown away, and the next request is answered."""
    client.send(request("/unread", "Content-Length: 5", method="POST") + b"x")
    assert client.connection.phase == DISCARDING
    if more == "at once":
        client.send(b"rest" + request("/a"))
    else:
        client.send(b"rest")
        assert client.connection.phase == IDLE
        client.send(request("/a"))
    assert [answer.body for answer in client.answers()] == [b"unread", b"a"]
    assert client.connection.phase == IDLE


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
@pytest.mark.parametrize("closes", [True, False])
def test_a_refusal_at_the_last_piece_of_a_body(closes: bool, runner: Any) -> None:
    """W26, W52: an app that is to start with the last piece, and cannot, leaves a 503."""
    fields = ["Content-Length: 100000", *["Connection: close"] * closes]
    pieces = [request("/", *fields, method="POST"), b"x" * 100_000, LAST]
    app = WsgiToAsgi(wsgi, runner=runner)  # it is not started, and takes nothing
    app.runner.queue_limit = 0
    with in_loop(app) as server:
        answers = parse_responses(server.talk(pieces))
    assert [answer.status for answer in answers] == [503] * (1 if closes else 2)


@pytest.mark.parametrize("end", ["too much", "wrong", "fin"])
def test_the_rest_of_a_body_goes_wrong(client: Client, end: str) -> None:
    """W26, S3: too large a rest, one that breaks a rule, and FIN in it close the connection."""
    client.send(request("/unread", CHUNKED, method="POST") + b"1\r\nx\r\n")
    assert client.connection.phase == DISCARDING
    if end == "fin":
        client.fin()
    elif end == "wrong":
        client.send(b"no size\r\n")
    else:
        client.send(b"%x\r\n" % (DRAIN_LIMIT + 1) + b"x" * (DRAIN_LIMIT + 1))
    assert client.connection.phase in (CLOSING, CLOSED)
    client.until(lambda: client.talk.ended)
    assert [answer.body for answer in client.answers()] == [b"unread"]


def test_an_app_that_does_not_read_pauses_its_client(app: App, client: Client) -> None:
    """S12: as much of a body as nobody reads waits in the socket, not in memory."""
    size = 1_000_000
    client.send(request("/hold", f"Content-Length: {size}", method="POST"))
    sent = 0
    while not client.connection.input.paused:
        client.send(b"x" * 50_000)
        sent += 50_000
    assert sent < size
    app.go.set()
    client.until(lambda: client.talk.answer.endswith(b"hold"))
    assert not client.connection.input.paused


def test_a_whole_body_that_nobody_reads(app: App, client: Client) -> None:
    """S12: the end of a body resumes reading, so that a client that leaves is noticed."""
    client.send(request("/hold", "Content-Length: 200000", method="POST"))
    client.send(b"x" * 200_000)
    assert client.connection.phase == ANSWERING
    assert client.talk.transport.is_reading()
    app.go.set()
    client.until(lambda: client.talk.answer.endswith(b"hold"))


# ------------------------------------------------------------- what is refused


def test_bodies_beyond_the_limit(app: App) -> None:
    """W22: one that says so is refused before the app runs, one that does not when it is."""
    with in_loop(app, limit_body_size=10) as server:
        small = request("/read", method="POST", body=b"x" * 10)
        assert bodies(server.talk([small + LAST])) == [b"x" * 10, b"last"]
        for data in (
            request("/hold", method="POST", body=b"x" * 11),
            request("/hold", "Content-Length: 100000", method="POST"),
            request("/read", CHUNKED, method="POST") + chunked(b"x" * 11),
        ):
            answer = parse_responses(server.talk([data]))[0]
            assert answer.status == 413
    assert app.told == []


@pytest.mark.parametrize("body", [b"no size\r\n", b"1\r\nxx\r\n"])
def test_bodies_that_break_a_rule(server: InLoop, body: bytes) -> None:
    """S3: nothing behind the error is served."""
    data = request("/read", CHUNKED, method="POST")
    for pieces in ([data + body + LAST], [data, body, LAST]):
        answers = parse_responses(server.talk(pieces))
        assert [(answer.status, answer.closes) for answer in answers] == [(400, True)]


def test_heads_that_break_a_rule(server: InLoop) -> None:
    """S3: what came before is answered, and nothing behind."""
    answers = parse_responses(server.talk([request("/a") + b"GET /\x00 HTTP/1.1\r\n\r\n" + LAST]))
    assert [answer.status for answer in answers] == [200, 400]


def test_a_handshake_that_is_wrong(server: InLoop) -> None:
    """S21: it is refused, and the connection closed."""
    data = request("/", "Upgrade: websocket", "Connection: Upgrade")
    (answer,) = parse_responses(server.talk([data]))
    assert (answer.status, answer.closes) == (426, True)


class Faulty:
    """A handler that has a fault."""

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Fail."""
        raise ValueError("a fault")


def test_a_fault_of_a_handler(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """S14: it is logged, and the client gets a 500."""
    with in_loop(app) as server:
        make = connection_factory(server.state, Faulty(), Faulty())
        server._connection = make
        (answer,) = parse_responses(server.talk([request("/")]))
    assert (answer.status, answer.closes) == (500, True)
    assert "a fault" in caplog.text


def test_requests_at_a_time(app: App) -> None:
    """S2: one too many is a 503; the places of those that are over are given back."""
    with in_loop(app, limit_requests=1) as server:
        held = Client(server, server.run(server.open()))
        held.send(request("/hold"))
        (answer,) = parse_responses(server.talk([request("/a")]))
        assert (answer.status, answer.closes) == (503, True)
        app.go.set()
        held.until(lambda: held.connection.phase == IDLE)
        assert bodies(server.talk([request("/a") + LAST])) == [b"a", b"last"]
        held.send(request("/fail"))
        held.until(lambda: held.talk.ended)
        assert bodies(server.talk([LAST])) == [b"last"]
        held.close()


def test_connections(app: App) -> None:
    """S2: one too many is answered with 503 at once."""
    with in_loop(app, limit_connections=1) as server:
        first = Client(server, server.run(server.open()))
        (answer,) = parse_responses(server.talk([]))
        assert (answer.status, answer.closes) == (503, True)
        first.close()


# ------------------------------------------------------------- who is there


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the address of the client."""
    body = str(scope["client"][0] if scope["client"] else None).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(("trusted", "seen"), [("unix", b"192.0.2.1"), ("10.9.9.9", b"None")])
def test_forwarded(trusted: str, seen: bytes) -> None:
    """S32: a proxy is believed if it is named."""
    with in_loop(tell, proxy_headers=True, forwarded_allow_ips=trusted) as server:
        data = request("/", "X-Forwarded-For: 192.0.2.1", "Connection: close")
        assert bodies(server.talk([data])) == [seen]


def test_a_proxy_before_tls() -> None:
    """S30: what a PROXY header said before the handshake holds for the connection."""

    class Named(Http1Connection):
        proxy_header = Proxied(("203.0.113.9", 1), ("198.51.100.1", 443), b"")

    with in_loop(tell, Named) as server:
        assert bodies(server.talk([LAST])) == [b"203.0.113.9"]


def test_a_client_that_has_reset_already(server: InLoop) -> None:
    """S32: a TCP client without an address is not served."""
    ours, theirs = tcp_pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    ours.sendall(LAST)
    ours.close()

    async def main() -> Any:
        _, protocol = await server.loop.connect_accepted_socket(server._connection, theirs)
        while protocol.phase != CLOSED:
            await asyncio.sleep(0)
        return protocol

    connection = server.run(main())
    assert connection.client_left
    assert server.state.served == 0
    assert not server.state.connections


# ------------------------------------------------------------- half-close


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"\r\n"])
def test_fin_without_a_request(client: Client, begin: bytes) -> None:
    """S12: a connection on which no request is whole is closed, without a word."""
    if begin:
        client.send(begin)
    client.fin()
    client.until(lambda: client.talk.ended)
    assert not client.talk.answer


def test_fin_behind_requests(app: App, client: Client) -> None:
    """S12: all that came whole before FIN is answered, and then the connection closes."""
    client.send(request("/hold"), request("/a") + request("/b")[:9])
    client.fin()
    app.go.set()
    client.until(lambda: client.talk.ended)
    assert [answer.body for answer in client.answers()] == [b"hold", b"a"]


@pytest.mark.parametrize("came", [b"", b"x"])
def test_fin_in_a_body_that_nobody_reads(app: App, client: Client, came: bytes) -> None:
    """S12, W26: no rest is waited for of a body that FIN has cut off before its head was read."""
    cut = request("/a", "Content-Length: 5", method="POST") + came
    client.send(request("/hold"), request("/b") + cut)
    client.fin()
    app.go.set()
    client.until(lambda: client.talk.ended)
    assert [answer.body for answer in client.answers()] == [b"hold", b"b", b"a"]


def test_fin_behind_a_thread() -> None:
    """S12: the same if a thread answers, without a look at the connection."""
    with threaded() as server:
        client = Client(server, server.run(server.open()))
        client.send(request("/wait"))
        client.fin()
        GO.set()
        client.until(lambda: client.talk.ended)
        assert [answer.body for answer in client.answers()] == [b"ok"]
        client.close()


def test_fin_in_a_body(app: App, client: Client) -> None:
    """W23, S12: the app is told that half a body is all that comes."""
    client.send(request("/read", "Content-Length: 5", method="POST") + b"x")
    client.fin()
    client.until(lambda: app.told)
    assert app.told == ["gone"]


def test_a_reset_is_told(app: App, server: InLoop) -> None:
    """S12: an app that waits is told when the connection is lost."""
    client = Client(server, server.run(server.open(tcp=True)))
    client.send(request("/gone"))
    client.leave(app.told)
    assert app.told == ["gone"]
    client.close()


# ------------------------------------------------------------- ends


def test_a_response_that_breaks(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """S14: a response that has begun is cut, and nothing behind it is answered."""
    caplog.set_level(logging.CRITICAL, "bridge")
    client.send(request("/fail") + request("/a"))
    client.until(lambda: client.talk.ended)
    assert client.talk.answer.endswith(b"begun \r\n")


def test_a_response_that_breaks_and_ends_with_the_connection(server: InLoop) -> None:
    """S14: the client of HTTP/1.0 can tell too: the connection is reset."""
    client = Client(server, server.run(server.open(tcp=True)))
    server.run(client.talk.send(b"GET /fail HTTP/1.0\r\n\r\n"))

    async def main() -> str:
        while client.connection.phase != CLOSED:
            await asyncio.sleep(0)
        try:
            while client.talk.sock.recv(1000):
                pass
        except ConnectionResetError:
            return "reset"
        return "closed"

    assert server.run(main()) == "reset"
    client.close()


@pytest.mark.parametrize("begin", [b"", request("/a"), b"GET / HT"])
def test_shutdown_when_idle(client: Client, begin: bytes) -> None:
    """P2: an idle connection closes; one that has sent half a head only when it is late."""
    if begin:
        client.send(begin)
    client.connection.shutdown(at_once=False)
    client.turns()
    if client.connection.phase == HEAD:
        client.server.state.stop_phase = LATE
        client.connection.shutdown(at_once=False)
    client.until(lambda: client.talk.ended)


@pytest.mark.parametrize("more", [b"", request("/a")])
def test_shutdown_while_it_answers(app: App, client: Client, more: bytes) -> None:
    """P2: what is in flight is answered, also what came behind it; then it closes."""
    client.send(request("/hold") + more)
    client.connection.shutdown(at_once=False)
    app.go.set()
    client.until(lambda: client.talk.ended)
    expected = [b"hold", b"a"] if more else [b"hold"]
    assert [answer.body for answer in client.answers()] == expected


def test_shutdown_while_a_body_is_thrown_away(client: Client) -> None:
    """P2: nobody waits for the rest of a body that nobody reads."""
    client.send(request("/unread", "Content-Length: 5", method="POST") + b"x")
    client.connection.shutdown(at_once=False)
    assert client.connection.phase == CLOSING
    assert not client.connection.output.closed  # lingers, so that the answer arrives
    client.send(b"thrown")
    client.fin()
    client.until(lambda: client.talk.ended)


def test_shutdown_at_once(app: App, client: Client) -> None:
    """P2: a connection is cut, whatever is in flight."""
    client.send(request("/gone"))
    client.connection.shutdown(at_once=True)
    client.until(lambda: client.talk.ended)
    client.until(lambda: app.told)


@pytest.mark.parametrize("path", ["/gone", "/a"], ids=["answering", "idle"])
def test_a_client_that_reads_slowly(client: Client, path: str) -> None:
    """S12: the output is paused while the client takes nothing, and resumed."""
    client.send(request(path))
    output = client.connection.output
    output.transport.write(b"x" * 5_000_000)
    assert output.paused
    client.until(lambda: not output.paused)


# ------------------------------------------------------------- WebSockets


@pytest.mark.parametrize("behind", [b"", b"\x88\x80abcd"], ids=["alone", "close"])
def test_handed_over(app: App, client: Client, behind: bytes) -> None:
    """S20: the connection is the WebSocket's now, with what came behind the handshake."""
    client.send(handshake("/") + behind)
    client.until(lambda: client.connection.phase == HANDED_OVER)
    if behind:
        client.until(lambda: app.told)
    else:
        client.leave(app.told)
    assert app.told == ["websocket.disconnect"]


def test_fin_behind_a_handshake(app: App, client: Client) -> None:
    """S20: a client that has ended before its WebSocket is accepted is let go then."""
    client.send(handshake("/hold"))
    client.until(lambda: app.told)
    client.fin()
    app.go.set()
    client.until(lambda: client.connection.phase == HANDED_OVER)
    client.until(lambda: client.talk.ended)
    client.until(lambda: len(app.told) == 2)
    assert app.told == ["holds", "websocket.disconnect"]
