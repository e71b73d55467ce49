"""WSGI apps that hang, raise, stream without an end, or wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

HEAD = [("Content-Type", "text/plain")]
_never = threading.Event()


def hangs(environ: Any, start_response: Any) -> Iterable[bytes]:
    _never.wait(30)
    return []


def raises(environ: Any, start_response: Any) -> Iterable[bytes]:
    raise KeyError("DATABASE_URL")


def unavailable(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("503 Service Unavailable", HEAD)
    return [b"no database"]


def endless(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", HEAD)
    while True:
        yield b"tick\n"


def quiet(environ: Any, start_response: Any) -> Iterator[bytes]:
    """A stream of which nothing comes after its first piece."""
    start_response("200 OK", HEAD)
    yield b"hello\n"
    _never.wait(30)


def waits(environ: Any, start_response: Any) -> Iterable[bytes]:
    time.sleep(0.001)
    start_response("200 OK", HEAD)
    return [b"slept"]


class Greedy:
    """A middleware that forgets to close what the app inside returned."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        for piece in self.app(environ, start_response):
            yield piece.upper()


class Passing(Greedy):
    """A middleware that closes."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        result = self.app(environ, start_response)
        try:
            yield from result
        finally:
            if hasattr(result, "close"):
                result.close()


not_closing = Greedy(waits)
closing = Passing(waits)
