"""One app is asked a copied request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.cutover.shadow.copying.asking import NoAnswer, TooLong, ask
from bridge.cutover.shadow.copying.loop_threads import CopyThreads, OfCopy
from bridge.cutover.shadow.records import RecordedResponse
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.in_process import http_scope
from tests.support.shadows import answering


async def asked(app: ASGIApp, body: bytes = b"", seconds: float = 20, room: int = 100) -> Any:
    """Its answer, of 10 bytes at most."""
    tasks: list[asyncio.Task[None]] = []
    try:
        return await ask(
            app,
            http_scope("/"),
            body,
            10,
            seconds,
            lambda size: size <= room,
            tasks.append,
            OfCopy(CopyThreads(1)),
        )
    finally:
        await asyncio.wait(tasks)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers nothing."""


async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
    """Never ends by itself."""
    await asyncio.get_running_loop().create_future()


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises."""
    raise ValueError("no")


async def breaking_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Begins only."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends for ever."""
    await send({"type": "http.response.start", "status": 200})
    while True:
        await send({"type": "http.response.body", "body": b"abcd", "more_body": True})
        await asyncio.sleep(0)


def test_the_answer_is_kept() -> None:
    """M10: with the request's body; when the answer is whole, the app hears that nobody waits."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 201, "headers": [(b"X-A", b"1")]})
        await send({"type": "http.response.body", "body": message["body"]})
        assert (await receive())["type"] == "http.disconnect"

    answer: RecordedResponse = asyncio.run(asked(echo, b"sent"))
    assert (answer.status, answer.headers, answer.body) == (201, (("x-a", "1"),), b"sent")
    assert answer.seconds > 0


@pytest.mark.parametrize(
    ("app", "says"),
    [
        (silent, "it ended without an answer"),
        (raising, "it raised ValueError"),
        (breaking_off, "it broke its answer off"),
        (hanging, "no answer within 0.05 s"),
    ],
)
def test_there_may_be_no_answer(app: ASGIApp, says: str) -> None:
    """M10: also if the app hangs: its time is over then, and it is cancelled."""
    with pytest.raises(NoAnswer, match=says):
        asyncio.run(asked(app, seconds=0.05))


@pytest.mark.parametrize(
    ("app", "room", "reason"),
    [(endless, 100, "response-body"), (answering(b"abcd"), 3, "memory")],
)
def test_what_is_too_long_is_not_kept(app: ASGIApp, room: int, reason: str) -> None:
    """M10: it ends the copy at once, so that an app that sends for ever takes no memory."""
    with pytest.raises(TooLong, match=reason):
        asyncio.run(asked(app, room=room))
