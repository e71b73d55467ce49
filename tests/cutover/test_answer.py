"""A response on its way: fields are added, and errors are answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.cutover.answer import Answer
from bridge.errors import ClientDisconnected, RequestError
from bridge.types import Message, Receive, Scope, Send
from tests.support.in_process import http_scope, websocket_scope

FIELDS = [(b"x-served-by", b"new")]


async def receive() -> Message:
    raise AssertionError


def run(scope: Scope, messages: list[Message], error: Exception | None = None) -> Any:
    """Have an app send these messages, and raise; what the host gets, and the status."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(app: None, scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    answer = Answer(scope, send, FIELDS)
    if error is None:
        asyncio.run(answer.run(app, None, scope, receive))
    else:
        with pytest.raises(type(error)):
            asyncio.run(answer.run(app, None, scope, receive))
    return sent, answer.status


def test_fields_are_added_to_the_head() -> None:
    """M2: behind those of the app, whose message is not changed."""
    start: Message = {"type": "http.response.start", "status": 304, "headers": [(b"etag", b"1")]}
    sent, status = run(http_scope("/"), [start, {"type": "http.response.body"}])
    assert sent[0]["headers"] == [(b"etag", b"1"), *FIELDS]
    assert len(start["headers"]) == 1
    assert status == 304


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (ValueError("secret"), 500, b"Internal Server Error\n"),
        (RequestError("too slow", 408), 408, b"Request Timeout: too slow\n"),
    ],
)
def test_an_error_before_the_response_is_answered(
    error: Exception, status: int, body: bytes
) -> None:
    """M2: so that this answer says who gave it; the error is raised all the same."""
    sent, seen = run(http_scope("/"), [], error)
    assert sent[0]["status"] == seen == status
    assert FIELDS[0] in sent[0]["headers"]
    assert sent[1]["body"] == body


def test_no_second_response() -> None:
    """M2: an error behind the head, or a client that has left, is not answered."""
    sent, _ = run(http_scope("/"), [{"type": "http.response.start", "status": 200}], ValueError())
    assert len(sent) == 1
    assert run(http_scope("/"), [], ClientDisconnected()) == ([], 0)
    assert run(websocket_scope("/"), [], ValueError()) == ([], 0)


def test_a_refused_websocket_has_a_response_where_the_host_knows_that() -> None:
    """M2: else the host's own 403 goes out."""
    close: Message = {"type": "websocket.close"}
    sent, status = run(websocket_scope("/"), [close])
    assert (sent, status) == ([close], 403)
    scope = websocket_scope("/", extensions={"websocket.http.response": {}})
    sent, status = run(scope, [close])
    assert [each["type"] for each in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert (sent[0]["headers"], status) == (FIELDS, 403)
    sent, status = run(scope, [{"type": "websocket.accept"}, close])
    assert (sent[0]["headers"], sent[1], status) == (FIELDS, close, 101)


@pytest.mark.parametrize(
    ("cache", "added"),
    [
        ([], [b"set-cookie", b"cache-control"]),
        ([(b"cache-control", b"no-store")], [b"set-cookie"]),
        ([(b"cache-control", b"public")], []),
    ],
)
def test_a_cookie_is_on_no_response_that_caches_may_keep(cache: Any, added: list[bytes]) -> None:
    """M20: other fields are on each."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    answer = Answer(http_scope("/"), send, FIELDS, (b"set-cookie", b"a=b"))
    start = {"type": "http.response.start", "status": 200, "headers": cache}
    asyncio.run(answer.send(start))
    names = [name for name, _ in sent[0]["headers"]]
    assert names == [*(name for name, _ in cache), *added, b"x-served-by"]


def test_a_cookie_is_on_any_answer_to_a_handshake() -> None:
    """M20: no cache keeps that."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    answer = Answer(websocket_scope("/"), send, FIELDS, (b"set-cookie", b"a=b"))
    asyncio.run(answer.send({"type": "websocket.accept"}))
    assert sent[0]["headers"] == [(b"set-cookie", b"a=b"), *FIELDS]
