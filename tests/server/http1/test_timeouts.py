"""The limits of each phase of a connection, on a real transport, by a clock in hand (S2)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.input import HALF_CLOSE_GRACE
from bridge.server.http1.timeouts import (
    ANSWERING,
    BODY,
    CLOSED,
    CLOSING,
    DISCARDING,
    HEAD,
    IDLE,
)
from bridge.types import Receive, Scope, Send
from tests.support.in_loop import InLoop, Talk, in_loop
from tests.support.raw import request

SETTINGS: dict[str, Any] = {
    "timeout_keep_alive": 5,
    "timeout_header": 10,
    "timeout_body_idle": 20,
    "timeout_body": 0,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, when it is let, or when its body is whole; tells of a client that left."""
    state = scope["path"]
    if state == "/held":
        message = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()
        LEFT.append(state)
        return
    while state == "/read":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


LEFT: list[str] = []


@pytest.fixture
def server() -> Iterator[InLoop]:
    LEFT.clear()
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

    def close(self) -> None:
        if self.connection.phase != CLOSED:
            self.connection.shutdown(at_once=True)
        self.turns_until_closed()
        self.talk.sock.close()

    def turns_until_closed(self) -> None:
        async def closing() -> None:
            while self.connection.phase != CLOSED:
                await asyncio.sleep(0)

        self.server.run(closing())


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


def test_a_client_that_waits_for_us(timed: Timed) -> None:
    """S5: silence before 100 Continue is ours."""
    timed.send(request("/unread", "Content-Length: 5", "Expect: 100-continue", method="POST"))
    assert timed.status() == 200


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


def test_half_close(timed: Timed) -> None:
    """S12: an app is told that its client has left, when it has sent FIN and takes nothing."""
    timed.send(request("/held"))
    assert timed.connection.phase == ANSWERING
    timed.talk.sock.shutdown(1)
    while timed.connection.input.end is None:
        timed.turns(1)
    timed.look(HALF_CLOSE_GRACE - 1)
    assert LEFT == []
    timed.look(HALF_CLOSE_GRACE + 1)
    assert LEFT == ["/held"]
    timed.turns_until_closed()


def test_an_answer_has_no_limit(timed: Timed) -> None:
    """S2: how long an app takes is its own affair."""
    timed.send(request("/held"))
    timed.look(1e6)
    assert timed.connection.phase == ANSWERING


def test_no_limit_for_heads() -> None:
    """S2: 0 switches the limit off."""
    with in_loop(app, **{**SETTINGS, "timeout_header": 0}) as server:
        timed = Timed(server)
        timed.send(b"GET / HT")
        timed.after(1e6)
        assert timed.connection.phase == HEAD
        timed.close()
