"""WebSockets on the server (S20, S21): from the request for one to the app's answer.

A handshake is a request, and until the app has accepted, its exchange is one like any other: the
HTTP connection keeps the order of pipelined requests, holds what comes too early, notices when
the client leaves, and counts. What the app refuses is answered with an HTTP response. When it
accepts, the transport is handed over to a `WebSocketConnection`, with the bytes that came already.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from bridge.asgi.disconnect import is_disconnect
from bridge.asgi.versions import WEBSOCKET_VERSION
from bridge.errors import UnsupportedScope
from bridge.log import logger
from bridge.loops.tasks import Task
from bridge.server.apps.asgi.exchange import AsgiExchange, AsgiHandler
from bridge.server.apps.calling import in_context_of
from bridge.server.apps.scope import http_scope
from bridge.server.exchange import DONE, Connection
from bridge.server.request import Request
from bridge.server.state import ServerState
from bridge.server.transport.output import Output
from bridge.server.websocket.connection import OPEN, WebSocketConnection
from bridge.types import ASGIApp, Message, Scope
from bridge.websocket.frames import Frames
from bridge.websocket.handshake import Handshake, HandshakeParser

_SCHEMES = {"http": "ws", "https": "wss"}


class WebSocketHandler(AsgiHandler):
    """Gives WebSockets to an ASGI app: the server's whole app, which may be a `Dispatcher`."""

    def __init__(self, app: ASGIApp, state: ServerState, lifespan_state: dict[str, Any]) -> None:
        super().__init__(app, lifespan_state)
        config = state.config
        self._handshake_parser = HandshakeParser(
            config.ws_max_message_size,
            max_frame=config.ws_max_frame_size,
            compress=config.ws_per_message_deflate,
        )

    def open(self, connection: Connection, head: Request) -> WebSocketExchange:
        """An exchange for this handshake. Raises `RequestError` (400, 426)."""
        return WebSocketExchange(
            self,
            connection,
            head,
            self._handshake_parser.check(head.headers, has_body=head.length != 0),
        )


def websocket_scope(
    connection: Connection, head: Request, state: dict[str, Any], subprotocols: list[str]
) -> Scope:
    """The scope of a handshake (ASGI, "WebSocket Connection Scope")."""
    scope = http_scope(connection, head, state)
    del scope["method"]
    scope["type"] = "websocket"
    scope["asgi"] = WEBSOCKET_VERSION.copy()
    scope["scheme"] = _SCHEMES[scope["scheme"]]
    scope["subprotocols"] = subprotocols
    tls = scope["extensions"].get("tls")
    scope["extensions"] = {"websocket.http.response": {}}
    if tls is not None:
        scope["extensions"]["tls"] = tls
    return scope


class WebSocketExchange(AsgiExchange):
    """The request that asks for a WebSocket, until it is answered."""

    def __init__(
        self,
        handler: AsgiHandler,
        connection: Connection,
        head: Request,
        handshake: Handshake,
    ) -> None:
        super().__init__(handler, connection, head)
        self.state = connection.state
        # Where a WebSocket was asked for and refused, nobody knows what the client sends next.
        self.disable_keep_alive()
        self._handshake = handshake
        self._socket = WebSocketConnection(self)
        #: The transport is the socket's.
        self._accepted = False

    def start_app(self) -> None:
        """Call the app, in a task of its own."""
        self.task = self._socket.task = task = Task(self._run(), loop=self.state.loop)
        self.state.tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(self) -> None:
        connection, socket = self.connection, self._socket
        scope = websocket_scope(
            connection, self.head, self.handler.lifespan_state, self._handshake.subprotocols.copy()
        )
        await self.handler.app(scope, socket.queue.receive, socket.send)

    def wake(self) -> None:
        """Something has happened to the connection: mostly, the client has left."""
        if self.connection.client_left:
            self._socket.queue.end(1006)
        super().wake()

    # --------------------------------------------------------- the answer

    def accept(self, message: Message) -> tuple[Output, Frames]:
        """Answer 101, and leave the output to the socket. Raises `IllegalMessage`."""
        connection, state = self.connection, self.state
        self._whole_head = self._handshake.response(message, state.default_lines)
        frames = self._handshake.frames()
        connection.write(self._whole_head)
        self.status = 101
        self.response_state = DONE
        self._accepted = True
        if state.access_log is not None:
            state.access_log(self)
        state.served += 1
        self._socket.client = connection.client
        frames.feed(connection.hand_over(self._socket))
        return connection.output, frames

    def reject(self) -> None:
        """Refuse with 403."""
        self.refuse(403)

    async def send_denial(self, message: Message) -> None:
        """Refuse with a response of the app's own: its start, or a piece of its body."""
        await self.send({**message, "type": message["type"].removeprefix("websocket.")})

    # --------------------------------------------------------- the end of the app

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """The app has returned or raised, before its answer or when the socket was closed."""
        socket = self._socket
        self.state.tasks.discard(task)
        cancelled = task.cancelled()
        error = asyncio.CancelledError() if cancelled else task.exception()
        if not self._accepted:
            in_context_of(task, self._ended_unaccepted, error)
            socket.queue.end(1006)
            return
        expected = socket.phase != OPEN and error is not None and is_disconnect(error)
        if error is not None and not (cancelled or expected):
            target = self.head.shown.removeprefix("GET ")
            said = "the app raised in the WebSocket %s"
            in_context_of(task, partial(logger.error, said, target, exc_info=error))
        socket.ended(error)

    def _ended_unaccepted(self, error: BaseException | None) -> None:
        if isinstance(error, UnsupportedScope) and self.response_state < DONE:
            target = self.head.shown.removeprefix("GET ")
            logger.warning("refused a WebSocket at %s: %s", target, error)
            self.reject()
        elif error is not None or self.response_state < DONE:
            self.app_ended(error)
