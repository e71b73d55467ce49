"""The ASGI handler: an exchange becomes ``app(scope, receive, send)`` (ASGI HTTP, S12-S14).

The two messages of a plain response are known by heart here; what is rarer or wrong goes through
the tables of `asgi_messages`. A response of one piece leaves in one write.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Generator
from types import CoroutineType, coroutine
from typing import Any
from urllib.parse import quote

from bridge import asgi_messages as grammar
from bridge.descriptors import open_file
from bridge.errors import ClientDisconnected, IllegalMessage, RequestError
from bridge.headers import HOP_BY_HOP, encode_fields, reason
from bridge.leaving import comes_of_leaving
from bridge.paths import split
from bridge.response_head import ResponseHead, raw_head
from bridge.server.calling import in_own_task
from bridge.server.exchange import BY_CHUNKS, BY_LENGTH, NO_BODY, UNFRAMED, Exchange
from bridge.server.http import HttpProtocol
from bridge.server.request_head import RequestHead
from bridge.types import ASGIApp, Message, Scope

logger = logging.getLogger("bridge.error")

EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.early_hint": {},
    "http.response.pathsend": {},
    "http.response.trailers": {},
}
ASGI = {"version": "3.0", "spec_version": "2.5"}

# Phases, as small numbers: compared on every message. While the head is held, it matters whether
# trailers will follow: a body that comes whole is then not all of the response.
_WAITING, _HELD, _HELD_WITH_TRAILERS, _STREAMING, _TRAILING, _OVER = range(6)
_PHASES = (grammar.WAITING, *[grammar.STREAMING] * 3, grammar.TRAILING, grammar.OVER)

#: The loop has a turn whenever an app has given so many more bytes of a streamed body (S12), and
#: what a message counts beside its bytes: one can be empty, or for HEAD.
_BURST = 32 * 1024
_MESSAGE = 256

#: Fields that say how a message is to be read: too late behind its body (RFC 9110 §6.5.1).
_NEVER_TRAILERS = HOP_BY_HOP | {b"content-length", b"content-encoding", b"content-type", b"host"}


class AsgiHandler:
    """Answers requests with an ASGI 3 app. One per app."""

    def __init__(self, app: ASGIApp, lifespan_state: dict[str, Any], prefix: str = "") -> None:
        self.app = in_own_task(app)
        self.lifespan_state = lifespan_state
        #: Where the app is mounted, below the server's own root path.
        self.prefix = prefix

    def open(self, connection: HttpProtocol, head: RequestHead) -> AsgiExchange:
        """An exchange for this request."""
        return AsgiExchange(self, connection, head)


def make_scope(
    connection: HttpProtocol, head: RequestHead, state: dict[str, Any], prefix: str = ""
) -> Scope:
    """The HTTP scope of a request (ASGI, "HTTP Connection Scope"; S13)."""
    return _complete(_fill(_scope_base(connection, prefix), head), connection, head, state)


def _scope_base(connection: HttpProtocol, prefix: str) -> Scope:
    """What the scopes of requests to one place have in common, with room for the rest."""
    base: Scope = {
        "type": "http",
        "asgi": ASGI.copy(),
        "http_version": "1.1",
        "method": None,
        "scheme": connection.scheme,
        "path": None,
        "raw_path": None,
        "query_string": None,
        "root_path": connection.root_path + prefix,
        "headers": None,
        "client": None,
        "server": connection.server,
        "state": None,
        "extensions": None,
    }
    return base


def _fill(base: Scope, head: RequestHead) -> Scope:
    """What follows from the request line, and from where it came in."""
    line, scope = head.line, base.copy()
    scope["method"] = line.method
    scope["path"] = line.path
    scope["raw_path"] = line.raw_path
    scope["query_string"] = line.query
    return scope


def _complete(
    scope: Scope, connection: HttpProtocol, head: RequestHead, state: dict[str, Any]
) -> Scope:
    scope["headers"] = head.headers.copy()
    scope["client"] = connection.client
    scope["state"] = state.copy()
    scope["extensions"] = EXTENSIONS.copy()
    if connection.special or not head.plain:
        _adapt(scope, connection, head)
    return scope


def _adapt(scope: Scope, connection: HttpProtocol, head: RequestHead) -> None:
    """What hardly any request needs."""
    if connection.tls is not None:
        scope["extensions"]["tls"] = connection.tls.copy()
    if connection.root_path:
        _below_root(scope, connection.root_path)
    if not head.http11:
        scope["http_version"] = "1.0"
    if head.resolved is not None:
        scope["client"], scope["scheme"], scope["server"] = head.resolved


def _below_root(scope: Scope, root_path: str) -> None:
    """What the proxy before us took off the path, an app finds in it (ASGI, "root_path")."""
    path = scope["path"]
    root, rest = split(path, root_path)
    if rest == path != "*":  # `OPTIONS *` asks for no path
        scope["path"] = root + path
        scope["raw_path"] = quote(root).encode("ascii") + scope["raw_path"]


class AsgiExchange(Exchange):
    """One request answered by an ASGI app."""

    connection: HttpProtocol
    #: The head that the app gave, until it leaves.
    _start: ResponseHead
    #: Bytes of a streamed body since the loop last had a turn.
    _given: int
    #: The app will send trailers.
    _trailers = False
    #: The call of the app, where it did not end at once.
    task: asyncio.Task[None] | None = None

    def __init__(self, handler: AsgiHandler, connection: HttpProtocol, head: RequestHead) -> None:
        super().__init__(connection, head)
        self.handler = handler
        self._phase = _WAITING
        self._body_given = False

    def answer(self) -> None:
        """Call the app, in a task that often ends within this very call."""
        connection, handler, head = self.connection, self.handler, self.head
        base = connection.bases.get(handler)
        if base is None:
            base = connection.bases[handler] = _scope_base(connection, handler.prefix)
        if head.base is base:
            scope = head.template.copy()
        else:
            scope = _fill(base, head)
            if head.kept:
                head.template, head.base = scope.copy(), base
        _complete(scope, connection, head, handler.lifespan_state)
        try:
            coroutine = handler.app(scope, self.receive, self.send)
            if type(coroutine) is not CoroutineType:
                coroutine = _awaiting(coroutine)
            task = connection.state.new_task(coroutine)
        except BaseException as error:  # not in a task: SystemExit, or no coroutine at all
            self._ended_unusually(error)
            return
        if task.done():
            if not self.over or task.cancelled() or task.exception() is not None:
                self._ended(task)
        else:
            # The loop itself holds tasks by weak references only; and a server that stops waits for
            # what an app does after its response.
            self.task = task
            connection.state.tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """The app has returned or raised (S14)."""
        state = self.connection.state
        state.tasks.discard(task)
        if task.cancelled():
            if state.cut:
                return
            error: BaseException | None = asyncio.CancelledError("the app was cancelled")
        else:
            error = task.exception()
        if error is None and self.over:
            return
        self._ended_unusually(error)

    def _ended_unusually(self, error: BaseException | None) -> None:
        gone = self.connection.gone or self.connection.half_closed
        if error is not None:
            if not ((gone or self.abandoned) and comes_of_leaving(error)):
                logger.error("the app raised in %s", self._name(), exc_info=error)
        elif not self.over and not gone:
            logger.error(
                "the app returned %s in %s",
                "without a response" if self._phase == _WAITING else "with its response unfinished",
                self._name(),
            )
        self._phase = _OVER
        if gone and error is None:
            self.cut()  # the app was told that its client has left
        else:
            self.refuse(500, "Internal Server Error")

    def _name(self) -> str:
        return self.head.shown

    def spoil(self, error: RequestError) -> None:
        """The body breaks a rule: answer so where nothing has left yet; the app sees the end."""
        self._phase = _OVER
        self.refuse(error.status, reason(error.status))
        super().spoil(error)

    # --------------------------------------------------------- receive

    async def receive(self) -> Message:
        """ASGI: the next event, `http.request` or `http.disconnect`."""
        if not self._body_given:
            if self.complete and not self.head.length:
                self._body_given = True
                return {"type": "http.request", "body": b"", "more_body": False}
            try:
                data = await self.next_body()
            except (ClientDisconnected, RequestError):
                self._body_given = True
                return {"type": "http.disconnect"}
            # The end may be here already, with the last piece.
            self._body_given = self.complete and not self.chunks
            return {"type": "http.request", "body": data, "more_body": not self._body_given}
        while not (self.over or self.connection.gone or self.connection.half_closed):
            await self.wait()
        return {"type": "http.disconnect"}

    # --------------------------------------------------------- send

    async def send(self, message: Message) -> None:
        """ASGI: take a message of the response. Waits while the client is slow (S12)."""
        connection = self.connection
        if connection.gone:
            raise ClientDisconnected("the client is gone; nothing more can be sent")
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            kind = grammar.message_type(message)
        phase = self._phase
        if kind == "http.response.start" and phase == _WAITING:
            self._begin(message)
        elif kind == "http.response.body" and _WAITING < phase < _TRAILING:
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = grammar.as_bytes(body)
            more = message.get("more_body")
            if phase == _HELD and not more:
                self._phase = _OVER
                self.send_whole(self._start, body)
                self.end()
            else:
                self._stream(body, bool(more))
                self._given += len(body) + _MESSAGE
                if connection.write_paused:
                    await connection.drained()
                elif more and (self._given >= _BURST or connection.transport.is_closing()):
                    self._given = 0
                    # An app that only sends never waits for a turn of the loop: without one, others
                    # are not served, and nobody hears that the client is gone.
                    await _turn()
                    if connection.gone:
                        raise ClientDisconnected("the client is gone; nothing more can be sent")
        else:
            await self._send_unusual(kind, message)

    def _begin(self, message: Message) -> None:
        """The head: checked now, so that errors are raised in the app; held until the body."""
        self._start = head = raw_head(message.get("status"), message.get("headers"))
        self.status = head.number
        if message.get("trailers"):
            self._trailers = True
            self._phase = _HELD_WITH_TRAILERS
        else:
            self._phase = _HELD

    def _stream(self, body: bytes, more: bool) -> None:
        parts = [self._head_out()] if self._phase < _STREAMING else []
        parts += self.parts(body)
        if more and not self.abandoned:
            self._phase = _STREAMING
            if parts:
                self.send_parts(parts)
        else:
            self._finish(parts)

    def _head_out(self, size: int | None = None) -> bytes:
        """The head of a response whose body follows; `size` is its length where it is known."""
        self._given = 0
        self.begin(self._start)
        if size is not None and self.length is None and not self._trailers:
            self.length = size
            self.head_bytes += b"content-length: %d\r\n" % size
        if self._trailers and self.length is not None and self.head.http11:
            self.drop_length()  # trailers go with chunks only (RFC 9112 §7.1.2)
        self.frame(None)
        return self.head_bytes

    def _finish(self, parts: list[bytes]) -> None:
        """Write the last of the body, and what ends it; trailers may follow."""
        if self._trailers and not self.abandoned:
            self._phase = _TRAILING
            end = b"0\r\n" if self.framing == BY_CHUNKS else self.last_piece()
        else:
            self._phase = _OVER
            end = self.last_piece()
        if end:
            parts.append(end)
        if parts:
            self.send_parts(parts)
        if self._phase == _OVER:
            self.end()

    async def _send_unusual(self, kind: str, message: Message) -> None:
        if self.abandoned:
            raise ClientDisconnected(self.abandoned)
        phase = _PHASES[self._phase]
        grammar.following(grammar.HTTP, phase, message)
        if kind == grammar.EARLY_HINT:
            self._early_hint(message)
        elif kind == grammar.TRAILERS:
            self._send_trailers(message)
        elif kind == grammar.PATHSEND:
            if self._phase >= _STREAMING:
                raise grammar.out_of_order(grammar.HTTP, phase, kind)
            await self._send_path(kind, message)

    def _send_trailers(self, message: Message) -> None:
        fields = grammar.check_headers(message)
        for name, _ in fields:
            if name.lower() in _NEVER_TRAILERS:
                raise IllegalMessage(f"{name!r} cannot be a trailer field (RFC 9110 §6.5.1)")
        lines = encode_fields(fields)
        last = not message.get("more_trailers")
        if self.framing == BY_CHUNKS:
            self.connection.write(lines + b"\r\n" if last else lines)
        if last:
            self._phase = _OVER
            self.end()

    async def _send_path(self, kind: str, message: Message) -> None:
        """``http.response.pathsend``: the body is a file. Raises `OSError` where it cannot be."""
        path = message.get("path")
        if not isinstance(path, str) or not os.path.isabs(path):
            raise IllegalMessage(
                f"the path of {grammar.PATHSEND} is {path!r}, and must be absolute"
            )
        file = open_file(path)
        try:
            await self._send_file(file, os.fstat(file).st_size)
        finally:
            os.close(file)

    async def _send_file(self, file: int, size: int) -> None:
        connection = self.connection
        head = self._head_out(size)
        self._phase = _STREAMING
        count = size
        if self.framing == BY_LENGTH and self.length is not None and size > self.length:
            self.overrun(size - self.length)
            count = self.length
        elif self.framing == NO_BODY:
            count = 0
        chunk = self.framing == BY_CHUNKS and count > 0
        connection.write(head + b"%x\r\n" % count if chunk else head)
        if count:
            await connection.send_file(file, 0, count)
        self.sent = count
        self._finish([b"\r\n"] if chunk else [])

    def _early_hint(self, message: Message) -> None:
        if self.head.http11 and self.framing == UNFRAMED:
            links = [(b"link", link) for link in message.get("links", ())]
            self.connection.write(b"HTTP/1.1 103 Early Hints\r\n" + encode_fields(links) + b"\r\n")


@coroutine
def _turn() -> Generator[None]:
    """Let the loop have a turn."""
    yield


async def _awaiting(awaitable: Awaitable[None]) -> None:
    """What an app returned that is no coroutine, as one."""
    await awaitable
