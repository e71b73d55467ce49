"""The queue of a request's body between the connection and the app."""

from __future__ import annotations

import pytest

from bridge.errors import RequestError
from bridge.limits import HIGH_WATER
from bridge.server.request_body import (
    EMPTY_BODY,
    FAILED,
    NO_BODY,
    PARTIAL,
    WHOLE,
    RequestBody,
    WholeBody,
)


def test_a_body_is_taken_as_it_came() -> None:
    """W23: bytes are neither lost nor changed, and are taken once."""
    body = RequestBody(PARTIAL)
    for piece in (b"ab", b"c", b"def"):
        assert body.feed(piece)
    assert (body.size, body.waiting) == (6, 6)
    assert body.take() == b"abcdef"
    assert (body.size, body.waiting, body.take()) == (6, 0, b"")
    body.feed(b"g")
    assert body.take() == b"g"


def test_a_body_that_came_whole() -> None:
    """W23: it is the same as one that came in pieces, and has ended."""
    body = WholeBody(b"abc", 10)
    assert (body.state, body.limit, body.error, body.awaits_continue) == (WHOLE, 10, None, False)
    assert (body.size, body.waiting) == (3, 3)
    assert body.take() == b"abc"
    assert (body.size, body.waiting, body.take()) == (3, 0, b"")


def test_a_full_queue_asks_for_a_pause() -> None:
    """W25: what nobody takes is bounded; when it is taken, there is room again."""
    body = RequestBody(PARTIAL)
    assert body.feed(b"x" * (HIGH_WATER - 1))
    assert not body.feed(b"x")
    body.take()
    assert body.feed(b"x")


def test_it_awaits_continue_once() -> None:
    """S5: a client that waits for 100 Continue does so until it gets it, or sends without it."""
    assert not RequestBody(PARTIAL).awaits_continue
    body = RequestBody(PARTIAL, awaits_continue=True)
    assert body.awaits_continue
    body.stop_awaiting_continue()
    assert not body.awaits_continue


@pytest.mark.parametrize("error", [None, RequestError("too large", 413)])
def test_its_end(error: RequestError | None) -> None:
    """W26: it is whole, or has broken a rule, and then it says which."""
    body = RequestBody(PARTIAL)
    body.end(error)
    assert body.state == (WHOLE if error is None else FAILED)
    assert body.error is error


def test_no_body() -> None:
    """A request without a body has one that is over, and shared by all."""
    assert EMPTY_BODY.state == NO_BODY <= WHOLE < PARTIAL
    assert (EMPTY_BODY.take(), EMPTY_BODY.waiting) == (b"", 0)
