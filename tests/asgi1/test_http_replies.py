"""The replies to an HTTP request, and the ASGI messages that they become."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.asgi1.http_replies import HttpReplies
from bridge.errors import IllegalMessage, MessageTooLarge
from bridge.types import Message


def taken(*replies: Message, limit: int = 1000) -> list[Message]:
    """The messages of these replies to one request."""
    state = HttpReplies(limit)
    return [message for reply in replies for message in state.take(reply)]


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def test_a_response_in_one_reply() -> None:
    """L4: status, headers and content; what is left out is empty."""
    field = (b"Content-Type", b"text/plain")
    reply = {"status": 201, "headers": [field], "content": b"x", "more_content": False}
    assert taken(reply) == [start(201, (b"content-type", b"text/plain")), body(b"x")]
    assert taken({"status": 204}) == [start(204), body()]
    for nothing in (None, [], {}):  # daphne took an empty dict, too
        reply = {"status": 200, "headers": nothing, "status_text": "OK"}
        assert taken(reply) == [start(), body()]


def test_a_response_in_many_replies() -> None:
    """L4: the first without a true `more_content` ends it; it may be empty."""
    more: dict[str, Any] = {"more_content": True}
    assert taken(
        {"status": 200, **more},
        {"content": b"a", **more},
        {"content": memoryview(b"b"), **more},
        {},
    ) == [start(), body(more=True), body(b"a", True), body(b"b", True), body()]
    assert taken({"status": 200, **more}, {"status": None, "headers": [], "content": b"z"})[-1] == (
        body(b"z")
    )


def test_how_far_a_response_is() -> None:
    """L4: it begins with its first reply and ends with its last; a wrong one changes nothing."""
    replies = HttpReplies(1000)
    with pytest.raises(IllegalMessage):
        replies.take({"status": 1})
    assert (replies.has_begun, replies.is_over) == (False, False)
    replies.take({"status": 200, "more_content": True})
    with pytest.raises(IllegalMessage):
        replies.take({"content": "text"})
    assert (replies.has_begun, replies.is_over) == (True, False)
    replies.take({"content": b""})
    assert (replies.has_begun, replies.is_over) == (True, True)


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Name", "caf\xe9")],
        [(b"X-Name", "caf\xe9")],
        (["X-Name", b"caf\xe9"],),
        iter([("X-Name", "caf\xe9")]),
    ],
)
def test_text_in_a_field_is_latin_1(headers: Any) -> None:
    """L4: as daphne 1 took it; lists of pairs that are lists come from other processes."""
    assert taken({"status": 200, "headers": headers})[0] == start(200, (b"x-name", b"caf\xe9"))


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (None, "a reply is a dict, not None"),
        (b"hello", "a reply is a dict, not b'hello'"),
        ({}, "first reply to a request has the key 'status'; this one has no keys"),
        ({"text": "x", "order": 1}, "has the key 'status'; this one has 'text', 'order'"),
        ({"status": "200 OK"}, "status is '200 OK', and must be an integer from 200 to 999"),
        ({"status": 100}, "must be an integer from 200 to 999"),
        ({"status": 200, "content": "text"}, "content is 'text', and must be bytes"),
        ({"status": 200, "content": None}, "content is None, and must be bytes"),
        ({"status": 200, "headers": {"a": "b"}}, "headers are dict, and must be an iterable"),
        ({"status": 200, "headers": ["ab"]}, "header 'ab' is not a pair of bytes"),
        ({"status": 200, "headers": [b"ab:c"]}, "is not a pair of name and value"),
        ({"status": 200, "headers": [("a", 1)]}, "is not a pair of bytes"),
        ({"status": 200, "headers": [("a", "\u20ac")]}, "is not a pair of bytes"),
        ({"status": 200, "headers": [(b"a", b"b\r\nc: d")]}, "header"),
    ],
)
def test_what_is_no_first_reply(reply: Any, text: str) -> None:
    """L4: the sender is told what was seen, and what is allowed."""
    with pytest.raises(IllegalMessage, match=text):
        taken(reply)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ({"status": 200}, "'status' is for the first reply"),
        ({"headers": [(b"a", b"b")]}, "'headers' is for the first reply"),
        ({"text": "hello"}, "has 'content' and 'more_content', not 'text'"),
    ],
)
def test_what_is_no_later_reply(reply: Any, text: str) -> None:
    """L4: status and headers come once and first."""
    with pytest.raises(IllegalMessage, match=text):
        taken({"status": 200, "more_content": True}, reply)


def test_nothing_follows_the_end() -> None:
    """L4: a reply after the last one is an error of its sender."""
    with pytest.raises(IllegalMessage, match=r"the response is complete.*'content' came after it"):
        taken({"status": 200}, {"content": b"x"})


def test_content_has_a_limit() -> None:
    """L4: it is that of the channel layer, so that a worker elsewhere may send the same."""
    assert taken({"status": 200, "content": b"12345"}, limit=5)[1] == body(b"12345")
    with pytest.raises(MessageTooLarge, match=r"content has 6 bytes.* takes 5 in one message"):
        taken({"status": 200, "content": b"123456"}, limit=5)
