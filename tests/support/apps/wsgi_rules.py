"""One WSGI app that does everything that the W rules speak of; its routes are its functions.

`wsgi` is the app, `asgi` the adapter over it, `opaque_asgi` the same so that our server cannot
take it apart. ``limited_*`` and ``one_thread_*`` are the same with other settings. ``/events``
tells what happened to responses after their client could see it.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio.from_thread
from asgiref.sync import async_to_sync

import bridge
from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse, TextHeaders, WSGIApp
from tests.support.validated import opaque

TEXT: TextHeaders = [("Content-Type", "text/plain")]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

#: What happened to the response of each name, in order.
events: dict[str, list[str]] = {}


def happened(environ: Environ, what: str) -> None:
    """Note it under the request's query."""
    events.setdefault(environ["QUERY_STRING"], []).append(what)


class Body:
    """An iterable that notes its end."""

    def __init__(self, environ: Environ, chunks: Iterable[Any]) -> None:
        self.environ = environ
        self.chunks = iter(chunks)
        self.thread = threading.get_ident()

    def __iter__(self) -> Iterator[Any]:
        return self.chunks

    def close(self) -> None:
        """Note it."""
        same = "in the same thread" if threading.get_ident() == self.thread else "elsewhere"
        happened(self.environ, f"closed {same}")


# ------------------------------------------------------------- environ and input


def environ(environ: Environ, start_response: StartResponse) -> Any:
    told: dict[str, Any] = {key: value for key, value in environ.items() if type(value) is str}
    told["threads"] = [environ["wsgi.multithread"], environ["wsgi.multiprocess"]]
    told["run_once"] = environ["wsgi.run_once"]
    told["terminated"] = environ["wsgi.input_terminated"]
    told["version"] = environ["wsgi.version"]
    told["file_wrapper"] = callable(environ["wsgi.file_wrapper"])
    told["disconnected"] = environ["bridge.disconnected"]()
    scope = environ["asgi.scope"]
    told["scope"] = [scope["type"], scope["method"], scope["path"]]
    told["stats"] = list(environ["bridge.stats"]())
    environ["wsgi.errors"].write("written to wsgi.errors\n")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def echo(environ: Environ, start_response: StartResponse) -> Any:
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [body]


def lines(environ: Environ, start_response: StartResponse) -> Any:
    read = [environ["wsgi.input"].readline(), environ["wsgi.input"].read(3)]
    read += [environ["wsgi.input"].readline(9), environ["wsgi.input"].read(0)]
    read += list(environ["wsgi.input"])
    start_response("200 OK", TEXT)
    return [repr(read).encode()]


