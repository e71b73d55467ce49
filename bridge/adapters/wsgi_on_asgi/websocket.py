"""WebSockets for WSGI apps (W60): an ASGI WebSocket as the socket that WSGI libraries expect.

Libraries like simple-websocket take a connection's socket out of the environ, answer the
handshake on it and speak RFC 6455. Behind ASGI there is no such socket: the host speaks the
protocol, the app gets events. So the app is given one end of a pair of sockets, and at the other
end a WebSocket client turns frames into events and back:

    app -- frames -- [pair of sockets] -- frames -- SocketRelay -- events -- ASGI host

The app runs in a thread of its own, for as long as the WebSocket lasts, and does not count against
the pool. Compression and the pings of the host are between host and client; the app's own pings
are answered here.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from io import BytesIO
from typing import Any, Final

from websockets.frames import Close
from websockets.protocol import Protocol, Side, State

from bridge.adapters.wsgi_on_asgi.failure import RaisesOn
from bridge.errors import AppLoadError, ClientDisconnected, Overloaded
from bridge.http.error_response import error_response
from bridge.http.response_head import ResponseHead
from bridge.http.response_sink import ResponseStream
from bridge.limits import READ_SIZE
from bridge.log import logger
from bridge.runners.base import set_current_runner
from bridge.runners.interop import publish_loop
from bridge.runners.threads.runner import ThreadRunner
from bridge.runners.threads.thread_start import start_thread
from bridge.types import Environ, Message, RawHeaders, Receive, Scope, Send, WSGIApp
from bridge.websocket.frames import Frames
from bridge.wsgi.call import WsgiCall

#: Bytes of an app's answer to the handshake, or of its refusal.
_HEAD_LIMIT = 64 * 1024
#: Seconds between the end of an app's socket and that of its thread, which tells how it ended.
_THREAD_EXIT_TIMEOUT = 1
#: Codes that are never sent in a frame: no code was given, the connection broke, TLS failed.
_NEVER_SENT = frozenset({1005, 1006, 1015})

# The phases of a WebSocket.
#: The app has not answered the handshake yet.
WAITING: Final = 0
#: The app has accepted.
OPEN: Final = 1
#: The host was told that it is closed, or has told us.
CLOSED: Final = 2


class RejectionSink(RaisesOn):
    """The sink of a handshake: the response of an app that does not want the WebSocket.

    An app that did take it also returns a response, which is dropped.
    """

    #: The app has said, by raising, that it took the connection over.
    taken_over = False

    def __init__(self) -> None:
        #: That of the WebSocket.
        self.phase = WAITING
        self.head: ResponseHead | None = None
        self.gone = False
        self.body = bytearray()

    # --------------------------------------------------------- on the loop

    def advance(self, phase: int) -> None:
        """Note that the WebSocket is accepted, or closed."""
        self.phase = phase

    def leave(self) -> Exception | None:
        """Ask for errors no more; returns what the app has raised by now."""
        self.gone = True
        return None if self.failure is None else self.failure.take()

    # --------------------------------------------------------- in the app's thread

    def failed(self, error: BaseException) -> bool:
        """ResponseSink: the app raised.

        A plain ConnectionError is how python-engineio (Flask-SocketIO) tells hosts with
        ``werkzeug.socket`` that it has taken the connection over, and they log nothing. After the
        end of the WebSocket, subclasses of it come from writing to its socket.
        """
        if (
            self.phase != WAITING
            and isinstance(error, ConnectionError)
            and (self.phase == CLOSED or type(error) is ConnectionError)
        ):
            self.taken_over = True
            return True
        return super().failed(error)

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """ResponseSink: the whole response."""
        self.start(head)
        self.write(body)

    def start(self, head: ResponseHead) -> ResponseStream:
        """ResponseSink: its head."""
        self.head = head
        return self

    def write(self, chunk: bytes) -> bool:
        """ResponseSink: a piece of it."""
        self.body += chunk
        if len(self.body) > _HEAD_LIMIT:
            raise ClientDisconnected("a response to a WebSocket handshake has to be small")
        return True

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """ResponseSink: no files."""
        return False

    def finish(self) -> None:
        """ResponseSink: it is whole."""

    def abort(self) -> None:
        """ResponseSink: it never will be."""
        self.head = None


class SocketRelay:
    """One WebSocket between an ASGI host and a WSGI app in a thread."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._frames = Frames(Protocol(Side.CLIENT, state=State.OPEN, max_size=None), 0, 0)
        self._write_lock = asyncio.Lock()
        #: The app's thread has ended.
        self._ended = asyncio.Event()
        self._sink = RejectionSink()

    async def run(self, app: WSGIApp, environ: Environ) -> None:
        """Serve the WebSocket from the handshake to the end of the app's thread."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        try:
            ours = self._start(app, environ)
        except (
            RuntimeError,
            MemoryError,
            OSError,
            AppLoadError,
        ) as error:  # no thread, no descriptor
            logger.error("refused the WebSocket at %r: %r", self._scope["path"], error)
            self._sink.respond(
                *error_response(Overloaded("the system gives no thread or no descriptor"))
            )
            try:
                await self._end()
            except ClientDisconnected:
                pass
            return
        listening: asyncio.Task[None] | None = None
        try:
            if await self._handshake():
                listening = self._loop.create_task(self._relay_from_host())
                await self._relay_from_app()
            await self._thread_ended()
            await self._end()
        except ClientDisconnected as error:
            logger.debug("WebSocket: %s", error)
        finally:
            if listening is not None:
                listening.cancel()
            ours.close()
            raised = self._sink.leave()
            if raised is not None:
                raise raised

    def _start(self, app: WSGIApp, environ: Environ) -> socket.socket:
        """Start the app in a thread; our end of the pair. Raises if the system has no more."""
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            call = WsgiCall(app, self._environ(environ, theirs), self._sink)
            main = partial(copy_context().run, self._run_app, call, theirs)
            start_thread(main, "bridge-websocket", self._loop)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._pair = ours
        return ours

    @staticmethod
    def _environ(environ: Environ, theirs: socket.socket) -> Environ:
        """Make the environ of a handshake over HTTP/1.1, whatever it came over."""
        environ["wsgi.input"] = BytesIO()
        environ["werkzeug.socket"] = theirs
        environ["HTTP_CONNECTION"] = "Upgrade"
        environ["HTTP_UPGRADE"] = "websocket"
        environ.setdefault("HTTP_SEC_WEBSOCKET_VERSION", "13")
        environ.setdefault("HTTP_SEC_WEBSOCKET_KEY", base64.b64encode(os.urandom(16)).decode())
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # the host's own affair
        return environ

    # --------------------------------------------------------- in the app's thread

    def _run_app(self, call: WsgiCall, theirs: socket.socket) -> None:
        """Run the app; `bridge.await_` and its like work here as in the pool."""
        try:
            waiting = ThreadRunner(0)
            waiting.start(self._loop)
            set_current_runner(waiting)
            publish_loop(self._loop)
            call()
        finally:
            theirs.close()
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:  # the loop is gone
                pass

    # --------------------------------------------------------- the handshake

    async def _handshake(self) -> bool:
        """Read the app's answer to the handshake; whether it accepted."""
        head = bytearray()
        while (end := head.find(b"\r\n\r\n")) < 0:
            data = await self._loop.sock_recv(self._pair, READ_SIZE)
            head += data
            if not data or len(head) > _HEAD_LIMIT:
                return False
        status, *lines = bytes(head[:end]).decode("latin-1").split("\r\n")
        if status.split(" ")[1:2] != ["101"]:
            return False
        self._sink.advance(OPEN)
        await self._to_host(self._accept_message(lines))
        await self._take(bytes(head[end + 4 :]))
        return True

    @staticmethod
    def _accept_message(lines: list[str]) -> Message:
        subprotocol = None
        headers: RawHeaders = []
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name == "sec-websocket-protocol":
                subprotocol = value
            elif name not in ("upgrade", "connection") and not name.startswith("sec-websocket-"):
                headers.append((name.encode("latin-1"), value.encode("latin-1")))
        return {
            "type": "websocket.accept",
            "subprotocol": subprotocol,
            "headers": headers,
        }

    # --------------------------------------------------------- app -> host

    async def _relay_from_app(self) -> None:
        """Pass on what the app sends, until it ends."""
        while True:
            try:
                data = await self._loop.sock_recv(self._pair, READ_SIZE)
            except OSError:
                data = b""
            if not data:
                return
            await self._take(data)

    async def _take(self, data: bytes) -> None:
        """Pass on the messages in `data`, bytes of the app."""
        frames = self._frames
        frames.feed(data)
        while (message := frames.next_message()) is not None or frames.has_more:
            if message is None:
                await asyncio.sleep(0)  # others have their turn
            elif isinstance(message, Close):
                await self._close(
                    1000 if message.code in _NEVER_SENT else message.code, message.reason
                )
            elif self._sink.phase == OPEN:
                kind = "text" if isinstance(message, str) else "bytes"
                await self._to_host({"type": "websocket.send", kind: message})
        if frames.closed and frames.close_received is None:
            await self._close(1011, "")  # the app broke a rule
        if frames.has_data_to_send:
            await self._write(frames.data_to_send())

    async def _close(self, code: int, reason: str) -> None:
        if self._sink.phase != CLOSED:
            self._sink.advance(CLOSED)
            await self._to_host({"type": "websocket.close", "code": code, "reason": reason})

    async def _to_host(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError as error:
            raise ClientDisconnected(f"the client is gone: {error}") from error

    async def _thread_ended(self) -> None:
        """Wait for the thread; an app that has only closed its socket may go on without us."""
        accepted = self._sink.phase != WAITING
        try:
            await asyncio.wait_for(self._ended.wait(), _THREAD_EXIT_TIMEOUT if accepted else None)
        except TimeoutError:
            pass

    async def _end(self) -> None:
        """End the WebSocket, if that has not happened: the app has ended."""
        if self._sink.phase != WAITING:
            await self._close(1011 if self._failed() else 1000, "")
        elif self._sink.head is not None and "websocket.http.response" in (
            self._scope.get("extensions") or ()
        ):
            head = self._sink.head
            await self._to_host(
                {
                    "type": "websocket.http.response.start",
                    "status": head.status_code,
                    "headers": head.raw_headers.copy(),
                }
            )
            body = bytes(self._sink.body)
            await self._to_host({"type": "websocket.http.response.body", "body": body})
        else:
            await self._close(1000, "")

    def _failed(self) -> bool:
        head = self._sink.head
        return not self._sink.taken_over and (head is None or head.status_code >= 500)

    # --------------------------------------------------------- host -> app

    async def _relay_from_host(self) -> None:
        """Pass on what the client sends, until it goes."""
        frames = self._frames
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                break
            if frames.close_sent is None:
                data = frames.encode(message.get("text"), message.get("bytes"))
                await self._write(data if isinstance(data, bytes) else b"".join(data))
        self._sink.advance(CLOSED)
        code = message.get("code") or 1005
        if code != 1006:
            close_code = None if code in _NEVER_SENT else code
            await self._write(frames.close(close_code, message.get("reason") or ""))
        self._shut()

    async def _write(self, data: bytes) -> None:
        """Write to the app; waits while it does not read."""
        async with self._write_lock:
            with suppress(OSError):  # the app has closed its end
                await self._loop.sock_sendall(self._pair, data)

    def _shut(self) -> None:
        with suppress(OSError):
            self._pair.shutdown(socket.SHUT_WR)
