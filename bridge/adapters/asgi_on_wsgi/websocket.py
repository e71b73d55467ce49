"""One WebSocket behind a WSGI host that gives its socket away (A40).

The host has read the opening handshake as a request like any other, and its thread duplicates the
socket before anything else, while that is certainly open. The app decides: where it refuses, that
is an ordinary response; where it accepts, the event loop takes the duplicate over, and the host's
thread only waits until the connection is over. Then it ends as if the client had broken the
connection off, which makes every host close it without writing anything.

There is one duplicate, and whoever takes it has decided: the loop, that the WebSocket opens; the
host's thread, when the time is up or the client has left, that it never will. An app that goes on
after the end of its connection is cancelled when the grace is over, as for HTTP (A26).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.adapters.asgi_on_wsgi.host_quirks import has_ended, websocket_help, websocket_socket
from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.websocket_connection import Connection
from bridge.asgi.disconnect import is_disconnect
from bridge.asgi.messages import (
    ACCEPT,
    CLOSE,
    OPEN,
    OVER,
    REFUSE_BODY,
    REFUSE_START,
    SEND,
    WAITING,
    WEBSOCKET,
    check_body,
    following,
)
from bridge.asgi.scope import websocket_scope_from_environ
from bridge.errors import AppError, ClientDisconnected, IllegalMessage, UnsupportedScope
from bridge.http.error_response import error_response
from bridge.http.response_fields import text_fields
from bridge.http.response_head import raw_head
from bridge.http.status import reason_phrase
from bridge.loops.descriptors import Duplicate
from bridge.loops.waiters import waiter
from bridge.types import Environ, Message, Scope, StartResponse, TextHeaders

logger = logging.getLogger("bridge.error")

#: The largest message that is taken, in bytes.
MAX_SIZE = 16 * 1024 * 1024
#: Seconds between two looks of the host's thread, and for the connection to end after its app.
TICK = 1.0
CLOSE_TIMEOUT = 15.0


class WebSocketExchange:
    """One opening handshake, and the WebSocket that may come of it."""

    def __init__(
        self, running: AppInstance, environ: Environ, start_response: StartResponse
    ) -> None:
        self._running = running
        self._environ = environ
        self._start_response = start_response
        self._socket = websocket_socket(environ)
        self._waiter = waiter()
        self._context = copy_context()
        self._phase: str = WAITING
        self._told = False
        self._connection: Connection | None = None
        head, body = error_response(403)
        self._refusal: tuple[str, TextHeaders] = head.text
        self._body: list[bytes] = [body]
        self._decided = False
        self._over = False
        self._failure: BaseException | None = None
        self._duplicate: Duplicate
        #: Written on the WSGI side: it no longer waits; because the time was up.
        self._left = False
        self._timed_out = False
        self._task: asyncio.Task[None] | None = None

    # --------------------------------------------------------- the WSGI side

    def respond(self) -> Iterable[bytes]:
        """Serve the WebSocket; gives a body where there is none, else raises at its end."""
        given = self._socket
        if given is None:
            head, body = error_response(501, websocket_help(self._environ))
            return self._refuse(*head.text, [body])
        response = _handshake(self._environ).accept(_request(self._environ))
        if response.status_code != 101:
            headers = [pair for pair in response.headers.raw_items() if pair[0] != "Connection"]
            status = f"{response.status_code} {reason_phrase(response.status_code)}"
            return self._refuse(status, headers, [bytes(response.body or b"")])
        self._duplicate = Duplicate(given.fileno())
        self._blocking = os.get_blocking(given.fileno())
        self._scope: Scope = websocket_scope_from_environ(
            self._environ, self._running.lifespan.state
        )
        try:
            self._running.thread.submit(self._begin)
            self._wait(given)
        except BaseException:  # the host's greenlet or thread is ended
            self._let_go()
            raise
        finally:
            self._duplicate.close()
            if self._connection is not None and self._connection.gone.done():
                with suppress(OSError):  # the host has closed it
                    os.set_blocking(given.fileno(), self._blocking)  # shared with the duplicate
        return self._end()

    def _wait(self, given: Any) -> None:
        """Return when the app has refused, or when the connection is over."""
        waited = 0.0
        limit = self._running.settings.response_timeout
        while not self._over:
            if self._waiter.wait(TICK) or self._decided:
                continue
            waited += TICK
            self._timed_out = waited >= limit
            if (self._timed_out or has_ended(given)) and self._duplicate.close():
                self._failure = (
                    AppError(f"the app did not answer a WebSocket within {limit} s")
                    if self._timed_out
                    else _client_gone()
                )
                self._let_go()
                return

    def _let_go(self) -> None:
        """Nobody waits for the app any more: nothing of it may be sent from now on."""
        self._left = True
        try:
            self._running.thread.submit(self._hear_of_leaving)
        except RuntimeError:
            pass  # the loop has ended, and the app with it

    def _end(self) -> Iterable[bytes]:
        if self._connection is not None:
            raise _client_gone()
        if self._failure is not None:
            raise self._failure
        status, headers = self._refusal
        return self._refuse(status, headers, self._body)

    def _refuse(self, status: str, headers: TextHeaders, body: list[bytes]) -> Iterable[bytes]:
        self._start_response(status, headers.copy())
        return body

    # --------------------------------------------------------- the loop's side: the app

    def _begin(self) -> None:
        self._answered: asyncio.Future[None] = self._running.loop.create_future()
        self._task = self._running.spawn(self._run(), self._context)

    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            await self._running.app(self._scope, self.receive, self.send)
        except BaseException as raised:
            error = raised
        await self._finish(error)

    async def _finish(self, error: BaseException | None) -> None:
        """The app has ended: close what it left open, and let the host's thread go."""
        connection = self._connection
        if connection is None:
            if self._decided or self._left:
                self._log_late(error)
            elif isinstance(error, UnsupportedScope):
                logger.warning("refused a WebSocket at %r: %s", self._scope["path"], error)
            else:
                self._failure = AppError("the app ended without answering the WebSocket")
                self._failure.__cause__ = error
        else:
            gone = connection.gone.done()
            quiet = isinstance(error, (asyncio.CancelledError, ClientDisconnected))
            if gone:
                self._log_late(error)
            elif error is not None and not quiet:
                logger.error("the app failed in a WebSocket", exc_info=error)
            if not gone:
                connection.close(1000 if error is None else 1011, "")
                await asyncio.wait([connection.gone], timeout=CLOSE_TIMEOUT)
                connection.abort()
        self._decide(over=True)

    def _log_late(self, error: BaseException | None) -> None:
        """Log what the app raised when there was nobody left to tell it to."""
        if error is not None and not is_disconnect(error):
            logger.error("the app raised after its WebSocket was over", exc_info=error)

    def _decide(self, *, over: bool) -> None:
        self._decided = True
        self._answer_receive()
        self._over = self._over or over
        self._waiter.wake()

    def _answer_receive(self) -> None:
        """Wake a `receive` that came before the handshake had its answer."""
        if not self._answered.done():
            self._answered.set_result(None)

    # --------------------------------------------------------- the loop's side: the end

    def _hear_of_leaving(self) -> None:
        """The host gives the request up."""
        if self._connection is not None:
            self._connection.close(1001, "")
            return
        self._answer_receive()
        self._cancel_soon(0.0 if self._timed_out else self._running.settings.disconnect_grace)

    def _hear_of_end(self, _: object) -> None:
        """The connection is over: the host's thread goes, and the app has the grace to end."""
        if self._connection is not None:
            self._running.open.discard(self._connection)
        self._decide(over=True)
        self._cancel_soon(self._running.settings.disconnect_grace)

    def _cancel_soon(self, seconds: float) -> None:
        """Cancel the app in `seconds`, and again where it swallows that (A26)."""
        if self._task is not None and not self._task.done():
            self._running.cancel_later(self._task, seconds)

    # --------------------------------------------------------- the loop's side: messages

    async def receive(self) -> Message:
        """``websocket.connect``, then what the client sends, then ``websocket.disconnect``."""
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        await asyncio.shield(self._answered)  # an app may receive before it has answered
        if self._connection is None:
            await asyncio.sleep(0)  # an app that asks for ever must not take the loop
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        return await self._connection.receive()

    async def send(self, message: Message) -> None:
        """Accept, refuse, send or close (ASGI, "WebSocket"). Raises `IllegalMessage`."""
        if self._left or (self._connection is not None and self._connection.gone.done()):
            raise ClientDisconnected("the WebSocket is closed")
        before = self._phase
        after = following(WEBSOCKET, before, message)
        await _ACTS[message["type"]](self, message, before == OPEN)
        self._phase = after
        if after == OVER and before != OPEN:
            self._decide(over=True)

    # --------------------------------------------------------- the loop's side: what it sends

    async def _accept(self, message: Message, _: bool) -> None:
        handshake = _handshake(self._environ, message.get("subprotocol"))
        response = handshake.accept(_request(self._environ))
        for name, value in text_fields(message.get("headers")):
            if name.lower().startswith("sec-websocket-"):
                raise IllegalMessage(f"{name} belongs to the handshake; an app may not set it")
            response.headers[name] = value
        protocol = ServerProtocol(state=State.OPEN, max_size=MAX_SIZE)
        protocol.extensions = handshake.extensions
        connection = Connection(protocol, response.serialize())
        descriptor = self._duplicate.take()
        if descriptor is None:
            raise ClientDisconnected("the WebSocket is closed")
        try:
            await self._open(connection, descriptor)
        except BaseException as error:
            self._failure = error
            self._decide(over=True)
            raise
        self._connection = connection
        self._running.open.add(connection)
        connection.gone.add_done_callback(self._hear_of_end)
        if self._left:
            connection.close(1001, "")
        self._decide(over=False)

    async def _open(self, connection: Connection, descriptor: int) -> None:
        """Give the connection its socket, which is closed where that fails."""
        client = socket.socket(fileno=descriptor)
        try:
            client.setblocking(False)
            await self._running.loop.connect_accepted_socket(lambda: connection, client)
        except BaseException:
            client.setblocking(self._blocking)
            client.close()
            raise

    async def _send(self, message: Message, _: bool) -> None:
        assert self._connection is not None
        await self._connection.send(message)

    async def _close(self, message: Message, is_open: bool) -> None:
        if is_open and self._connection is not None:
            self._connection.close(message.get("code", 1000), message.get("reason") or "")

    async def _refuse_start(self, message: Message, _: bool) -> None:
        self._refusal = raw_head(message.get("status"), message.get("headers")).text
        self._body.clear()

    async def _refuse_body(self, message: Message, _: bool) -> None:
        self._body.append(check_body(message))


