"""Request bodies of WSGI apps: handed on as they come, or kept until they are whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from bridge.server.apps.wsgi.request_body import DiskBody, MemoryBody, held_body, open_input
from bridge.server.request_body import PARTIAL, WHOLE, RequestBody
from tests.server.apps.connections import request


def never() -> bytes:
    raise AssertionError("the body is whole")


@pytest.mark.parametrize("make", [lambda: MemoryBody(0), lambda: DiskBody(0, 4)])
def test_a_body_that_is_kept_until_it_is_whole(make: Callable[[], Any]) -> None:
    """W25: whatever its size, there is always room for more, and the app reads all of it."""
    body = make()
    assert body.held
    assert all(body.feed(piece) for piece in (b"abc", b"", b"defgh"))
    body.end(None)
    assert body.size == 8
    with open_input(body, never) as stream:
        assert (stream.read(5), stream.read(), stream.read()) == (b"abcde", b"fgh", b"")


def test_a_large_body_is_not_in_memory() -> None:
    """W25: beyond the limit it is on disk, and its file goes with the last reference."""
    body = DiskBody(0, 4)
    body.feed(b"12345")
    stream: Any = body.open()
    assert isinstance(stream, tempfile.SpooledTemporaryFile)
    assert stream.fileno() > 0
    file = stream._file
    del body, stream
    assert file.closed


@pytest.mark.parametrize(
    ("length", "spool", "kind"),
    [
        ("Content-Length: 10", None, None),
        ("Content-Length: 10", 10, MemoryBody),
        ("Content-Length: 11", 10, DiskBody),
        ("Transfer-Encoding: chunked", None, None),
        ("Transfer-Encoding: chunked", 10, DiskBody),
    ],
)
def test_which_bodies_are_kept(
    length: str, spool: int | None, kind: type | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W25: none by default; if the app wants whole bodies, in memory what is small enough."""
    # Other tests may have loaded Django, which W24 is about.
    monkeypatch.setattr("bridge.wsgi.input.needs_length", lambda: False)
    asked = request("POST / HTTP/1.1", "Host: h", length)
    found = held_body(asked, 99, spool)
    if kind is None:
        assert found is None
    else:
        assert type(found) is kind
        assert found.limit == 99


def test_a_body_that_came_with_its_head() -> None:
    """W20: nothing is waited for."""
    body = RequestBody(WHOLE)
    body.feed(b"hello")
    assert open_input(body, never).read() == b"hello"


def test_a_body_that_is_still_coming() -> None:
    """W20: the app's reads wait for the next piece."""
    pieces = iter([b"he", b"llo", b""])
    stream = open_input(RequestBody(PARTIAL), lambda: next(pieces))
    assert stream.read() == b"hello"
