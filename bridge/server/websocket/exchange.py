"""WebSockets on the server (S20, S21): from the request for one to the app's answer.

A handshake is a request, and until the app has accepted, its exchange is one like any other: the
HTTP connection keeps the order of pipelined requests, holds what comes too early, notices when
the client leaves, and counts. What the app refuses is answered with an HTTP response. When it
accepts, the transport is handed over to a `WebSocketConnection`, with the bytes that came already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import DisconnectNotice, is_disconnect
from bridge.asgi.versions import WEBSOCKET_VERSION
from bridge.errors import ClientDisconnected, UnsupportedScope
from bridge.http.paths import strip_prefix
from bridge.http.response_head import ResponseHead, raw_head
from bridge.http.schemes import WEBSOCKET_SCHEMES
from bridge.log import logger
from bridge.loops.tasks import Task
from bridge.server.apps.asgi.response import OVER, AsgiStream
from bridge.server.apps.calling import in_context_of, in_own_task
from bridge.server.apps.mounts import cutovers_of, mount_for
from bridge.server.apps.scope import http_scope
from bridge.server.exchange import DONE, Connection, Exchange
from bridge.server.logs.served import NO_ROUTE, Served
from bridge.server.metrics.figures import ROOT_MOUNT
from bridge.server.metrics.histogram import Meter
from bridge.server.request import Request
from bridge.server.state import ServerState
from bridge.server.transport.output import Output
from bridge.server.websocket.connection import OPEN, WAITING, WebSocketConnection
from bridge.types import ASGIApp, Message, Scope
from bridge.websocket.frames import Frames
from bridge.websocket.handshake import Handshake, HandshakeParser


class WebSocketHandler:
    """Gives WebSockets to an ASGI app: the server's whole app, which may be a `Dispatcher`."""

    def __init__(self, app: ASGIApp, state: ServerState, lifespan_state: dict[str, Any]) -> None:
        self.app_given = app
        self.app = in_own_task(app)
        self.lifespan_state = lifespan_state
        #: Counts handshakes, and gives what counts those of a mount, where that is wanted.
        self.meter: Meter
        self._meter_of: Callable[..., Meter] | None = None
        #: Whether there is a `Cutover` in it, which says who answers.
        self.has_cutover = any(True for _ in cutovers_of(app))
        config = state.config
        if state.figures is not None:
            self.use_meters(state.figures.meter, ROOT_MOUNT)
        self._handshake_parser = HandshakeParser(
            config.ws_max_message_size,
            max_frame=config.ws_max_frame_size,
            compress=config.ws_per_message_deflate,
        )

    def use_meters(self, meter: Callable[..., Meter], mount: str) -> None:
        """Count the handshakes of each mount; `mount` is that of the whole app."""
        self.meter = meter(mount)
        self._meter_of, self._mount = meter, mount

    def open(self, connection: Connection, request: Request) -> WebSocketExchange:
        """Make an exchange for this handshake. Raises `RequestError` (400, 426)."""
        handshake = self._handshake_parser.check(request.headers, has_body=request.length != 0)
        handler = self if self._meter_of is None else self._counting(connection, request)
        return WebSocketExchange(handler, connection, request, handshake)

    def _counting(self, connection: Connection, request: Request) -> WebSocketHandler:
        """Return the same with the meter of the mount that takes the request."""
        assert self._meter_of is not None
        host = next((value for name, value in request.headers if name == b"host"), b"")
        path = strip_prefix(request.path, connection.identity.root_path)[1]
        handler = copy(self)
        handler._mount = mount_for(self.app_given, path, host.decode("latin-1"), self._mount)
        handler.meter = self._meter_of(handler._mount)
        return handler

    def counting_as(self, served: Served) -> WebSocketHandler:
        """Return the same with the meter of a route and a side, if there is one."""
        if self._meter_of is None:
            return self
        handler = copy(self)
        handler.meter = self._meter_of(self._mount, route=served.route, side=served.side)
        return handler


def websocket_scope(
    connection: Connection, request: Request, state: dict[str, Any], subprotocols: list[str]
) -> Scope:
    """Make the scope of a handshake (ASGI, "WebSocket Connection Scope")."""
    scope = http_scope(connection, request, state)
    del scope["method"]
    scope["type"] = "websocket"
    scope["asgi"] = WEBSOCKET_VERSION.copy()
    scope["scheme"] = WEBSOCKET_SCHEMES[scope["scheme"]]
    scope["subprotocols"] = subprotocols
    tls = scope["extensions"].get("tls")
    scope["extensions"] = {"websocket.http.response": {}}
    if tls is not None:
        scope["extensions"]["tls"] = tls
    return scope