_ACTS: dict[str, Any] = {
    ACCEPT: WebSocketExchange._accept,
    SEND: WebSocketExchange._send,
    CLOSE: WebSocketExchange._close,
    REFUSE_START: WebSocketExchange._refuse_start,
    REFUSE_BODY: WebSocketExchange._refuse_body,
}


def _request(environ: Environ) -> Request:
    """The handshake as `websockets` wants it; the host has parsed it already."""
    # Whatever else is in these lists: the protocol wants this alone.
    headers = Headers(connection="Upgrade", upgrade="websocket")
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in ("HTTP_CONNECTION", "HTTP_UPGRADE"):
            headers[key[5:].replace("_", "-")] = value
    return Request(environ.get("PATH_INFO", "/"), headers)


def _handshake(environ: Environ, subprotocol: str | None = None) -> ServerProtocol:
    """What answers the handshake; raises `IllegalMessage` for a subprotocol not offered."""
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    if subprotocol is not None and subprotocol not in [name.strip() for name in offered.split(",")]:
        raise IllegalMessage(f"subprotocol {subprotocol!r} is not among those offered: {offered!r}")
    return ServerProtocol(
        extensions=[ServerPerMessageDeflateFactory()],
        select_subprotocol=lambda *_: subprotocol,  # type: ignore[arg-type]
    )


def _client_gone() -> BrokenPipeError:
    """What ends the host's call: it closes the connection, and writes nothing."""
    return BrokenPipeError(errno.EPIPE, "the WebSocket is over")