def echo_stream(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return iter(lambda: environ["wsgi.input"].read(3), b"")


def upload(environ: Environ, start_response: StartResponse) -> Any:
    size = 0
    try:
        while piece := environ["wsgi.input"].read(50_000):
            size += len(piece)
    except bridge.ClientDisconnected as error:
        happened(environ, "cut off" if isinstance(error, OSError) else "wrong error")
        raise
    happened(environ, "whole")
    start_response("200 OK", TEXT)
    return [str(size).encode()]


def unread(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return [b"unread"]


# ------------------------------------------------------------- responses


def hello(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return [b"Hello, world!"]


def large(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return [b"x" * 5_000_000]


def empty(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return []


def status(environ: Environ, start_response: StartResponse) -> Any:
    start_response(environ["QUERY_STRING"].replace("+", " "), [])
    return [b"body"]


def stream(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return Body(environ, [b"", b"one", b"", b"two"])


def write(environ: Environ, start_response: StartResponse) -> Any:
    write = start_response("200 OK", TEXT)
    write(b"")
    write(b"one,")
    write(b"two,")
    return [b"three"]


def late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("201 Created", TEXT)
    yield b"late"


def replaced(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [*TEXT, ("X-First", "1"), ("Content-Length", "999")])
    try:
        raise LookupError
    except LookupError:
        start_response("503 Sorry", [*TEXT, ("X-Second", "2")], sys.exc_info())
    return [b"sorry"]


def re_raised(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", TEXT)
    yield b"one"
    try:
        raise LookupError("too late")
    except LookupError:
        try:
            start_response("500 Sorry", [], sys.exc_info())
        except LookupError:
            happened(environ, "raised again")
            raise


def twice(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    try:
        start_response("200 OK", TEXT)
    except AssertionError:
        return [b"refused"]
    return [b"taken"]


def never(environ: Environ, start_response: StartResponse) -> Any:
    return [b"no start_response"]


WRONG: dict[str, Callable[[StartResponse], Any]] = {
    "status": lambda start: start("OK", []),
    "informational": lambda start: start("100 Continue", []),
    "newline": lambda start: start("200 OK", [("X-A", "a\r\nX-B: b")]),
    "nul": lambda start: start("200 OK", [("X-A", "a\0")]),
    "name": lambda start: start("200 OK", [("X A", "a")]),
    "bytes": lambda start: start("200 OK", [("X-A", b"a")]),  # type: ignore[list-item]
    "unicode": lambda start: start("200 OK", [("X-A", "\u20ac")]),
    "length": lambda start: start("200 OK", [("Content-Length", "x")]),
}


def wrong(environ: Environ, start_response: StartResponse) -> Any:
    WRONG[environ["QUERY_STRING"]](start_response)
    return [b"body"]


BESIDE: dict[str, Callable[[Any], Any]] = {
    "hop": lambda start: start("200 OK", [("Connection", "keep-alive"), ("X-A", "a")]),
    "close": lambda start: start("200 OK", [("Connection", "close"), ("X-A", "a")]),
    "coding": lambda start: start("200 OK", [("Transfer-Encoding", "chunked"), ("X-A", "a")]),
    "lists": lambda start: start("200 OK", [["X-A", "a"]]),
    "tuple": lambda start: start("200 OK", (("X-A", "a"),)),
    "iterator": lambda start: start("200 OK", iter([["X-A", "a"]])),
    "named": lambda start: start(status="200 OK", headers=[("X-A", "a")], exc_info=None),
    "blanks": lambda start: start("200 OK", [("X-A", " \ta\t "), ("Content-Length", " 7 ")]),
}


def beside(environ: Environ, start_response: StartResponse) -> Any:
    """What PEP 3333 does not allow, and servers take."""
    case, _, kind = environ["QUERY_STRING"].partition("&")
    BESIDE[case](start_response)
    return iter([b"str", b"eams"]) if kind == "stream" and case != "blanks" else [b"in one!"]


CHUNKS: dict[str, Any] = {"text": ["text"], "number": [b"x", 5], "none": None, "bytes": b"bytes"}


def wrong_body(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return CHUNKS[environ["QUERY_STRING"]]


def too_long(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])

    def chunks() -> Iterator[bytes]:
        for chunk in (b"hel", b"loXXX", b"YYY"):
            happened(environ, chunk.decode())
            yield chunk

    return Body(environ, chunks())


def too_short(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", "9")])
    return Body(environ, [b"hel", b"lo"])


def without_its_body(environ: Environ, start_response: StartResponse) -> Any:
    start_response("400 Bad Request", [*TEXT, ("Content-Length", "9")])
    return Body(environ, [])


ERRORS: dict[str, type[BaseException]] = {
    error.__name__: error
    for error in (ValueError, StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit)
}


def error(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [*TEXT, ("X-Secret", "1")])
    raise ERRORS[environ["QUERY_STRING"]]("secret")


def error_in_stream(environ: Environ, start_response: StartResponse) -> Any:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("secret")

    start_response("200 OK", TEXT)
    return Body(environ, chunks())


def error_in_close(environ: Environ, start_response: StartResponse) -> Any:
    class Raising(Body):
        def close(self) -> None:
            super().close()
            raise ValueError("in close")

    start_response("200 OK", TEXT)
    return Raising(environ, [b"fine"])


def endless(environ: Environ, start_response: StartResponse) -> Any:
    def chunks() -> Iterator[bytes]:
        while True:
            yield b"x" * 16384

    start_response("200 OK", TEXT)
    happened(environ, "opened")
    return Body(environ, chunks())


def endless_write(environ: Environ, start_response: StartResponse) -> Any:
    write = start_response("200 OK", TEXT)
    happened(environ, "opened")
    try:
        while True:
            write(b"x" * 16384)
    except OSError:
        happened(environ, "write raised")
        raise


def ahead(environ: Environ, start_response: StartResponse) -> Any:
    def chunks() -> Iterator[bytes]:
        for number in range(4000):
            made[0] = number + 1
            yield b"x" * 16384

    made = progress.setdefault(environ["QUERY_STRING"], [0])
    start_response("200 OK", TEXT)
    return Body(environ, chunks())


progress: dict[str, list[int]] = {}


def slowly(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", TEXT)
    gate = gates.setdefault(environ["QUERY_STRING"], threading.Semaphore(0))
    for number in range(3):
        yield b"%d" % number
        while not gate.acquire(blocking=False):
            if environ["bridge.disconnected"]():
                return
            pause(0.005)


gates: dict[str, threading.Semaphore] = {}


def next_step(environ: Environ, start_response: StartResponse) -> Any:
    gates.setdefault(environ["QUERY_STRING"], threading.Semaphore(0)).release()
    return hello(environ, start_response)


def pause(seconds: float) -> None:
    """Sleep, in the runner's way if it is one that may not block."""
    try:
        bridge.await_(asyncio.sleep(seconds))
    except bridge.WaitNotPossible:
        time.sleep(seconds)


def file(environ: Environ, start_response: StartResponse) -> Any:
    opened = Path(__file__).open("rb")  # noqa: SIM115  the host closes it
    offset, _, length = environ["QUERY_STRING"].partition(",")
    opened.seek(int(offset))
    start_response("200 OK", [*TEXT, ("Content-Length", length)] if length else TEXT)
    return environ["wsgi.file_wrapper"](opened, 1000)


def hints(environ: Environ, start_response: StartResponse) -> Any:
    if "wsgi.early_hints" in environ:
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    return hello(environ, start_response)


# ------------------------------------------------------------- running


def context(environ: Environ, start_response: StartResponse) -> Any:
    def chunks() -> Iterator[bytes]:
        for _ in range(2):
            seen.append(f"{variable.get()} {threading.get_ident() == thread}")
            yield b"%d" % len(seen)
        yield json.dumps(seen).encode()

    thread, seen = threading.get_ident(), [variable.get()]
    variable.set("of this request")
    start_response("200 OK", TEXT)
    return Body(environ, chunks())


async def work(value: str) -> str:
    """Something that runs on a loop."""
    await asyncio.sleep(0.001)
    return f"{value} in {threading.current_thread().name}"


def waits(environ: Environ, start_response: StartResponse) -> Any:
    how: dict[str, Callable[[], str]] = {
        "await_": lambda: bridge.await_(work("ran")),
        "async_to_sync": lambda: async_to_sync(work)("ran"),
        "anyio": lambda: anyio.from_thread.run(work, "ran"),
    }
    start_response("200 OK", TEXT)
    return [how[environ["QUERY_STRING"]]().encode()]


def waits_long(environ: Environ, start_response: StartResponse) -> Any:
    happened(environ, "waiting")
    start_response("200 OK", TEXT)
    try:
        bridge.await_(asyncio.sleep(60))
    except bridge.ClientDisconnected:
        happened(environ, "interrupted")
    return [b"who would read this"]


def ask_itself(environ: Environ, start_response: StartResponse) -> Any:
    url = f"http://{environ['HTTP_HOST']}/hello"
    start_response("200 OK", TEXT)
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return [b"200 " + answer.read()]
    except urllib.error.HTTPError as error:
        with error:
            return [f"{error.code} ".encode() + error.read()]


def told(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [("Content-Type", "application/json")])
    name = environ["QUERY_STRING"]
    told = {
        "events": events.get(name, []),
        "made": progress.get(name, [0])[0],
        "stats": list(environ["bridge.stats"]()),
    }
    return [json.dumps(told).encode()]


ROUTES: dict[str, WSGIApp] = {
    f"/{route.__name__}": route
    for route in (
        environ, echo, lines, echo_stream, upload, unread, hello, large, empty, status, stream,
        write, late, replaced, re_raised, twice, never, wrong, wrong_body, beside, too_long,
        too_short, without_its_body, error, error_in_stream, error_in_close, endless,
        endless_write, ahead, slowly, next_step, file, hints, context, waits, waits_long,
        ask_itself, told,
    )
}  # fmt: skip


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Calls the route; any other path is told as it came."""
    route = ROUTES.get(environ["PATH_INFO"], ROUTES["/environ"])
    return route(environ, start_response)


asgi = WsgiToAsgi(wsgi, threads=8)
opaque_asgi = opaque(asgi)

limited = WsgiToAsgi(wsgi, max_body_size=1000)
opaque_limited = opaque(limited)

spooled = WsgiToAsgi(wsgi, threads=1, spool_body=1000)
opaque_spooled = opaque(spooled)

one_thread = WsgiToAsgi(wsgi, threads=1, queue_limit=2, stream_limit=0)
opaque_one_thread = opaque(one_thread)

greenlet = WsgiToAsgi(wsgi, runner="greenlet")
inline = WsgiToAsgi(wsgi, runner="inline")
