"""How one request went."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from bridge.cutover.observed.outcome import Outcome
from bridge.errors import OVER_TIME, ClientDisconnected
from bridge.types import Message
from tests.support.in_process import http_scope, websocket_scope

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
PIECE: Message = {"type": "http.response.body", "body": b"a", "more_body": True}
END: Message = {"type": "http.response.body", "body": b"a"}
LEAVES: Message = {"type": "http.disconnect"}
ACCEPT: Message = {"type": "websocket.accept"}
CLOSE: Message = {"type": "websocket.close"}
CLIENT_CLOSES: Message = {"type": "websocket.disconnect", "code": 1001}
ERROR = ValueError("broken")
FROM_CLIENT = ("http.disconnect", "http.request", "websocket.disconnect")


def outcome_of(
    messages: Iterable[Message], *, websocket: bool = False, gone: bool = False
) -> Outcome:
    """One that has seen these messages; if `gone`, the host raises when the app sends."""
    coming = iter([each for each in messages if each["type"] in FROM_CLIENT])

    async def receive() -> Message:
        return next(coming)

    async def send(message: Message) -> None:
        if gone:
            raise OSError("gone")

    scope = websocket_scope("/") if websocket else http_scope("/")
    outcome = Outcome(scope, receive, send)

    async def go() -> None:
        for message in messages:
            if message["type"] in FROM_CLIENT:
                await outcome.receive()
                continue
            try:
                await outcome.send(message)
            except OSError:
                assert gone

    asyncio.run(go())
    return outcome


@pytest.mark.parametrize(
    ("messages", "error", "status"),
    [
        ([START, END], None, 200),
        ([{**START, "status": 503}, END], None, 503),
        ([START, END, LEAVES], ERROR, 200),
        ([], ERROR, 500),
        ([], None, 500),
        ([START, PIECE], ERROR, 500),
        ([START, PIECE], None, 500),
        ([LEAVES], ERROR, 0),
        ([LEAVES], None, 0),
        ([LEAVES, {**START, "status": 500}, END], ERROR, 0),
        ([START, PIECE, LEAVES], ERROR, 0),
        ([START, PIECE, LEAVES], asyncio.CancelledError(), 0),
        ([START, PIECE], ClientDisconnected("gone"), 0),
        ([], asyncio.CancelledError(), 0),
        ([], asyncio.CancelledError(OVER_TIME), 504),
        ([], SystemExit(3), 500),
    ],
)
def test_what_is_a_failure_of_the_app(
    messages: list[Message], error: BaseException | None, status: int
) -> None:
    """M21: what raises or breaks off; not what its client has left, nor what the server ends."""
    outcome = outcome_of(messages)
    assert outcome.ended(error) == status
    assert outcome.seconds(1.5) is not None


@pytest.mark.parametrize(
    ("messages", "error", "status"),
    [
        ([ACCEPT, CLIENT_CLOSES], ERROR, 101),
        ([ACCEPT, CLIENT_CLOSES], None, 101),
        ([ACCEPT, CLOSE], None, 101),
        ([ACCEPT], None, 101),
        ([ACCEPT], ERROR, 500),
        ([ACCEPT], asyncio.CancelledError(), 101),
        ([CLIENT_CLOSES], ERROR, 0),
        ([CLOSE], None, 403),
        ([], ERROR, 500),
    ],
)
def test_a_websocket_whose_client_leaves_is_no_failure(
    messages: list[Message], error: BaseException | None, status: int
) -> None:
    """M21: however long it was open, which says nothing of the app."""
    outcome = outcome_of(messages, websocket=True)
    assert outcome.ended(error) == status
    assert outcome.seconds(3600.0) is None


def test_the_duration_is_what_the_app_takes() -> None:
    """M21: 5 s of an upload are the client's, and so are 7 s in which it reads the answer."""
    now = 100.0
    body = iter([b"a", b"b"])

    async def receive() -> Message:
        nonlocal now
        now += 2.5
        data = next(body)
        return {"type": "http.request", "body": data, "more_body": data == b"a"}

    async def send(message: Message) -> None:
        nonlocal now
        now += 7

    outcome = Outcome(http_scope("/"), receive, send, lambda: now)

    async def app() -> None:
        nonlocal now
        for _ in range(2):
            await outcome.receive()
        now += 1
        await outcome.send(START)
        await outcome.send(END)

    asyncio.run(app())
    assert (outcome.client_took, outcome.seconds(100.0)) == (5.0, 1.0)


def test_a_host_that_raises_says_that_the_client_has_left() -> None:
    """M21: an app that goes on to raise that, or anything, has not failed."""
    assert outcome_of([START], gone=True).ended(OSError("gone")) == 0


def test_a_rescued_one_has_failed() -> None:
    """M22: once, whatever the old app has answered."""
    outcome = outcome_of([START, END])
    outcome.rescued = True
    assert outcome.ended(None) == 500


def test_a_client_that_is_slow_is_not_an_app_that_hangs() -> None:
    """M21: the app waits for the rest of the request, not the client for the app."""

    async def go() -> None:
        pieces: asyncio.Queue[Message] = asyncio.Queue()
        outcome = Outcome(http_scope("/", "POST"), pieces.get, pieces.put)
        assert outcome.unanswered
        reading = asyncio.create_task(outcome.receive())
        await asyncio.sleep(0)
        assert not outcome.unanswered
        pieces.put_nowait({"type": "http.request", "body": b"all"})
        await reading
        assert outcome.unanswered
        listening = asyncio.create_task(outcome.receive())  # for the disconnect
        await asyncio.sleep(0)
        assert outcome.unanswered
        pieces.put_nowait(LEAVES)
        await listening
        assert not outcome.unanswered

    asyncio.run(go())
    assert not outcome_of([START]).unanswered
