"""What the old app says passes on as it is, and is kept: in ASGI and in WSGI (M10).

Nothing here waits, and nothing here fails for the client: what cannot be kept is counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol

from bridge.cutover.shadow.copying.kept import Kept
from bridge.types import Environ, ExcInfo, Message, Receive, Scope, Send, StartResponse, WSGIApp
from bridge.wsgi.file_wrapper import FileWrapper

Serve = Callable[[Any, Scope, Receive, Send], Awaitable[None]]


class Taker(Protocol):
    """Takes answers that are whole."""

    def take(self, kept: Kept, *, in_loop: bool) -> None:
        """Have a copy made; called once, in the loop's thread or in another one."""


class AsgiTap:
    """Between one request and the old app."""

    __slots__ = ("_kept", "_receive", "_send", "_taker")

    def __init__(self, taker: Taker, kept: Kept, receive: Receive, send: Send) -> None:
        self._taker = taker
        self._kept = kept
        self._receive = receive
        self._send = send
        kept.body_complete = not announces_body(kept.scope)

    async def run(self, serve: Serve, app: Any, scope: Scope) -> None:
        """Have `serve` run the app."""
        try:
            await serve(app, scope, self.receive, self.send)
        finally:
            if not self._kept.over:
                self._kept.drop("unfinished")

    async def receive(self) -> Message:
        """Pass a message of the client's on."""
        message = await self._receive()
        kept = self._kept
        if message["type"] == "http.request":
            kept.add_request(message.get("body", b""), more=message.get("more_body", False))
        elif not kept.over and not kept.dropped:
            kept.drop("unfinished")  # the client has left
        return message

    async def send(self, message: Message) -> None:
        """Pass a message of the app's on; the last one has the copy made."""
        kept = self._kept
        is_last = False
        if not kept.dropped:
            try:
                message, is_last = self._note(message)
            except Exception:  # no message at all, which the server says
                kept.drop("unfinished")
        await self._send(message)
        if is_last and kept.finish():
            self._taker.take(kept, in_loop=True)

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
            kept.begin(message["status"], fields)
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


class WsgiTap:
    """A WSGI app around the old one. `begin` makes what keeps a request, of its scope.

    It is for requests without a body.
    """

    def __init__(self, app: WSGIApp, begin: Callable[[Scope], Kept], taker: Taker) -> None:
        self.app = app
        self._begin = begin
        self._taker = taker

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        kept = self._begin(environ["asgi.scope"])

        def start(status: str, headers: Any, exc_info: ExcInfo | None = None) -> Any:
            write = (
                start_response(status, headers)
                if exc_info is None
                else start_response(status, headers, exc_info)
            )
            if isinstance(headers, list | tuple):
                kept.begin(status, headers)
            else:
                kept.drop("unfinished")  # it could be read once only

            def written(data: bytes) -> None:
                kept.add(data)
                write(data)

            return written

        try:
            result = self.app(environ, start)
        except BaseException:
            kept.drop("unfinished")
            raise
        if type(result) is list:
            for part in result:
                kept.add(part)
            self.end(kept)
            return result
        if isinstance(result, FileWrapper):
            kept.drop("file")
            return result
        return _Pieces(self, kept, result)

    def end(self, kept: Kept) -> None:
        """Have the copy made, as all of the answer is here."""
        if kept.finish():
            self._taker.take(kept, in_loop=False)


class _Pieces:
    """What an app has returned, piece by piece; iterated over once."""

    def __init__(self, tap: WsgiTap, kept: Kept, result: Iterable[bytes]) -> None:
        self._tap = tap
        self._kept = kept
        self._result = result

    def __iter__(self) -> Iterator[bytes]:
        for part in self._result:
            self._kept.add(part)
            yield part
        self._tap.end(self._kept)

    def close(self) -> None:
        """Close what the app has returned (PEP 3333)."""
        if not self._kept.over:
            self._kept.drop("unfinished")
        close = getattr(self._result, "close", None)
        if close is not None:
            close()
