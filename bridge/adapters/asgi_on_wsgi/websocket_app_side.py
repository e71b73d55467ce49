"""One WebSocket behind a WSGI host: the app's side, on the event loop (A40).

The app runs from the handshake to its own end. Once it accepts, a `Connection` takes the socket
over; an app that goes on after the end of its connection is cancelled when the grace is over, as
for HTTP (A26). The host's side, `websocket`, waits in a thread of its own for `over`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextvars import copy_context
from email.utils import formatdate
from typing import Any

from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.websocket_connection import Connection
from bridge.asgi.disconnect import is_disconnect
from bridge.asgi.messages import (
    ACCEPT,
    CLOSE,
    DENIAL_BODY,
    DENIAL_START,
    OPEN,
    OVER,
    SEND,
    WAITING,
    WEBSOCKET,
    check_body,
    next_phase,
)
from bridge.asgi.receive_queue import ReceiveQueue
from bridge.errors import AppError, ClientDisconnected, UnsupportedScope
from bridge.http.error_response import error_response
from bridge.http.response_fields import raw_fields
from bridge.http.response_head import raw_head
from bridge.log import logger
from bridge.loops.descriptors import Duplicate
from bridge.types import Message, Scope, TextHeaders
from bridge.websocket.handshake import Handshake

#: Messages that may wait for the app before reading pauses.
MAX_QUEUE = 32
#: Seconds for the connection to end after its app.
CLOSE_TIMEOUT = 15.0


class WebSocketAppSide:
    """The app of one WebSocket. `over` and the rest below it are for the host's thread to read."""

    def __init__(
        self,
        instance: AppInstance,
        scope: Scope,
        handshake: Handshake,
        duplicate: Duplicate,
        wake_host: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._scope = scope
        self._handshake = handshake
        self._duplicate = duplicate
        self._wake_host = wake_host
        self._context = copy_context()
        self._blocking = os.get_blocking(duplicate.number())
        self._queue = ReceiveQueue(MAX_QUEUE)
        self._phase: str = WAITING
        self._task: asyncio.Task[None]
        #: Written by the host's thread: it no longer waits.
        self.host_left = False
        #: The app has accepted or refused; and the host's thread has nothing more to wait for.
        self.decided = False
        self.over = False
        #: What the host raises instead of a response.
        self.failure: BaseException | None = None
        #: Set once the app has accepted.
        self.connection: Connection | None = None
        #: The response of an app that refuses.
        head, body = error_response(403)
        self.denial: tuple[str, TextHeaders] = head.text
        self.denial_body: list[bytes] = [body]

    # --------------------------------------------------------- the app's task

    def start(self) -> None:
        """Call the app."""
        self._task = self._instance.spawn(self._run(), self._context)

    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            await self._instance.app(self._scope, self._queue.receive, self.send)
        except BaseException as raised:
            error = raised
        if self.connection is None:
            self._end_unaccepted(error)
        else:
            await self._end_connection(self.connection, error)
        self._decide(over=True)

    def _end_unaccepted(self, error: BaseException | None) -> None:
        """Tell the host how the app has ended; the WebSocket never opened."""
        if self.decided or self.host_left:
            self._log_late(error)
        elif isinstance(error, UnsupportedScope):
            logger.warning("refused a WebSocket at %r: %s", self._scope["path"], error)
        else:
            self.failure = AppError("the app ended without answering the WebSocket")
            self.failure.__cause__ = error

    async def _end_connection(self, connection: Connection, error: BaseException | None) -> None:
        """Close what the app left open when it ended."""
        if connection.gone.done():
            self._log_late(error)
            return
        if error is not None and not isinstance(error, asyncio.CancelledError | ClientDisconnected):
            logger.error("the app failed in a WebSocket", exc_info=error)
        connection.close(1000 if error is None else 1011)
        await asyncio.wait([connection.gone], timeout=CLOSE_TIMEOUT)
        connection.abort()

    def _log_late(self, error: BaseException | None) -> None:
        """Log what the app raised after the end, which is told to nobody else."""
        if error is not None and not is_disconnect(error):
            logger.error("the app raised after its WebSocket was over", exc_info=error)

    def _decide(self, *, over: bool) -> None:
        self.decided = True
        if self.connection is None:
            self._queue.end(1006)
        self.over = self.over or over
        self._wake_host()

    # --------------------------------------------------------- the end

    def leave(self, *, timed_out: bool) -> None:
        """From the host's thread: it no longer waits, and nothing may be sent from now on."""
        self.host_left = True
        try:
            self._instance.thread.submit(lambda: self._on_host_left(timed_out=timed_out))
        except RuntimeError:
            pass  # the loop has ended, and the app with it

    def _on_host_left(self, *, timed_out: bool) -> None:
        if self.connection is not None:
            self.connection.close(1001)
            return
        self._queue.end(1006)
        self._cancel_later(0.0 if timed_out else self._instance.settings.disconnect_grace)

    def _on_gone(self, connection: Connection) -> None:
        """Let the host's thread go, and give the app the grace to end: the connection is over."""
        self._instance.open.discard(connection)
        self._decide(over=True)
        self._cancel_later(self._instance.settings.disconnect_grace)

    def _cancel_later(self, seconds: float) -> None:
        """Cancel the app in `seconds`, and again if it swallows that (A26)."""
        if not self._task.done():
            self._instance.cancel_later(self._task, seconds)

    # --------------------------------------------------------- what the app sends

    async def send(self, message: Message) -> None:
        """Accept, refuse, send or close (ASGI, "WebSocket"). Raises `IllegalMessage`."""
        if self.host_left or (self.connection is not None and self.connection.gone.done()):
            raise ClientDisconnected("the WebSocket is closed; nothing more can be sent")
        before = self._phase
        after = next_phase(WEBSOCKET, before, message)
        await _ACTIONS[message["type"]](self, message)
        self._phase = after
        if after == OVER and before != OPEN:
            self._decide(over=True)

    async def _accept(self, message: Message) -> None:
        (date,) = raw_fields([(b"date", formatdate(usegmt=True).encode("ascii"))])
        response = self._handshake.response(message, date.line)
        descriptor = self._duplicate.take()
        if descriptor is None:
            raise ClientDisconnected("the WebSocket is closed; nothing more can be sent")
        connection = Connection(self._handshake.frames(), self._queue, response)
        try:
            await self._open(connection, descriptor)
        except BaseException as error:
            self.failure = error
            self._decide(over=True)
            raise
        self.connection = connection
        self._instance.open.add(connection)
        connection.gone.add_done_callback(lambda _: self._on_gone(connection))
        if self.host_left:
            connection.close(1001)
        self._decide(over=False)

    async def _open(self, connection: Connection, descriptor: int) -> None:
        """Give the connection its socket, which is closed if that fails."""
        client = socket.socket(fileno=descriptor)
        try:
            client.setblocking(False)
            await self._instance.loop.connect_accepted_socket(lambda: connection, client)
        except BaseException:
            client.setblocking(self._blocking)
            client.close()
            raise

    async def _send(self, message: Message) -> None:
        assert self.connection is not None
        await self.connection.send(message)

    async def _close(self, message: Message) -> None:
        if self.connection is not None:
            code, reason = message.get("code"), message.get("reason")
            self.connection.close(1000 if code is None else code, reason or "")

    async def _deny(self, message: Message) -> None:
        self.denial = raw_head(message.get("status"), message.get("headers")).text
        self.denial_body = []

    async def _deny_body(self, message: Message) -> None:
        self.denial_body.append(check_body(message))


_ACTIONS: dict[str, Any] = {
    ACCEPT: WebSocketAppSide._accept,
    SEND: WebSocketAppSide._send,
    CLOSE: WebSocketAppSide._close,
    DENIAL_START: WebSocketAppSide._deny,
    DENIAL_BODY: WebSocketAppSide._deny_body,
}
