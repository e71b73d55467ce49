"""The same app as WSGI and as ASGI: responses of so many bytes, made in every way.

``/WAY?SIZE``; the ways are ``whole``, ``list``, ``small`` and ``large`` (pieces of a generator),
``write``, ``file``. Each begins a number that goes up by one with each request; ``/begun`` tells
the last. Memory for the body of a request is its own, so what is kept shows.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from bridge.types import Environ, Receive, Scope, Send, StartResponse

PIECES = {"small": 1000, "large": 100_000}
_numbers = count(1)
_last = 0


def _begin(size: int) -> tuple[bytes, bytes]:
    """The number of the request, as eight digits, and the rest of `size` bytes."""
    global _last
    _last = next(_numbers)
    return b"%08d" % _last, bytes(size - 8)


def pieces(way: str, size: int) -> Iterator[bytes]:
    number, rest = _begin(size)
    yield number
    step = PIECES.get(way, 100_000)
    for at in range(0, len(rest), step):
        yield rest[at : at + step]


def file_of(size: int) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115 — the server closes it
    file.write(b"".join(_begin(size)))
    file.seek(0)
    return file


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    way, size = environ["PATH_INFO"][1:], int(environ["QUERY_STRING"] or 8)
    if way == "begun":
        start_response("200 OK", [])
        return [b"%d" % _last]
    write = start_response("200 OK", [("Content-Length", str(size))])
    if way == "whole":
        return [b"".join(_begin(size))]
    if way == "list":
        return list(pieces(way, size))
    if way == "write":
        for piece in pieces(way, size):
            write(piece)
        return []
    if way == "file":
        return environ.get("wsgi.file_wrapper", _read)(file_of(size))  # type: ignore[no-any-return]
    return pieces(way, size)


def _read(file: io.BytesIO) -> Iterator[bytes]:
    while piece := file.read(65536):
        yield piece


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    way, size = scope["path"][1:], int(scope["query_string"] or 8)
    start = {"type": "http.response.start", "status": 200, "headers": []}
    if way == "begun":
        await send(start)
        await send({"type": "http.response.body", "body": b"%d" % _last})
        return
    await send(start | {"headers": [(b"content-length", b"%d" % size)]})
    if way == "whole":
        await send({"type": "http.response.body", "body": b"".join(_begin(size))})
    elif way == "file":
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"".join(_begin(size)))
            file.flush()
            await send({"type": "http.response.pathsend", "path": file.name})
    else:
        for piece in pieces(way, size):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
