"""One HTTP request to an ASGI app; the apps of `test_awkward.py` show what is found (M51)."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.check.asgi.call import MOST_PIECES, Call
from bridge.check.findings import Findings
from bridge.check.requests import Request
from tests.support.apps.awkward.asgi import START

GET = Request("GET", "/")
BODY = {"type": "http.response.body"}


def call(app: Any, request: Request = GET, seconds: float = 5) -> tuple[Any, list[str]]:
    """The answer, and the ids of what was found."""
    findings = Findings()
    answer = asyncio.run(_call(app, request, findings, seconds))
    return answer, [each.id for each in findings]


async def _call(app: Any, request: Request, findings: Findings, seconds: float) -> Any:
    return await Call(app, request, findings)(seconds)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message["type"]
        body += message["body"]
        if not message["more_body"]:
            break
    await send(START)
    await send({**BODY, "body": body})


def test_bodies_come_as_they_were_sent() -> None:
    """M51: whole, or in pieces; the answer's size is known."""
    for chunked in (False, True):
        request = Request("POST", "/", body=b"body", chunked=chunked)
        answer, found = call(echo, request)
        assert (answer.status, answer.size, answer.body_was_read, found) == (200, 4, True, [])


def test_a_client_that_breaks_off() -> None:
    """M51: what the app raises then is no error."""
    answer, found = call(echo, Request("POST", "/", body=b"body", leaves=True))
    assert (answer.status, answer.error, answer.hangs, found) == (0, None, False, [])


def test_a_client_that_leaves_a_stream() -> None:
    """M51: send() raises an OSError, as the specification wants, and receive() tells of it."""
    told: list[str] = []

    async def ticks(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        try:
            while True:
                await send({**BODY, "body": b"tick", "more_body": True})
        except OSError:
            told.append((await receive())["type"])
            raise

    answer, found = call(ticks, Request("GET", "/", leaves=True))
    assert (answer.size, found, told) == (4, [], ["http.disconnect"])
    answer, found = call(ticks)
    assert (answer.size, found, answer.error) == (4 * MOST_PIECES, ["endless"], None)


def test_work_after_the_response_is_let_be() -> None:
    """M51: it is bounded, and not told."""

    async def works_on(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(BODY)
        await asyncio.Event().wait()

    answer, found = call(works_on, seconds=0.05)
    assert (answer.status, answer.hangs, found) == (200, False, [])


def test_one_that_cannot_be_cancelled() -> None:
    """M51: is told; a server could not stop."""
    release = asyncio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            try:
                await release.wait()
            except asyncio.CancelledError:
                asyncio.get_running_loop().call_later(1.5, release.set)

    answer, found = call(stubborn, seconds=0.05)
    assert answer.hangs
    assert found == ["ignores-cancel"]
