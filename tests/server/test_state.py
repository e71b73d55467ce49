"""What all connections of a server share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.errors import Overloaded
from bridge.server.config import Config
from bridge.server.metrics.figures import Figures
from bridge.server.state import (
    CUTTING,
    FINISHING,
    LATE,
    PLACES,
    RETIRING,
    SERVING,
    ServerState,
)


def app(environ: Any, start_response: Any) -> list[bytes]:
    return []


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def make(loop: asyncio.AbstractEventLoop, **settings: Any) -> ServerState:
    return ServerState(Config(app=app, **settings), loop)


class Request:
    """A request as `limit_requests` counts it."""

    response_state = 0


class Connection:
    """A connection that notes when it is looked at."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def check_timeouts(self, now: float) -> None:
        self.looks.append(now)

    def shutdown(self, *, at_once: bool) -> None: ...


def test_a_limit_of_requests(loop: asyncio.AbstractEventLoop) -> None:
    """S2: one request too many is refused; one whose last bytes are on their way counts no more."""
    state, first, second = make(loop, limit_requests=2), Request(), Request()
    state.count(first)
    state.count(second)
    with pytest.raises(Overloaded, match="2 requests are under way, which is the limit"):
        state.count(Request())
    first.response_state = FINISHING
    third = Request()
    state.count(third)
    assert state.active == {second, third}


def test_a_stop_goes_one_way(loop: asyncio.AbstractEventLoop) -> None:
    """P2: a phase of a stop that is over does not come back."""
    state = make(loop)
    assert state.stop_phase == SERVING
    for phase, after in ((RETIRING, RETIRING), (LATE, LATE), (RETIRING, LATE), (CUTTING, CUTTING)):
        state.enter_stop(phase)
        assert state.stop_phase == after


def test_once_a_second(loop: asyncio.AbstractEventLoop) -> None:
    """S2, S10: a tick takes the time and makes our own fields; then all connections are checked."""
    state, connection = make(loop), Connection()
    state.connections.add(connection)
    state.tick()
    assert state.default_end == state.default_fields.lines + b"\r\n"
    assert state.default_end.startswith(b"date: ")
    state.check_timeouts()
    assert connection.looks == [state.now]
    assert state.now <= state.clock()


def test_what_threads_ask_of_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    """W39: what comes after the loop's end is dropped, without an error in the thread."""
    state, done = make(loop), []

    async def wait() -> None:
        state.call_on_loop(done.append, 1)
        while not done:
            await asyncio.sleep(0)

    loop.run_until_complete(wait())
    loop.close()
    state.call_on_loop(done.append, 2)
    assert done == [1]


def test_the_access_log_says_whether_requests_are_timed(loop: asyncio.AbstractEventLoop) -> None:
    """S50: without a log nothing is timed; with one, if it wants to know."""
    state = make(loop)
    for log, timed in ((None, False), (_Log(timed=True), True), (_Log(timed=False), False)):
        state.use_access_log(log)  # type: ignore[arg-type]
        assert (state.recording and state.recording.log, state.timed) == (log, timed)


def test_figures(loop: asyncio.AbstractEventLoop) -> None:
    """O2: requests are timed for them, with and without a log; each tick says how late it is."""
    state = make(loop)
    assert state.figures is None
    figures = Figures(state.connections, state.refusals)
    state.use_figures(figures)
    state.use_access_log(_Log(timed=False))  # type: ignore[arg-type]
    assert (state.figures, state.timed, state.lag) == (figures, True, 0.0)
    state.use_figures(figures)
    assert state.recording is not None
    assert state.recording.log is not None
    state.tick()
    assert sum(figures.lag.counts) == 1
    state.use_figures(None)
    assert (state.figures, state.timed) == (None, False)


class _Log:
    def __init__(self, *, timed: bool) -> None:
        self.timed = timed


def test_places_are_one_object_each(loop: asyncio.AbstractEventLoop) -> None:
    """S13: what is worked out for a place is not mixed with that of another; so many are kept."""
    one = PLACES["http", ("127.0.0.1", 80)]
    assert (one.scheme, one.server) == ("http", ("127.0.0.1", 80))
    assert PLACES["https", ("127.0.0.1", 80)].scheme == "https"
    for port in range(2 * PLACES.size):
        PLACES["http", ("192.0.2.1", port)]
    assert len(PLACES) <= PLACES.size
