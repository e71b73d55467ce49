"""What the old app says passes on as it is, and is kept: in ASGI and in WSGI (M10).

Nothing here waits, and nothing here fails for the client: what cannot be kept is counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from bridge.cutover.shadow.copying.kept import Kept
from bridge.types import Environ, ExcInfo, Message, Receive, Scope, Send, StartResponse, WSGIApp
from bridge.wsgi.chunks import IN_MEMORY_ITERATORS
from bridge.wsgi.file_wrapper import FileWrapper

Serve = Callable[[Any, Scope, Receive, Send], Awaitable[None]]


class Taker(Protocol):
    """Takes answers that are whole."""

    def take(self, kept: Kept, *, in_loop: bool) -> None:
        """Have a copy made; called once, in the loop's thread or in another one."""


class AsgiTap:
    """Between one request and the old app: `receive` and `send` are for the app."""

    __slots__ = ("_kept", "_receive", "_send", "_taker")

    def __init__(self, taker: Taker, kept: Kept, receive: Receive, send: Send) -> None:
        self._taker = taker
        self._kept = kept
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        """Pass a message of the client's on."""
        message = await self._receive()
        kept = self._kept
        if message["type"] == "http.request":
            kept.add_request(message.get("body", b""), more=message.get("more_body", False))
        elif not kept.over and not kept.dropped:
            kept.drop("unfinished")  # the client has left
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message of the app's on; the last one has the copy made."""
        if self._kept.dropped:
            return self._send(message)
        try:
            message, is_last = self._note(message)
        except Exception:  # no message at all, which the server says
            self._kept.drop("unfinished")
            return self._send(message)
        return self._send_last(message) if is_last else self._send(message)

    async def _send_last(self, message: Message) -> None:
        await self._send(message)
        if self._kept.finish():
            self._taker.take(self._kept, in_loop=True)

    def _note(self, message: Message) -> tuple[Message, bool]:
        """Keep what a message says; returns it, and whether it ends the answer."""
        kept, kind = self._kept, message["type"]
        if kind == "http.response.body":
            kept.add(message.get("body", b""))
            return message, not message.get("more_body", False)
        if kind == "http.response.start":
            fields = message.get("headers", ())
            if type(fields) not in (list, tuple):  # it can be read once
                fields = [*fields]
                message = {**message, "headers": fields}
            kept.status, kept.fields = message["status"], fields
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            kept.drop("file")
        return message, False


def announces_body(scope: Scope) -> bool:
    """Whether a request says that it has a body."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return bool(value != b"0")
        if name == b"transfer-encoding":
            return True
    return False


def tapped_wsgi(app: WSGIApp, begin: Callable[[Scope], Kept], taker: Taker) -> WSGIApp:
    """Put a tap around the old app. `begin` makes what keeps a request, of its scope.

    It is for requests without a body.
    """

    def tapped(environ: Environ, start_response: StartResponse) -> Any:
        kept = begin(environ["asgi.scope"])

        def start(status: str, headers: Any, exc_info: ExcInfo | None = None) -> Any:
            if exc_info is None:
                write = start_response(status, headers)
            else:
                write = start_response(status, headers, exc_info)
            kept.status, kept.fields = status, headers
            if type(headers) is not list and type(headers) is not tuple:
                kept.drop("unfinished")  # they could be read once only

            def written(data: bytes) -> None:
                kept.add(data)
                write(data)

            return written

        try:
            result: Any = app(environ, start)
        except BaseException:
            kept.drop("unfinished")
            raise
        if type(result) is list or type(result) is tuple:
            for part in result:
                kept.add(part)
            if kept.finish():
                taker.take(kept, in_loop=False)
            return result
        return _passing(taker, kept, result)

    return tapped


def _passing(taker: Taker, kept: Kept, result: Any) -> Any:
    """Return what an app has returned, with a tap around it if there can be one."""
    if isinstance(result, FileWrapper):
        kept.drop("file")
        return result
    if isinstance(result, (bytes, str)):
        kept.drop("unfinished")  # it is an error, which the server says
        return result
    return (_SizedPieces if hasattr(result, "__len__") else _Pieces)(taker, kept, result)


class _Pieces:
    """What an app has returned; iterated over once.

    The server must see in it what it sees in the app's own (`bridge.wsgi.chunks`): the answer may
    depend on that.
    """

    def __init__(self, taker: Taker, kept: Kept, result: Any) -> None:
        self._taker = taker
        self._kept = kept
        self._result = result
        #: The server has a piece, and has not asked for another one.
        self._is_read = False

    def __iter__(self) -> Iterator[Any]:
        """Return what is in memory as such; else piece by piece."""
        iterator = iter(self._result)
        if iterator is self._result or type(iterator) not in IN_MEMORY_ITERATORS:
            return self._passed_on(iterator)
        parts = [*iterator]
        for part in parts:
            self._kept.add(part)
        self._finish()
        return iter(parts)

    def _passed_on(self, iterator: Iterator[Any]) -> Iterator[Any]:
        for part in iterator:
            self._kept.add(part)
            self._is_read = True
            yield part
            self._is_read = False
        self._finish()

    def _finish(self) -> None:
        if self._kept.finish():
            self._taker.take(self._kept, in_loop=False)

    def close(self) -> None:
        """Close what the app has returned (PEP 3333)."""
        if not self._kept.over and not self._kept.dropped:
            if self._is_read and self._kept.scope["method"] == "HEAD":
                self._finish()  # a server asks for no more than one piece
            else:
                self._kept.drop("unfinished")
        close = getattr(self._result, "close", None)
        if close is not None:
            close()


class _SizedPieces(_Pieces):
    """What says how many pieces it has."""

    def __len__(self) -> int:
        return len(self._result)
