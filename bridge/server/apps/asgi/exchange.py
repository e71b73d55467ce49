"""The ASGI handler: an exchange becomes ``app(scope, receive, send)`` (ASGI HTTP, S12-S14).

The two messages of a plain response are known by heart here; what is rarer or wrong goes through
the tables of `asgi_messages`. A response of one piece leaves in one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import CoroutineType, coroutine
from typing import Any
from urllib.parse import quote

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import DisconnectNotice, is_disconnect
from bridge.asgi.versions import HTTP_VERSION
from bridge.errors import ClientDisconnected, RequestError
from bridge.http.paths import strip_prefix
from bridge.http.response_head import raw_head
from bridge.log import logger
from bridge.loops.tasks import awaiting
from bridge.server.apps.asgi.response import HELD, OVER, STREAMING, TRAILING, WAITING, AsgiResponse
from bridge.server.apps.calling import in_context_of, in_own_task
from bridge.server.http1.connection import HttpProtocol
from bridge.server.request import Request
from bridge.types import ASGIApp, Message, Scope

_BODIES = (grammar.BODY, grammar.PATHSEND)

#: The loop has a turn whenever an app has given so many more bytes of a streamed body (S12), and
#: what a message counts beside its bytes: one can be empty, or for HEAD.
_BURST = 32 * 1024
_MESSAGE = 256


class AsgiHandler:
    """Answers requests with an ASGI 3 app. One per app."""

    def __init__(self, app: ASGIApp, lifespan_state: dict[str, Any], prefix: str = "") -> None:
        self.app = in_own_task(app)
        self.lifespan_state = lifespan_state
        #: Where the app is mounted, below the server's own root path.
        self.prefix = prefix

    def open(self, connection: HttpProtocol, head: Request) -> AsgiExchange:
        """An exchange for this request."""
        return AsgiExchange(self, connection, head)


def make_scope(
    connection: HttpProtocol, head: Request, state: dict[str, Any], prefix: str = ""
) -> Scope:
    """The HTTP scope of a request (ASGI, "HTTP Connection Scope"; S13)."""
    return _complete(_fill(_scope_base(connection, prefix), head), connection, head, state)


def _scope_base(connection: HttpProtocol, prefix: str) -> Scope:
    """What the scopes of requests to one place have in common, with room for the rest."""
    base: Scope = {
        "type": "http",
        "asgi": None,
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


def _fill(base: Scope, head: Request) -> Scope:
    """What follows from the request line, and from where it came in."""
    line, scope = head.line, base.copy()
    scope["method"] = line.method
    scope["path"] = line.path
    scope["raw_path"] = line.raw_path
    scope["query_string"] = line.query
    return scope


def _complete(
    scope: Scope, connection: HttpProtocol, head: Request, state: dict[str, Any]
) -> Scope:
    # What an app changes in its scope, no other request may see: nothing in it is shared.
    scope["asgi"] = HTTP_VERSION.copy()
    scope["headers"] = head.headers.copy()
    scope["client"] = connection.client
    scope["state"] = state.copy()
    scope["extensions"] = {"http.response.early_hint": {}, "http.response.trailers": {}}
    if connection.needs_full_scope or not head.fast:
        _adapt(scope, connection, head)
    return scope


def _adapt(scope: Scope, connection: HttpProtocol, head: Request) -> None:
    """What hardly any request needs."""
    if connection.state.config.pathsend:
        scope["extensions"]["http.response.pathsend"] = {}
    if connection.tls is not None:
        tls = scope["extensions"]["tls"] = connection.tls.copy()
        tls["client_cert_chain"] = tls["client_cert_chain"].copy()
    if connection.root_path:
        _below_root(scope, connection.root_path)
    if not head.http11:
        scope["http_version"] = "1.0"
    if head.resolved is not None:
        scope["client"], scope["scheme"], scope["server"] = head.resolved


def _below_root(scope: Scope, root_path: str) -> None:
    """What the proxy before us took off the path, an app finds in it (ASGI, "root_path")."""
    path = scope["path"]
    root, rest = strip_prefix(path, root_path)
    if rest == path != "*":  # `OPTIONS *` asks for no path
        scope["path"] = root + path
        scope["raw_path"] = quote(root).encode("ascii") + scope["raw_path"]


class AsgiExchange(AsgiResponse):
    """One request answered by an ASGI app."""

    #: The call of the app, where it did not end at once.
    task: asyncio.Task[None] | None = None
    #: Made when the app first waits in `receive`, or when its client has left.
    _notice: DisconnectNotice | None = None

    def __init__(self, handler: AsgiHandler, connection: HttpProtocol, head: Request) -> None:
        super().__init__(connection, head)
        self.handler = handler
        self._phase = WAITING
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
            if head.cached:
                head.template, head.base = scope.copy(), base
        _complete(scope, connection, head, handler.lifespan_state)
        try:
            coroutine = handler.app(scope, self.receive, self.send)
            if type(coroutine) is not CoroutineType:
                coroutine = awaiting(coroutine)
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
        in_context_of(task, self._ended_unusually, error)

    def _ended_unusually(self, error: BaseException | None) -> None:
        gone = self.connection.client_left
        if error is not None:
            if not ((gone or self.abandoned) and is_disconnect(error)):
                logger.error("the app raised in %s", self._name(), exc_info=error)
        elif not self.over and not gone:
            logger.error(
                "the app returned %s in %s",
                "without a response" if self._phase == WAITING else "with its response unfinished",
                self._name(),
            )
        self._phase = OVER
        if gone and error is None:
            self.cut()  # the app was told that its client has left
        else:
            self.refuse(500)

    def _name(self) -> str:
        return self.head.shown

    def spoil(self, error: RequestError) -> None:
        """The body breaks a rule: answer so where nothing has left yet; the app sees the end."""
        self._phase = OVER
        self.refuse(error)
        super().spoil(error)

    # --------------------------------------------------------- receive

    async def receive(self) -> Message:
        """ASGI: the next event, `http.request` or `http.disconnect`."""
        if not (self._body_given or self.over):
            if self.complete and not self.head.length:
                self._body_given = True
                return {"type": "http.request", "body": b"", "more_body": False}
            try:
                data = await self.next_body()
            except (ClientDisconnected, RequestError):
                self._body_given = True
                return await self._disconnect_notice().disconnect()
            # The end may be here already, with the last piece.
            self._body_given = self.complete and not self.chunks
            return {"type": "http.request", "body": data, "more_body": not self._body_given}
        while not (self.over or self.connection.client_left):
            await self.wait()
        return await self._disconnect_notice().disconnect()

    async def wait(self) -> None:
        """Wait for the next `wake`, in `receive`."""
        self._disconnect_notice().note_receiver()
        await super().wait()

    def _disconnect_notice(self) -> DisconnectNotice:
        if self._notice is None:
            self._notice = DisconnectNotice()
        return self._notice

    # --------------------------------------------------------- send

    async def send(self, message: Message) -> None:
        """ASGI: take a message of the response. Waits while the client is slow (S12)."""
        connection = self.connection
        if connection.client_left and await self._drop(message):
            return
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            kind = grammar.message_type(message)
        phase = self._phase
        if kind == "http.response.start" and phase == WAITING:
            self._begin(message)
        elif kind == "http.response.body" and WAITING < phase < TRAILING:
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = grammar.as_bytes(body)
            more = message.get("more_body")
            if phase == HELD and not more:
                self._phase = OVER
                self.send_whole(self._start, body)
                self.end()
            else:
                self._stream(body, bool(more))
                self._given += len(body) + _MESSAGE
                if connection.output.paused:
                    try:
                        await connection.output.drained()
                    except ClientDisconnected:
                        pass  # this message was sent before it left; the next one is not
                elif more and (self._given >= _BURST or connection.output.transport.is_closing()):
                    await self._breathe()
        else:
            try:
                await self._send_unusual(kind, message)
            except ClientDisconnected:
                if not connection.output.closed:
                    raise
                await self._drop(message)  # it has left while a file was sent

    async def _breathe(self) -> None:
        """Give the loop a turn.

        An app that only sends never waits for one: others would not be served, and nobody would
        hear that the client is gone.
        """
        self._given = 0
        try:
            await _turn()
        except asyncio.CancelledError as error:
            if not self.connection.output.closed:
                raise
            self._disconnect_notice().defer_cancellation(error)

    async def _drop(self, message: Message) -> bool:
        """The client has left: whether the message goes nowhere; else it may still be read.

        Raises `ClientDisconnected` (ASGI, "Disconnected Client - send exception"), but not before
        a task that waits in `receive` has heard of it. And an app that was not told sends the rest
        of its response in vain, if that is one piece at most and the end: it might have done so a
        moment before, and goes on as then (background tasks).
        """
        connection, kind = self.connection, grammar.message_type(message)
        notice = self._disconnect_notice()
        if await notice.drops_message():
            return True
        if not notice.times_told:
            last = not message.get("more_body")
            if not connection.output.closed:
                # To bytes, a client that is gone says so; to nothing, nobody does.
                if last or kind != grammar.BODY or message.get("body"):
                    return False
            elif kind == grammar.START and self._phase == WAITING:
                self._start = raw_head(message.get("status"), message.get("headers"))
                self._phase = HELD
                return True
            elif kind in _BODIES and (
                self._phase == HELD or (last and HELD < self._phase <= STREAMING)
            ):
                self._phase = STREAMING
                if last:
                    self._phase = OVER
                    self.cut()
                return True
        raise ClientDisconnected("the client is gone; nothing more can be sent")


@coroutine
def _turn() -> Generator[None]:
    """Let the loop have a turn."""
    yield
