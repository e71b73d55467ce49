"""What extensions bring along: judged alike on our server and behind WSGI hosts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import IllegalMessage
from bridge.server.apps.asgi.extensions import hint_fields, open_path, trailer_fields
from tests.adapters.asgi_on_wsgi.direct import environ, serve

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b")]}


def hinted(links: Any) -> str:
    """What an app hears that sends these links behind a WSGI host."""
    said = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.early_hint", "links": links})
        except Exception as error:
            said.append(type(error).__name__)
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})

    serve(app, environ(wsgi_early_hints=lambda _: None))
    return said[0] if said else "taken"


@pytest.mark.parametrize("links", [None, [], [b"</a>"], (b"</a>",), iter([b"</a>", b"</b>"])])
def test_good_links(links: Any) -> None:
    """A24 S10: links come in any iterable of bytes, or are left out."""
    links = None if links is None else list(links)
    fields = hint_fields({"type": "http.response.early_hint", "links": links})
    assert [field.line for field in fields] == [b"link: %b\r\n" % link for link in links or []]
    assert hinted(links) == "taken"


@pytest.mark.parametrize("links", ["</a>", b"</a>", 5, {b"a": 1}, ["</a>"], [5], [b"a\r\nb: c"]])
def test_bad_links(links: Any) -> None:
    """A21 A24 S10: all else is an IllegalMessage on both ways."""
    with pytest.raises(IllegalMessage):
        hint_fields({"type": "http.response.early_hint", "links": links})
    assert hinted(links) == "IllegalMessage"


def test_trailers() -> None:
    """S10: trailers are fields like others, in the spelling of the app."""
    fields = [(b"X-Sum", b" 5 "), [b"x-list", bytearray(b"a")]]
    trailers = trailer_fields({"headers": fields})
    assert [field.line for field in trailers] == [b"X-Sum: 5\r\n", b"x-list: a\r\n"]
    assert trailer_fields({}) == []


@pytest.mark.parametrize(
    "headers",
    [
        5,
        [5],
        [(b"a",)],
        [("a", b"b")],
        [(b"a", b"b\n")],
        [(b"Content-Length", b"5")],
        [(b"transfer-encoding", b"chunked")],
        [(b"host", b"x")],
    ],
)
def test_bad_trailers(headers: Any) -> None:
    """S10: what is no field, or comes too late as a trailer, is an IllegalMessage."""
    with pytest.raises(IllegalMessage):
        trailer_fields({"headers": headers})


def test_a_file_is_opened(tmp_path: Path) -> None:
    """S10: a regular file, with its size in bytes; the caller closes it."""
    (tmp_path / "file").write_bytes(b"hello")
    file, size = open_path({"path": str(tmp_path / "file")})
    try:
        assert (os.read(file, 99), size) == (b"hello", 5)
    finally:
        os.close(file)


def test_what_is_no_file(tmp_path: Path) -> None:
    """S10: a path is text, and what it names can be read."""
    with pytest.raises(IllegalMessage, match="must be a str"):
        open_path({"path": b"/file"})
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=path.name):
            open_path({"path": str(path)})
