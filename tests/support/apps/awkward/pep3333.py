"""WSGI apps that break PEP 3333, each in one way, and one that does all of it right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

HEAD: list[tuple[str, str]] = [("Content-Type", "text/plain")]


def good(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Nothing is wrong with it."""
    if environ["PATH_INFO"] != "/":
        start_response("404 Not Found", HEAD)
        return [b"nothing here"]
    start_response("200 OK", [*HEAD, ("Content-Length", "5")])
    return [b"hello"]


def generating(environ: Any, start_response: Any) -> Iterator[bytes]:
    """A generator, which calls start_response() at its first piece: that is allowed."""
    start_response("200 OK", HEAD)
    yield b"one "
    yield b"two"


def writes(environ: Any, start_response: Any) -> Iterable[bytes]:
    write = start_response("200 OK", HEAD)
    write(b"one ")
    return [b"two"]


def text(environ: Any, start_response: Any) -> Iterable[Any]:
    start_response("200 OK", HEAD)
    return ["text"]


def bare_bytes(environ: Any, start_response: Any) -> Iterable[Any]:
    start_response("200 OK", HEAD)
    return b"bytes"


def twice(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", HEAD)
    start_response("500 Internal Server Error", HEAD)
    return [b""]


def never(environ: Any, start_response: Any) -> Iterable[bytes]:
    return [b"no head"]


def lying(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [*HEAD, ("Content-Length", "50")])
    return [b"short"]


def number(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("X-Count", 3)])
    return [b""]


def hopping(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [*HEAD, ("Keep-Alive", "timeout=5")])
    return [b"hop"]


def late(environ: Any, start_response: Any) -> Iterator[bytes]:
    """Reads its body between two pieces of its response."""
    start_response("200 OK", HEAD)
    yield b"begun "
    yield environ["wsgi.input"].read(10)


class after_the_end:  # an app
    """Reads its body when it is closed, and when that is over."""

    left: Any = None

    def __init__(self, environ: Any, start_response: Any) -> None:
        if after_the_end.left is not None:
            after_the_end.left.read(1)
        after_the_end.left = environ["wsgi.input"]
        start_response("200 OK", HEAD)

    def __iter__(self) -> Iterator[bytes]:
        yield b"done"


def greedy(environ: Any, start_response: Any) -> Iterable[bytes]:
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", HEAD)
    return [b"%d" % size]


def by_length(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Reads as CGI programs did: nothing without a Content-Length."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    start_response("200 OK", HEAD)
    return [b"%d" % len(body)]
