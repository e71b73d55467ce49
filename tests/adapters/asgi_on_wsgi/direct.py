"""A WSGI host without sockets: calls the adapter as PEP 3333 says, in a thread, under a time limit.

`wsgiref.validate` stands between the two, so that every test also checks the protocol.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

from bridge.asgi_to_wsgi import AsgiToWsgi

#: No test waits longer for anything, in seconds.
LIMIT = 20.0


def environ(method: str = "GET", path: str = "/", body: bytes = b"", **more: Any) -> dict[str, Any]:
    """What a host would hand over; ``wsgi_`` at the start of a name stands for ``wsgi.``."""
    made = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body:
        made["CONTENT_LENGTH"] = str(len(body))
    made.update({key.replace("wsgi_", "wsgi.", 1): value for key, value in more.items()})
    return {key: value for key, value in made.items() if value is not None}


TYPE = (b"content-type", b"text/plain")
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [TYPE]}
BARE: dict[str, Any] = {"type": "http.response.start", "status": 200}
END: dict[str, Any] = {"type": "http.response.body"}


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [TYPE, *headers]}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sending(*messages: Any) -> Any:
    """An app that sends `messages`, and raises those that are exceptions."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            if isinstance(message, BaseException):
                raise message
            await send(message)

    return app


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    await send(START)
    await send({"type": "http.response.body", "body": b"hello"})


class WithLifespan:
    """An app that notes its life and tells its state."""

    def __init__(self, fails: str = "") -> None:
        self.life: list[str] = []
        self.fails = fails

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
            return
        self.life.append("request")
        scope["state"]["mine"] = True
        await send(START)
        await send({"type": "http.response.body", "body": repr(scope["state"]).encode()})

    async def live(self, scope: Any, receive: Any, send: Any) -> None:
        for phase in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{phase}"
            self.life.append(phase)
            if phase == self.fails:
                await send({"type": f"lifespan.{phase}.failed", "message": "no database"})
                return
            scope["state"]["db"] = "open"
            await send({"type": f"lifespan.{phase}.complete"})


@dataclass
class Answer:
    """What came of a call: the last head told, the chunks, and what was raised."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    error: BaseException | None = None
    #: How often ``start_response`` was called, and whether the last time with ``exc_info``.
    starts: int = 0
    with_exc_info: bool = False
    whole: bool = False

    @property
    def code(self) -> int:
        return int(self.status[:3])

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


def in_time(work: Callable[[], None], limit: float = LIMIT) -> None:
    """Run `work` in a thread, as a host does; fails the test if it takes longer than `limit`."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit)
    assert not thread.is_alive(), f"the WSGI thread was still there after {limit} s"


def call(
    adapter: Any,
    made: dict[str, Any] | None = None,
    *,
    on_chunk: Callable[[bytes], object] = lambda chunk: None,
    validate: bool = True,
    headers_leave_early: bool = False,
) -> Answer:
    """Call the adapter and take its whole response, as a host would.

    `on_chunk` is called for each chunk, where a host writes it; StopIteration from it makes the
    host close early, as it does when its client is gone. `headers_leave_early`: as on Gunicorn,
    an empty chunk makes the host send the head.
    """
    answer = Answer()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info and (answer.body or (headers_leave_early and answer.chunks)):
            raise exc_info[1].with_traceback(exc_info[2])
        assert exc_info or not answer.starts
        answer.status, answer.headers = status, headers
        answer.starts += 1
        answer.with_exc_info = exc_info is not None
        return answer.chunks.append

    def host() -> None:
        iterable = None
        try:
            app = validator(adapter) if validate else adapter
            iterable = app(environ() if made is None else made, start_response)
            for chunk in iterable:
                answer.chunks.append(chunk)
                on_chunk(chunk)
            answer.whole = True
        except StopEarly:
            pass
        except BaseException as error:
            answer.error = error
        finally:
            if iterable is not None and hasattr(iterable, "close"):
                iterable.close()

    in_time(host)
    return answer


class StopEarly(Exception):
    """Raised by `on_chunk` to have the host close early."""


def serve(app: Any, made: dict[str, Any] | None = None, **settings: Any) -> Answer:
    """One request to a fresh adapter without lifespan, closed after it."""
    options = {key: settings.pop(key) for key in ("on_chunk", "validate") if key in settings}
    adapter = AsgiToWsgi(app, **{"lifespan": "off", **settings})
    try:
        return call(adapter, made, **options)
    finally:
        assert adapter.close(LIMIT)


__all__ = [
    "BARE",
    "END",
    "LIMIT",
    "START",
    "Answer",
    "FileWrapper",
    "StopEarly",
    "WithLifespan",
    "body",
    "call",
    "environ",
    "hello",
    "in_time",
    "sending",
    "serve",
    "start",
]
