"""An answer of the old app, kept as it passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.cutover.shadow.copying.kept import OF_PIECE, Kept
from tests.support.in_process import http_scope
from tests.support.shadows import answering, copies_of, shadowed


def keep(**shadow: object) -> tuple[Kept, Callable[[], dict[str, dict[str, int]]]]:
    """One, and what returns the reasons for which copies were dropped."""
    app = shadowed(answering(), answering(b"new"), **shadow)
    copies = copies_of(app)
    kept = copies.keep(app.table.routes[0], http_scope("/a/1"))
    return kept, copies.reasons


def test_an_answer_is_kept_with_its_request() -> None:
    """M10: fields as bytes of ASGI, or as texts of WSGI."""
    for fields in ([(b"X-A", b"\xff")], [("X-A", "\xff")]):
        kept, reasons = keep()
        kept.status, kept.fields = 200, fields
        kept.add(b"one ")
        kept.add(b"two")
        assert kept.finish()
        assert not kept.finish()
        answer = kept.response()
        assert (answer.status, answer.body) == (200, b"one two")
        assert answer.headers == (("x-a", "\xff"),)
        assert kept.request_scope()["path"] == "/a/1"
        kept.release()
        assert reasons() == {}


def test_what_no_server_sends_is_not_compared() -> None:
    """M10: a status or a field that is none; the server has judged that already."""
    kept, _ = keep()
    kept.status, kept.fields = "no", [("a", 1)]
    assert kept.finish()
    assert kept.response_fields() == ()
    with pytest.raises(ValueError, match="invalid literal"):
        kept.response()


@pytest.mark.parametrize("kind", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8"])
def test_a_stream_of_events_is_not_kept(kind: bytes) -> None:
    """M10: it has no end."""
    kept, reasons = keep()
    kept.status, kept.fields = 200, [(b"content-type", kind)]
    kept.add(b"data: 1\n\n")
    kept.add(b"data: 2\n\n")
    assert not kept.finish()
    assert kept.response().body == b""  # nothing is held
    assert reasons() == {"a": {"stream": 1}}


def test_what_is_too_long_is_forgotten() -> None:
    """M10: of a body, request or answer, each up to its bound."""
    kept, reasons = keep(max_response_body=4)
    kept.status, kept.fields = 200, []
    kept.add(b"abcd")
    kept.add(b"e")
    kept.add(b"f")
    assert not kept.finish()
    assert reasons() == {"a": {"response-body": 1}}
    kept, reasons = keep(max_request_body=4)
    kept.add_request(b"abcd", more=True)
    kept.add_request(b"e", more=False)
    assert reasons() == {"a": {"request-body": 1}}


def test_a_body_that_was_not_read_is_not_there_for_the_copy() -> None:
    """M10: then there is none."""
    kept, reasons = keep()
    kept.add_request(b"abcd", more=True)
    kept.status, kept.fields = 200, []
    assert not kept.finish()
    assert reasons() == {"a": {"request-body": 1}}


def test_memory_is_given_back() -> None:
    """M10: all that is kept together has a bound."""
    app = shadowed(answering(), answering(b"new"))
    copies = copies_of(app)
    copies.room.take(64 * 1024 * 1024 - 10 - OF_PIECE)
    first, second = (copies.keep(app.table.routes[0], http_scope("/")) for _ in range(2))
    first.status, first.fields = 200, []
    first.add(b"12345678")
    second.status, second.fields = 200, []
    second.add(b"1234")
    assert copies.reasons() == {"a": {"memory": 1}}
    first.release()
    assert copies.room.take(10 + OF_PIECE)


def test_each_piece_takes_some_memory_of_its_own() -> None:
    """M10: a million pieces of two bytes take what they do; a copy that is dropped takes none."""
    app = shadowed(answering(), answering())
    copies = copies_of(app)
    kept = copies.keep(app.table.routes[0], http_scope("/a/1"))
    for _ in range(100):
        kept.add(b"xy")
    assert copies.room._left == 64 * 1024 * 1024 - 100 * (2 + OF_PIECE)
    kept.drop("late")
    assert not kept.hold(1)
    assert copies.room._left == 64 * 1024 * 1024
    assert copies.reasons() == {"a": {"late": 1}}
