"""The limits of each phase of a connection, on a real transport, by a clock in hand (S2)."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.server.exchange import DONE
from bridge.server.http1 import timeouts
from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.input import HALF_CLOSE_GRACE
from bridge.server.http1.proxied import ProxiedConnection
from bridge.server.http1.timeouts import (
    ANSWERING,
    BODY,
    CLOSED,
    CLOSING,
    DISCARDING,
    HEAD,
    IDLE,
    LEAVING,
    PROXY_HEADER,
)
from bridge.server.state import LATE, SERVING
from bridge.server.transport.output import LINGER
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.in_loop import InLoop, Talk, in_loop
from tests.support.raw import request
from tests.support.websocket import handshake

#: More than any socket takes at once.
MUCH = b"x" * 20_000_000
#: Seconds that nothing here takes, on the slowest machine.
LONG = 60

SETTINGS: dict[str, Any] = {
    "timeout_keep_alive": 5,
    "timeout_header": 10,
    "timeout_body_idle": 20,
    "timeout_body": 0,
}


class App:
    """Answers at once, or when its body is whole, or when it is let; notes clients that leave."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as its path says."""
        path = scope["path"]
        if path == "/late":
            await self.go.wait()
        more = path in ("/held", "/read", "/late")
        while more:
            message = await receive()
            if message["type"].endswith(".disconnect"):
                self.left.append(path)
                return
            more = path == "/held" or message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path == "/whole":
            await send({"type": "http.response.body", "body": MUCH})
        elif path == "/much":
            await send({"type": "http.response.body", "body": MUCH, "more_body": True})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def server(app: App) -> Iterator[InLoop]:
    with in_loop(app, **SETTINGS) as server:
        yield server


class Timed:
    """One connection, and the server's clock."""

    def __init__(self, server: InLoop) -> None:
        self.server = server
        self.talk: Talk = server.run(server.open())
        self.connection: Http1Connection = self.talk.protocol

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.server.run(self.talk.send(piece))
        self.turns()

    def turns(self, count: int = 4) -> None:
        async def turning() -> None:
            for _ in range(count):
                await self.talk.turn()

        self.server.run(turning())

    def after(self, seconds: float) -> None:
        """Have the server look, so many seconds after the phase began."""
        self.connection.check_timeouts(self.connection.phase_since + seconds)
        self.turns()

    def look(self, seconds: float) -> None:
        """Have it look so many seconds from now."""
        self.connection.check_timeouts(self.server.state.clock() + seconds)
        self.turns()

    def status(self) -> int:
        found = re.match(rb"HTTP/1.1 (\d+)", bytes(self.talk.answer))
        return int(found[1]) if found else 0

    def until(self, holds: Callable[[], object]) -> None:
        """Let the loop turn until that holds; the client takes nothing."""

        async def turning() -> None:
            while not holds():
                await asyncio.sleep(0)

        self.server.run(asyncio.wait_for(turning(), LONG))

    def fill(self, piece: bytes) -> None:
        """Send pieces until the server reads no more."""
        while not self.connection.input.paused:
            self.send(piece)

    def close(self) -> None:
        if self.connection.phase != CLOSED:
            self.connection.shutdown(at_once=True)
        self.until(lambda: self.connection.phase == CLOSED)
        self.talk.sock.close()


@pytest.fixture
def timed(server: InLoop) -> Iterator[Timed]:
    timed = Timed(server)
    yield timed
    timed.close()


def test_idle(timed: Timed) -> None:
    """S2: an idle connection is closed after `timeout_keep_alive`, without a word."""
    assert timed.connection.phase == IDLE
    timed.after(5)
    assert timed.connection.phase == IDLE
    timed.after(5.1)
    assert timed.connection.phase >= CLOSING
    assert not timed.talk.answer


def test_a_response_that_leaves_slowly(timed: Timed) -> None:
    """S2: a connection is not idle while its client takes the response; then its time begins."""
    timed.server.run(timed.talk.send(request("/whole")))
    timed.until(lambda: timed.connection.phase == LEAVING)
    timed.connection.check_timeouts(timed.connection.phase_since + 50)
    assert timed.connection.phase == LEAVING
    while timed.connection.phase == LEAVING:
        timed.turns()
    assert timed.connection.phase == IDLE
    timed.after(5.1)
    assert timed.connection.phase >= CLOSING


def test_a_response_that_nobody_takes(timed: Timed, caplog: pytest.LogCaptureFixture) -> None:
    """S2: a client that takes nothing is cut after `timeout_write`, with requests that wait."""
    timed.server.run(timed.talk.send(request("/whole") * 2))
    timed.until(lambda: timed.connection.phase == LEAVING)
    now = timed.server.state.clock()
    timed.connection.check_timeouts(now)
    timed.connection.check_timeouts(now + 60)
    assert timed.connection.phase == LEAVING
    timed.connection.check_timeouts(now + 60.5)
    timed.until(lambda: timed.connection.phase == CLOSED)
    assert "raise --timeout-write" in caplog.text