class WebSocketExchange(Exchange):
    """The request that asks for a WebSocket, until it is answered."""

    handler: WebSocketHandler
    #: The head of the app's own response, with which it refuses; and its body, if in pieces.
    _denial: ResponseHead | None = None
    _stream: AsgiStream | None = None

    def __init__(
        self,
        handler: WebSocketHandler,
        connection: Connection,
        request: Request,
        handshake: Handshake,
    ) -> None:
        super().__init__(connection, request)
        self.handler = handler
        # After a WebSocket that is refused, the client may send what is no HTTP.
        self.disable_keep_alive()
        self._handshake = handshake
        self._socket = WebSocketConnection(self, connection.state, connection.identity.client)

    def start_app(self) -> None:
        """Call the app, in a task of its own."""
        state = self.connection.state
        self.task = task = Task(self._run(), loop=state.loop)
        self._socket.set_task(task)
        state.tasks.add(task)
        task.add_done_callback(self._task_ended)

    async def _run(self) -> None:
        handler, socket = self.handler, self._socket
        scope = websocket_scope(
            self.connection,
            self.request,
            handler.lifespan_state,
            self._handshake.subprotocols.copy(),
        )
        if handler.has_cutover:
            scope["extensions"]["bridge.served"] = {"tell": partial(_note_served, self)}
        await handler.app(scope, socket.queue.receive, socket.send)

    def disconnected(self) -> None:
        """Tell the app that the client has left before the answer."""
        self._socket.queue.end(1006)
        super().disconnected()

    # --------------------------------------------------------- the answer

    def accept(self, message: Message) -> tuple[Output, Frames]:
        """Answer 101, and leave the output to the socket. Raises `IllegalMessage`."""
        connection = self.connection
        head = self._handshake.response(message, connection.state.default_fields.lines)
        frames = self._handshake.frames()
        connection.write(head)
        frames.feed(connection.detach(self._socket))
        self.end(101, 0, head)
        return connection.output, frames

    def reject(self) -> None:
        """Refuse with 403."""
        self.refuse(403)

    async def send_denial(self, message: Message) -> None:
        """Refuse with a response of the app's own: its start, or a piece of its body.

        Raises `IllegalMessage`, and `ClientDisconnected` if the response is over.
        """
        if self._denial is None:
            self._denial = raw_head(message.get("status"), message.get("headers"))
            return
        if self.response_state >= DONE:
            raise ClientDisconnected("the response is over; nothing more can be sent")
        body, more = grammar.check_body(message), bool(message.get("more_body"))
        connection, stream = self.connection, self._stream
        if stream is None:
            if not more:
                connection.send_whole(self, self._denial, body)
                return
            stream = AsgiStream(connection, self.start_response(self._denial), trailers=False)
            self._stream = stream
        if stream.write(body, more=more) == OVER:
            self.end()
        elif connection.output.paused:
            await connection.output.drained()
        elif stream.has_burst():
            await stream.give_turn(DisconnectNotice())

    # --------------------------------------------------------- the end of the app

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self.connection.state.tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        in_context_of(task, self._app_ended, error)

    def _app_ended(self, error: BaseException | None) -> None:
        """Note that the app has returned or raised, before its answer or after."""
        socket = self._socket
        if socket.phase == WAITING:
            self._answer_for_app(error)
            socket.queue.end(1006)
            return
        cancelled = isinstance(error, asyncio.CancelledError)
        if not (error is None or cancelled or (socket.phase != OPEN and is_disconnect(error))):
            logger.error(
                "the app raised in the WebSocket %s", _target(self.request), exc_info=error
            )
        socket.app_ended(error)

    def _answer_for_app(self, error: BaseException | None) -> None:
        """Answer for an app that has not accepted, and perhaps not refused."""
        has_left = self.connection.client_left
        if isinstance(error, UnsupportedScope) and self.response_state < DONE:
            logger.warning("refused a WebSocket at %s: %s", _target(self.request), error)
            self.reject()
        elif error is not None:
            if not ((has_left or self.response_state >= DONE) and is_disconnect(error)):
                logger.error("the app raised in %s", self.request.shown, exc_info=error)
            self.refuse(500)
        elif has_left:
            self.abort()
        elif self.response_state < DONE:
            logger.error(
                "the app returned %s in %s",
                "without a response" if self._denial is None else "with its response unfinished",
                self.request.shown,
            )
            self.refuse(500)


def _note_served(exchange: WebSocketExchange, route: str | None, side: str) -> None:
    """Note who answers, for the log and the figures (M2)."""
    exchange.served = Served(route or NO_ROUTE, side, b"")
    exchange.handler = exchange.handler.counting_as(exchange.served)


def _target(request: Request) -> str:
    """Return what was asked for, for the log."""
    return request.shown.removeprefix("GET ")
