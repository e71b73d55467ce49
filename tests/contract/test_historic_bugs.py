"""What other adapters test of themselves, asked of ours (a2wsgi, asgiref, Starlette, uvicorn).

Written new, from the behaviour that their suites describe, where it agrees with PEP 3333.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Iterable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse
from bridge.wsgi.environ import environ_from_scope
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.in_process import http, http_scope

TEXT = [("Content-Type", "text/plain; charset=utf-8")]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "12")])
    return [b"Hello World\n"]


def echo(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Answers as it reads, three bytes at a time."""
    start_response("200 OK", TEXT)
    while piece := environ["wsgi.input"].read(3):
        yield piece


def about(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", TEXT)
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode("latin-1")]


def handled(environ: Environ, start_response: StartResponse) -> list[bytes]:
    try:
        raise RuntimeError("Something went wrong")
    except RuntimeError:
        start_response("500 Internal Server Error", TEXT, sys.exc_info())
        return [b"Internal Server Error"]


def test_get() -> None:
    """W35: a2wsgi, Starlette, uvicorn: the plainest app."""
    answer = http(WsgiToAsgi(hello), "/")
    assert (answer.status, answer.body) == (200, b"Hello World\n")
    assert answer.headers["content-length"] == "12"


@pytest.mark.parametrize("pieces", [[b'{"example": 123}'], [b"one ", b"two ", b"", b"three"]])
def test_post_and_put(pieces: list[bytes]) -> None:
    """W20, W24: a2wsgi, Starlette, uvicorn: a body in one message, or in many."""
    for method in ("POST", "PUT"):
        answer = http(WsgiToAsgi(echo), "/", pieces, method=method)
        assert answer.body == b"".join(pieces)


def test_exc_info_that_was_handled() -> None:
    """W30, W38: a2wsgi, Starlette, uvicorn: an error the app answers itself is not raised again."""
    answer = http(WsgiToAsgi(handled), "/")
    assert (answer.status, answer.body) == (500, b"Internal Server Error")


def test_no_content() -> None:
    """W35: asgiref: an app that returns no piece at all."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    answer = http(WsgiToAsgi(app), "/")
    assert (answer.status, answer.body) == (204, b"")


def test_stops_at_content_length() -> None:
    """W36: asgiref: no more than Content-Length is sent, in however many pieces."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "11")])
        yield b"Hello"
        yield b" "
        yield b"World and everybody"
        raise AssertionError("asked for more")

    assert http(WsgiToAsgi(app), "/").body == b"Hello World"


def test_start_response_again_while_nothing_left() -> None:
    """W30: asgiref: a generator that fails before its first piece starts another response."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("X-First", "1")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Server Error", [("X-Second", "2")], sys.exc_info())
        yield b"X"

    answer = http(WsgiToAsgi(app), "/")
    assert (answer.status, answer.body) == (500, b"X")
    assert "x-first" not in answer.headers


@pytest.mark.parametrize("path", ["/\u4e2d/\u56fd", "/caf\xe9", "/\U0001f600"])
@pytest.mark.parametrize("root_path", ["", "/\u4e2d", "/static/caf\xe9"])
def test_paths(path: str, root_path: str) -> None:
    """W2, W3: asgiref, a2wsgi, Starlette, uvicorn: text in paths and root paths."""
    answer = http(WsgiToAsgi(about), root_path + path, root_path=root_path, raw_path=None)
    assert answer.body == f"{root_path}|{path}".encode()


def test_repeated_and_large_headers() -> None:
    """W8: asgiref, a2wsgi, uvicorn: repeated fields; so many that quadratic work would show."""
    headers = [(b"host", b"x"), *[(b"x-a", b"1")] * 30_000, (b"cookie", b"a=1"), (b"cookie", b"b")]
    environ = environ_from_scope(http_scope("/", headers=headers))
    assert environ["HTTP_X_A"].count("1") == 30_000
    assert environ["HTTP_COOKIE"] == "a=1; b"


def test_mounted_in_starlette() -> None:
    """W3, W50, W54: Starlette, a2wsgi: mounted below a path and behind middleware."""

    class Sets:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            variable.set("set by middleware")
            await self.app(scope, receive, send)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        return [*about(environ, start_response), b"|", variable.get().encode()]

    routes = [Mount("/legacy", WsgiToAsgi(app, idle_timeout=0.05))]  # type: ignore[arg-type]
    starlette = Starlette(routes=routes, middleware=[Middleware(Sets)])  # type: ignore[arg-type]
    assert http(starlette, "/legacy/page").body == b"/legacy|/page|set by middleware"


def test_close_and_cancellation() -> None:
    """W37, W40: a2wsgi: an iterable is closed when its client's task is cancelled."""
    closed = asyncio.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x"

        def close(self) -> None:
            loop.call_soon_threadsafe(closed.set)

    def app(environ: Environ, start_response: StartResponse) -> Body:
        start_response("200 OK", [])
        return Body()

    async def main() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        first = asyncio.Event()

        async def receive() -> dict[str, object]:
            return await loop.create_future()  # type: ignore[no-any-return]

        async def send(message: dict[str, object]) -> None:
            first.set()
            await asyncio.sleep(0)

        adapter = WsgiToAsgi(app)
        task = asyncio.ensure_future(adapter(http_scope("/"), receive, send))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await closed.wait()
        assert await adapter.runner.stop(10)

    loop: asyncio.AbstractEventLoop
    asyncio.run(main())
