"""What clients and the log are told of requests that break a rule (S6, S14)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.server.http1.faults import response_name
from bridge.server.http1.timeouts import DISCARDING
from bridge.types import Receive, Scope, Send
from tests.support.in_loop import InLoop, Talk, in_loop
from tests.support.raw import chunked, parse_responses, request

CHUNKED = "Transfer-Encoding: chunked"
BAD = b"no size\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, when the body is whole, or with a beginning before it."""
    path = scope["path"]
    more = path == "/begin"
    if path == "/held":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    if path != "/read":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": more})
    while path != "/unread":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    if path == "/read":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"read"})


@pytest.fixture
def server(caplog: pytest.LogCaptureFixture) -> Iterator[InLoop]:
    caplog.set_level(logging.DEBUG, "bridge")
    with in_loop(app) as server:
        yield server


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_head_that_is_wrong(
    server: InLoop, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """S6, S10: it gets a small answer, without a body for HEAD; the log says how it began."""
    data = f"{method} / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".encode()
    (answer,) = parse_responses(server.talk([data]), [method])
    assert (answer.status, bool(answer.body), answer.closes) == (400, method == "GET", True)
    assert answer.value(b"date")
    assert f"it began with b'{method} / HTTP/1.1" in caplog.text


def test_a_body_that_is_wrong(server: InLoop, caplog: pytest.LogCaptureFixture) -> None:
    """S6: the log names the request whose body broke a rule."""
    talked = server.talk([request("/read", CHUNKED, method="POST"), BAD])
    (answer,) = parse_responses(talked)
    assert (answer.status, answer.closes) == (400, True)
    assert "refused (400 Bad Request)" in caplog.text
    assert "POST /read" in caplog.text


def test_a_body_that_is_wrong_below_its_response(
    server: InLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """S6, S14: the response that has begun is cut, and the log says after how much of it."""
    talk = server.run(server.open())

    async def main() -> bytes:
        await talk.send(request("/begin", CHUNKED, method="POST") + chunked(b"x")[:6])
        while b"begun" not in talk.answer:
            await talk.turn()
        await talk.send(BAD)
        return await talk.end()

    assert not server.run(main()).endswith(b"0\r\n\r\n")
    talk.sock.close()
    assert "cut the response to POST /begin" in caplog.text
    assert "after 5 bytes" in caplog.text


def test_an_unread_body_that_is_wrong(server: InLoop, caplog: pytest.LogCaptureFixture) -> None:
    """S3, S6: nothing more is answered, but the log says it."""
    talk = server.run(server.open())

    async def main() -> bytes:
        await talk.send(request("/unread", CHUNKED, method="POST") + chunked(b"x")[:6])
        while b"begun" not in talk.answer:
            await talk.turn()
        await talk.send(BAD + request("/unread"))
        return await talk.end()

    answers = parse_responses(server.run(main()))
    talk.sock.close()
    assert [answer.status for answer in answers] == [200]
    assert "refused (400 Bad Request)" in caplog.text


def test_names_of_responses(server: InLoop) -> None:
    """S2: the log says which response is cut, as long as that is known."""
    talk: Talk = server.run(server.open())

    def said(*pieces: bytes) -> Any:
        for piece in pieces:
            server.run(talk.send(piece))
        server.run(turns())
        return response_name(talk.protocol).partition(" for ")[0].partition(" to ")[::2]

    async def turns() -> None:
        for _ in range(4):
            await talk.turn()

    assert said()[0] == "a response"
    begin = request("/unread", "Content-Length: 2", method="POST") + b"x"
    assert said(begin) == ("the response", "POST /unread")
    assert talk.protocol.phase == DISCARDING
    assert said(b"x")[0] == "a response"
    assert said(request("/held")) == ("the response", "GET /held")
    assert talk.protocol.exchange is not None
    talk.protocol.shutdown(at_once=True)
    server.run(talk.end())
    talk.sock.close()
