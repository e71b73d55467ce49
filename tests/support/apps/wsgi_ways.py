"""A WSGI app for what threads and connections do to each other; see `http_rules` for the idea."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bridge.types import Environ, StartResponse

EVENTS: dict[str, int] = {}
_HELD: list[threading.Event] = []
_LOCK = threading.Lock()


def count(name: str, by: int = 1) -> None:
    with _LOCK:
        EVENTS[name] = EVENTS.get(name, 0) + by


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def numbered(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """``?k``: 400 kB that hold nothing but the number k."""
    start_response("200 OK", [])
    return [environ["QUERY_STRING"].zfill(8).encode() * 50_000]


class Pouring:
    """An endless body that counts what begins and what is closed."""

    def __init__(self) -> None:
        count("begun")

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    def close(self) -> None:
        count("closed")


def pour(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return Pouring()


def length(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [str(len(body)).encode()]


def ignore(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"ignored"]


def sleep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(float(environ["QUERY_STRING"]))
    return hello(environ, start_response)


def until(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """``?file``: answers when there is such a file."""
    while not Path(environ["QUERY_STRING"]).exists():
        time.sleep(0.01)  # the pace of looking, nothing depends on it
    return hello(environ, start_response)


def wait_for_release() -> None:
    event = threading.Event()
    _HELD.append(event)
    count("holding")
    event.wait(60)


def hold(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answers when ``/release`` is asked for."""
    wait_for_release()
    return hello(environ, start_response)


def hold_stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The first piece at once, the second when ``/release`` is asked for."""
    start_response("200 OK", [])
    yield b"first"
    wait_for_release()
    yield b"second"


def release(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    while _HELD:
        _HELD.pop().set()
    return hello(environ, start_response)


def fail(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raises in the middle of its body."""
    start_response("200 OK", [])
    yield b"first"
    raise RuntimeError("failed")


def events(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [json.dumps(EVENTS).encode()]


Route = Callable[[Environ, StartResponse], Iterable[bytes]]
ROUTES: dict[str, Route] = {
    f"/{route.__name__}": route
    for route in (
        numbered, pour, length, ignore, sleep, until, hold, hold_stream, release, fail, events,
    )
}  # fmt: skip


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return ROUTES.get(environ["PATH_INFO"], hello)(environ, start_response)
