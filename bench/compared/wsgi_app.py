"""The WSGI app that is asked; it says by marks what it saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from bench.compared.marks import mark, wait_for_go

PIECE = b"x" * 65_536
PIECES = 640  # 40 MB

_place: ContextVar[str] = ContextVar("place", default="lost")


class Endless:
    """A response that goes on for ten seconds, and says when it is closed."""

    def __iter__(self) -> Iterator[bytes]:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            yield PIECE
            time.sleep(0.01)
        mark("ran out")

    def close(self) -> None:
        mark("closed")


class InContext:
    """Says what a context variable of the call is during iteration."""

    def __init__(self) -> None:
        _place.set("kept")

    def __iter__(self) -> Iterator[bytes]:
        yield b"body"
        mark(f"iterated {_place.get()}")

    def close(self) -> None:
        mark(f"context {_place.get()}")


def _hello(environ: dict[str, Any]) -> Iterable[bytes]:
    return [b"hello"]


def _upload(environ: dict[str, Any]) -> Iterable[bytes]:
    """Read one byte, and say so; then the rest."""
    body = environ["wsgi.input"]
    body.read(1)
    mark("first byte")
    left = int(environ["CONTENT_LENGTH"]) - 1
    while left and (piece := body.read(min(left, 65_536))):
        left -= len(piece)
    return [b"cut" if left else b"whole"]


def _echo(environ: dict[str, Any]) -> Iterable[bytes]:
    return [environ["wsgi.input"].read()]


def _cut(environ: dict[str, Any]) -> Iterable[bytes]:
    try:
        got = environ["wsgi.input"].read(100)
    except Exception as error:
        mark(f"cut: {type(error).__name__}")
        raise
    mark(f"cut: {len(got)} bytes as if they were all")
    return [b"got"]


def _stream(environ: dict[str, Any]) -> Iterable[bytes]:
    yield b"one"
    wait_for_go(3)
    yield b"two"


def _flood(environ: dict[str, Any]) -> Iterable[bytes]:
    for _ in range(PIECES):
        mark("piece")
        yield PIECE


def _fail(environ: dict[str, Any]) -> Iterable[bytes]:
    yield b"some"
    raise RuntimeError("in the middle of a response")


def _cookie(environ: dict[str, Any]) -> Iterable[bytes]:
    return [environ.get("HTTP_COOKIE", "").encode("latin-1")]


def _hints(environ: dict[str, Any]) -> Iterable[bytes]:
    if hints := environ.get("wsgi.early_hints"):
        hints([("Link", "</a.css>; rel=preload")])
    return [b"hello"]


ROUTES: dict[str, Callable[[dict[str, Any]], Iterable[bytes]]] = {
    "/hello": _hello,
    "/leave": lambda environ: Endless(),
    "/upload": _upload,
    "/echo": _echo,
    "/cut": _cut,
    "/stream": _stream,
    "/flood": _flood,
    "/fail": _fail,
    "/cookie": _cookie,
    "/hints": _hints,
    "/context": lambda environ: InContext(),
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = ROUTES[environ["PATH_INFO"]](environ)
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if environ.get("QUERY_STRING") == "write":
        write(b"written, ")
    return body