@pytest.mark.parametrize("more", [b"", request("/whole")])
def test_what_a_stop_waits_for(timed: Timed, more: bytes) -> None:
    """P2: a connection is idle unless a request waits, or begins, or has been begun."""
    connection = timed.connection
    assert timeouts.is_idle(connection)
    timed.send(b"GET")
    assert not timeouts.is_idle(connection)
    timed.server.state.stop_phase = LATE
    assert timeouts.is_idle(connection)
    timed.server.state.stop_phase = SERVING
    timed.server.run(timed.talk.send(request("/whole")[3:] + more))
    timed.until(lambda: connection.phase == LEAVING)
    assert timeouts.is_idle(connection) == (not more)


def test_a_head_that_does_not_come(timed: Timed) -> None:
    """S2: a head that is not whole after `timeout_header` is answered with 408."""
    timed.send(b"GET / HT")
    assert timed.connection.phase == HEAD
    timed.after(10)
    assert timed.connection.phase == HEAD
    timed.after(10.1)
    assert timed.status() == 408
    assert timed.connection.phase >= CLOSING


def test_a_blank_line_is_no_head(timed: Timed) -> None:
    """RFC 9112 §2.2: blank lines are nothing: such a connection is idle."""
    timed.send(b"\r")
    assert timed.connection.phase == HEAD
    timed.send(b"\n")
    assert timed.connection.phase == IDLE


def test_a_body_that_does_not_come(timed: Timed) -> None:
    """S2: silence in the middle of a body is 408."""
    timed.send(request("/read", "Content-Length: 5", method="POST") + b"x")
    assert timed.connection.phase == BODY
    timed.look(19)
    assert timed.connection.phase == BODY
    timed.look(40)
    assert timed.status() == 408


def test_a_client_that_waits_for_us(app: App, timed: Timed) -> None:
    """S2, S5: silence before 100 Continue is ours; from then on it is the client's."""
    timed.send(request("/late", "Content-Length: 5", "Expect: 100-continue", method="POST"))
    timed.look(1e6)
    assert timed.connection.phase == BODY
    app.go.set()
    timed.turns()
    assert timed.status() == 100
    timed.look(1e6 + 19)
    assert timed.connection.phase == BODY
    timed.look(1e6 + 30)
    assert b"HTTP/1.1 408 " in timed.talk.answer


def test_a_body_that_waits_for_its_app(app: App, timed: Timed) -> None:
    """S2, S12: while nobody reads, silence is ours, and a client that ends may have sent all."""
    timed.send(request("/late", "Content-Length: 1000000", method="POST"))
    timed.fill(b"x" * 50_000)
    timed.look(1e6)
    timed.talk.sock.shutdown(1)
    for seconds in (1e6, 2e6):
        timed.look(seconds)
        assert timed.connection.phase == BODY
    assert app.left == []
    app.go.set()
    timed.until(lambda: app.left)


def test_a_body_that_nobody_reads(timed: Timed) -> None:
    """W26, S2: silence in a body that is thrown away closes the connection."""
    timed.send(request("/unread", "Content-Length: 5", method="POST") + b"x")
    assert timed.status() == 200
    assert timed.connection.phase == DISCARDING
    timed.look(19)
    assert timed.connection.phase == DISCARDING
    timed.look(21)
    assert timed.connection.phase >= CLOSING


def test_the_rest_of_a_body_makes_room_for_the_next_request(timed: Timed) -> None:
    """W26: when the rest of a body is out of the way, the connection is idle."""
    timed.send(request("/unread", "Content-Length: 5", method="POST") + b"x", b"rest")
    assert timed.connection.phase == IDLE


def test_half_close(app: App, timed: Timed) -> None:
    """S12: an app is told that its client has left, when it has sent FIN and takes nothing."""
    timed.send(request("/held"))
    assert timed.connection.phase == ANSWERING
    timed.talk.sock.shutdown(1)
    timed.until(lambda: timed.connection.input.end)
    timed.look(HALF_CLOSE_GRACE - 1)
    assert app.left == []
    timed.look(HALF_CLOSE_GRACE + 1)
    assert app.left == ["/held"]
    timed.until(lambda: timed.connection.phase == CLOSED)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a FIN that is not read")
def test_half_close_behind_requests_that_wait(app: App, timed: Timed) -> None:
    """S12: the same if so much waits that nothing more is read."""
    timed.send(request("/held"))
    timed.fill(request("/unread"))
    timed.look(HALF_CLOSE_GRACE + 1)
    timed.talk.sock.shutdown(1)
    timed.look(0)
    assert app.left == []
    timed.look(HALF_CLOSE_GRACE + 1)
    assert app.left == ["/held"]


def test_a_client_that_is_gone_behind_requests_that_wait(app: App, timed: Timed) -> None:
    """S12: a connection that is lost is ended at once, and the app told."""
    timed.send(request("/held"))
    timed.fill(request("/unread"))
    timed.talk.sock.close()
    timed.connection.check_timeouts(timed.server.state.clock())
    timed.until(lambda: app.left)
    assert timed.connection.phase == CLOSED


