"""The input side of a connection: limits of a body by a clock in hand, pauses, and FIN."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from bridge.errors import RequestError
from bridge.server.config.config import Config
from bridge.server.http1.input import (
    HALF_CLOSE_GRACE,
    IncomingBody,
    Input,
    InputEnd,
    too_large,
)
from bridge.server.request import Request

POST = Request("POST", b"/", b"/", b"")


def config(**settings: Any) -> Config:
    return Config(app="x:y", **settings)


def body(limit: int = 0) -> IncomingBody:
    return IncomingBody(POST, limit, 100.0)


# ------------------------------------------------------------- size


@pytest.mark.parametrize("limit", [0, 10])
def test_a_body_within_its_limit(limit: int) -> None:
    """W22: as many bytes as are allowed are taken; 0 allows any number."""
    incoming = body(limit)
    incoming.take(b"x" * 4)
    incoming.take(b"x" * 6)
    assert incoming.size == 10


def test_a_body_beyond_its_limit() -> None:
    """W22: one byte more is 413, and the error names the setting."""
    incoming = body(10)
    incoming.take(b"x" * 10)
    with pytest.raises(RequestError, match="limit-body-size") as raised:
        incoming.take(b"x")
    assert raised.value.status == 413
    assert too_large(11, 10).status == 413


# ------------------------------------------------------------- pace


def test_silence() -> None:
    """S2: a body of which nothing comes for `timeout_body_idle` seconds is refused."""
    incoming, settings = body(), config(timeout_body_idle=5, timeout_body=0)
    assert incoming.check(105.0, settings) is None
    incoming.take(b"x")
    assert incoming.check(106.0, settings) is None
    assert incoming.check(111.0, settings) is None
    error = incoming.check(111.5, settings)
    assert error is not None
    assert error.status == 408
    assert "timeout-body-idle" in str(error)


def test_no_limits_of_time() -> None:
    """S2: 0 switches each limit off."""
    assert body().check(1e9, config(timeout_body_idle=0, timeout_body=0)) is None


def test_pace() -> None:
    """S2: after `timeout_body` seconds a body has to come at `limit_body_pace` bytes a second."""
    settings = config(timeout_body_idle=0, timeout_body=10, limit_body_pace=100)
    fast, slow = body(), body()
    fast.take(b"x" * 200)
    slow.take(b"x" * 199)
    assert slow.check(110.0, settings) is None
    assert fast.check(111.0, settings) is None
    error = slow.check(111.0, settings)
    assert error is not None
    assert "limit-body-pace" in str(error)


def test_much_at_first_does_not_earn_silence() -> None:
    """S2: the pace is judged anew after a while: what came long ago does not count for ever."""
    settings = config(timeout_body_idle=0, timeout_body=10, limit_body_pace=100)
    incoming = body()
    incoming.take(b"x" * 1_000_000)
    assert incoming.check(121.0, settings) is None
    assert incoming.check(131.0, settings) is None
    assert incoming.check(132.5, settings) is not None


def test_a_client_that_cannot_send_is_not_slow() -> None:
    """S2: the time for which reading was paused counts against nobody."""
    settings = config(timeout_body_idle=5, timeout_body=10, limit_body_pace=100)
    incoming = body()
    incoming.pause(101.0)
    incoming.resume(201.0)
    assert incoming.check(205.0, settings) is None
    assert incoming.check(206.5, settings) is not None


def test_a_client_that_waits_for_us_is_not_slow() -> None:
    """S5: `begin` starts the clock anew, for a client that waits for 100 Continue."""
    incoming, settings = body(), config(timeout_body_idle=5, timeout_body=0)
    incoming.begin(200.0)
    assert incoming.check(204.0, settings) is None


# ------------------------------------------------------------- FIN


def test_half_close() -> None:
    """S12: a client that sent FIN has left if it takes nothing either, for a while."""
    end = InputEnd(100.0, received=True)
    assert not end.has_left(100.0 + HALF_CLOSE_GRACE, 0)
    assert end.has_left(100.1 + HALF_CLOSE_GRACE, 0)
    assert not end.has_left(103.0, 5)
    assert not end.has_left(103.0 + HALF_CLOSE_GRACE, 5)
    assert end.has_left(103.1 + HALF_CLOSE_GRACE, 5)


# ------------------------------------------------------------- pauses


class Transport(asyncio.Transport):
    """Notes whether it reads."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class State:
    context = contextvars.copy_context()

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now


class Output:
    closed = False

    def __init__(self) -> None:
        self.transport = Transport()


def test_pauses_are_told_once() -> None:
    """S1: the transport is told of a change, and not again of what it does already."""
    output = Output()
    side = Input(State(), output)  # type: ignore[arg-type]
    side.resume()
    side.pause()
    side.pause()
    assert side.paused
    side.resume()
    side.resume()
    assert output.transport.calls == ["pause", "resume"]
    output.closed = True
    side.pause()
    assert not side.paused


def test_a_pause_stops_the_clock_of_a_body() -> None:
    """S2: while reading is paused, a body is not late."""
    state = State()
    side = Input(state, Output())  # type: ignore[arg-type]
    side.expect_body(POST, 0)
    side.pause()
    state.now = 200.0
    side.resume()
    assert side.body is not None
    assert side.body.check(204.0, config(timeout_body_idle=5, timeout_body=10)) is None
    side.end_body()
    assert side.body is None
    side.note_end(received=False)
    assert side.end is not None
    assert side.end.since == 200.0
    assert not side.end.received
