"""The body of a request on its way to a consumer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.asgi1.http_body import RequestBody, expected_body
from bridge.limits import HIGH_WATER
from bridge.types import Message


class Coming:
    """The events of a host's `receive`, one after the other; then it waits."""

    def __init__(self, *pieces: bytes, whole: bool = True, leaves: bool = False) -> None:
        last = len(pieces) - 1
        self.events: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": n < last or not whole}
            for n, piece in enumerate(pieces)
        ]
        if leaves:
            self.events.append({"type": "http.disconnect"})
        self.left = 0

    async def receive(self) -> Message:
        await asyncio.sleep(0)
        if not self.events:
            await asyncio.get_running_loop().create_future()
        return self.events.pop(0)

    def leave(self) -> None:
        self.left += 1


def body_of(coming: Coming, length: int | None = None) -> RequestBody:
    return RequestBody(coming.receive, length, coming.leave)


def test_a_small_body_is_taken_whole() -> None:
    """L4: in however many pieces it comes."""
    body = body_of(Coming(b"ab", b"", b"c"))
    assert asyncio.run(body.take_small()) == b"abc"
    assert (body.is_whole, body.is_cut) == (True, False)


def test_of_a_large_body_the_beginning_is_taken() -> None:
    """L4: the rest comes in chunks, whose last says so, again and again."""
    body = body_of(Coming(b"x" * HIGH_WATER, b"y", b"z", b""))

    async def read() -> None:
        assert await body.take_small() == b"x" * HIGH_WATER + b"y"
        assert not body.is_whole
        assert await body.receive() == {"content": b"z", "more_content": True}
        ending = asyncio.create_task(body.ended())
        for _ in range(2):
            assert await body.receive() == {"content": b"", "more_content": False}
        await ending

    asyncio.run(read())


def test_a_client_that_leaves_in_the_middle() -> None:
    """L4: the chunk is `closed`, again and again; who asked for it is told once."""
    coming = Coming(b"ab", whole=False, leaves=True)
    body = body_of(coming)

    async def read() -> None:
        assert await body.receive() == {"content": b"ab", "more_content": True}
        for _ in range(2):
            closed = {"content": b"", "more_content": False, "closed": True}
            assert await body.receive() == closed
        assert (body.is_cut, coming.left) == (True, 1)

    asyncio.run(read())
    body = body_of(coming := Coming(b"ab", whole=False, leaves=True))
    asyncio.run(body.take_small())
    assert (body.is_whole, coming.left) == (False, 1)


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        ([], "1.1", "none"),
        ([(b"content-length", b"0")], "1.1", "none"),
        ([(b"content-length", b"5")], "1.1", 5),
        ([(b"content-length", b"many")], "1.1", None),
        ([(b"transfer-encoding", b"chunked")], "1.1", None),
        ([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], "1.1", None),
        ([], "2", None),
    ],
)
def test_which_requests_have_a_body(headers: Any, version: str, expected: Any) -> None:
    """L4: those that announce one (RFC 9112 §6.3), and those of HTTP/2, which need not."""
    scope = {"headers": headers, "http_version": version}
    coming = Coming(b"")
    body = expected_body(scope, coming.receive, coming.leave)
    assert ("none" if body is None else body.length) == expected