def test_a_flood_before_a_websocket_is_open(app: App, timed: Timed) -> None:
    """S20: it ends the connection: a client has to wait for the answer (RFC 6455 §4.1)."""
    timed.send(handshake("/held"))
    timed.fill(b"x" * 50_000)
    timed.look(0)
    timed.until(lambda: app.left)
    assert timed.connection.phase == CLOSED


def test_an_answer_has_no_limit(timed: Timed) -> None:
    """S2: how long an app takes is its own affair."""
    timed.send(request("/held"))
    timed.look(1e6)
    assert timed.connection.phase == ANSWERING


def test_a_client_that_takes_nothing(timed: Timed, caplog: pytest.LogCaptureFixture) -> None:
    """S2: it is cut after `timeout_write`; a warning tells which response, and names the option."""
    timed.send(request("/much"))
    now, limit = timed.server.state.clock(), timed.server.config.timeout_write
    for seconds in (0, limit):
        timed.connection.check_timeouts(now + seconds)
    assert not timed.talk.transport.is_closing()
    timed.connection.check_timeouts(now + limit + 1)
    timed.until(lambda: timed.connection.phase == CLOSED)
    (warning,) = caplog.messages
    assert re.match("cut the response to GET /much for .*; raise --timeout-write", warning)


def test_lingering(timed: Timed) -> None:
    """S2: a client that was refused has some time to read that, and is not refused again."""
    timed.send(b"GET / HT")
    timed.after(10.1)
    timed.look(0)
    assert timed.connection.phase == CLOSING
    assert timed.talk.answer.count(b"HTTP/1.1 408 ") == 1
    timed.look(LINGER + 1)
    assert timed.connection.phase == CLOSED


def test_no_limit_for_heads(app: App) -> None:
    """S2: 0 switches the limit off."""
    with in_loop(app, **{**SETTINGS, "timeout_header": 0}) as server:
        timed = Timed(server)
        timed.send(b"GET / HT")
        timed.after(1e6)
        assert timed.connection.phase == HEAD
        timed.close()


def test_the_second_descriptor_of_an_idle_connection(app: App) -> None:
    """W25: it is given back after a while."""
    with in_loop(app) as server:
        timed = Timed(server)
        output = timed.connection.output
        assert output.direct_writer() is not None
        timed.after(5)
        assert output.writer is not None
        timed.after(5.1)
        assert output.writer is None
        assert timed.connection.phase == IDLE
        timed.close()


def test_a_proxy_header_that_does_not_come(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """S2, S30: one that is not whole after `timeout_header` ends the connection, without a word."""
    caplog.set_level(logging.INFO, "bridge")
    with in_loop(app, ProxiedConnection, proxy_protocol_allow_ips="unix", **SETTINGS) as server:
        timed = Timed(server)
        timed.send(b"PROXY TCP4")
        timed.after(10)
        assert timed.connection.phase == PROXY_HEADER
        for _ in range(2):  # the second before the loop has closed it
            timed.connection.check_timeouts(timed.connection.phase_since + 10.1)
        timed.turns()
        assert timed.connection.phase == CLOSED
        assert timed.talk.ended
        assert not timed.talk.answer
        server.state.refusals.report()
        assert "refused: 1 x missing or wrong PROXY header" in caplog.text
        timed.close()


# ------------------------------------------------------------- behind a thread


class InThread:
    """A WSGI app that reads nothing, and with a body waits until it is let."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["REQUEST_METHOD"] == "POST":
            self.begun.set()
            assert self.go.wait(LONG)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


@pytest.fixture
def in_thread() -> InThread:
    return InThread()


@pytest.fixture
def threaded(in_thread: InThread) -> Iterator[Timed]:
    app = WsgiToAsgi(in_thread, threads=1)
    with in_loop(app, **SETTINGS) as server:
        app.runner.start(server.loop)
        timed = Timed(server)
        yield timed
        timed.close()
        assert server.run(app.runner.stop(LONG))


def test_an_answer_that_a_thread_has_written(threaded: Timed) -> None:
    """S2: a thread need not have told the loop of its end: the connection is idle from then on."""
    threaded.send(request("/"))
    exchange = threaded.connection.exchange
    threaded.until(lambda: exchange is None or exchange.response_state >= DONE)
    threaded.look(0)
    assert threaded.connection.phase == IDLE
    assert threaded.status() == 200
    threaded.after(5.1)
    assert threaded.connection.phase >= CLOSING


def test_an_answer_that_a_thread_has_written_before_the_body(
    in_thread: InThread, threaded: Timed
) -> None:
    """W26, S2: the same in the middle of a body: the rest of it is thrown away."""
    connection, server = threaded.connection, threaded.server
    threaded.send(request("/", "Content-Length: 100000", method="POST"), b"x" * 99_999)
    threaded.until(in_thread.begun.is_set)
    exchange = connection.exchange
    assert exchange is not None
    assert connection.phase == BODY

    async def in_one_step() -> None:
        in_thread.go.set()
        while exchange.response_state < DONE:
            time.sleep(0)
        connection.check_timeouts(server.state.clock())
        assert connection.phase == DISCARDING

    server.run(in_one_step())
    threaded.send(b"x")
    assert connection.phase == IDLE
    assert threaded.status() == 200
