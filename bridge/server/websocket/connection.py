"""An open WebSocket: an app's `receive` and `send` at one end, the transport at the other (S20).

The phases of a connection:

    WAITING -> OPEN -> CLOSING -> CLOSED      accepted
            -> CLOSED                         not accepted: an HTTP response like any other

While it is waiting, the handshake's exchange (`exchange.py`) has the transport; with the app's
accept the transport is handed over to the object here. Messages that come are queued for the app,
up to a number and to a number of bytes; beyond these, reading pauses. What is sent is written at
once, one write per message, and `send` waits while the client is slow.

No connection has a timer: once a second the server calls `check_timeouts`, which sends pings and
enforces the time limits. One close frame leaves at most, and what ends the connection first is what
the app is told: ``websocket.disconnect`` comes after all messages that came before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from websockets.frames import CloseCode

from bridge.asgi import messages as grammar
from bridge.asgi.receive_queue import ReceiveQueue
from bridge.errors import ClientDisconnected, peer_name
from bridge.log import logger
from bridge.server.state import ServerState
from bridge.server.transport.output import Output
from bridge.server.transport.unread_end import GONE, unread_end
from bridge.types import Address, Message
from bridge.websocket import keep_alive
from bridge.websocket.frames import Frames
from bridge.websocket.keep_alive import KeepAlive
from bridge.websocket.reader import QUEUE_FULL, WRITES_PAUSED, MessageReader

#: Seconds for the client to answer our close frame.
CLOSE_TIMEOUT = 10.0

# The phases of a connection.
#: The handshake has no answer yet.
WAITING: Final = 0
#: Neither side has closed.
OPEN: Final = 1
#: We have sent our close frame, and wait for the client's.
CLOSING: Final = 2
#: Nothing more is sent to the client, nor told to the app.
CLOSED: Final = 3


class HandshakeExchange(Protocol):
    """The exchange of the handshake, as the connection needs it."""

    def accept(self, message: Message) -> tuple[Output, Frames]:
        """Answer 101; its output is ours then, and what came already is in the frames.

        Raises `IllegalMessage`, and nothing is done.
        """

    async def send_denial(self, message: Message) -> None:
        """Refuse with the app's own response: a part of it. Raises `IllegalMessage`."""

    def reject(self) -> None:
        """Refuse with 403."""


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket. `queue.receive` and `send` are the app's; the rest is the transport's."""

    #: The output side, which was the handshake's; it is there from the app's accept on.
    output: Output
    #: The transport's own method.
    write: Callable[[bytes], None]
    frames: Frames
    reader: MessageReader
    keep_alive: KeepAlive
    #: The app's.
    task: asyncio.Task[None]

    def __init__(
        self,
        handshake: HandshakeExchange,
        state: ServerState,
        client: Address | None,
    ) -> None:
        self._handshake = handshake
        self.state = state
        self.client = client
        self.phase = WAITING
        #: Something came since `_check_ping` looked.
        self._received = False
        #: What the app may send now.
        self._allowed: str = grammar.WAITING
        self.queue = ReceiveQueue(self.state.config.ws_max_queue)

    # --------------------------------------------------------- bytes in

    def data_received(self, data: bytes) -> None:
        """Take bytes that came (asyncio)."""
        self._received = True
        if self.phase == OPEN:
            message = self.frames.parse_single(data)
            if message is not None:
                if self.queue.put(message):
                    self.reader.pause(QUEUE_FULL)
                return
        self.reader.feed(data)

    def _on_output(self) -> None:
        """Write what the frames have to write, soon or at once."""
        if self.frames.closed and self.phase == OPEN and self.queue.events:
            # An app that waits for what came just before the end gets to answer it.
            self.state.loop.call_soon(self._write_output)
        else:
            self._write_output()

    def _write_output(self) -> None:
        """Write pongs, and the close frame that ends the connection."""
        if self.phase == CLOSED:
            return
        data = self.frames.data_to_send()
        if data:
            self.write(data)
        if self.frames.closed:
            self._finish()
        elif self.output.paused:
            # Pings are answered only as fast as the client takes the answers.
            self.reader.pause(WRITES_PAUSED)

    def _finish(self) -> None:
        """Close the transport when all is written (RFC 6455 §7.1.1)."""
        self.phase = CLOSED
        close = self.frames.closed_with
        self.queue.end(close.code, close.reason)
        self.reader.read_to_end()
        # After its close frame a client sends nothing; before it, it may, and is let.
        broken = self.frames.close_received is None
        self.output.close(lingering=broken)
        if broken:
            self.output.limit_lingering(CLOSE_TIMEOUT)

    # --------------------------------------------------------- the app sends

    async def send(self, message: Message) -> None:
        """Take a message (ASGI). Waits while the client is slow."""
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            kind = grammar.message_type(message)
        if kind != "websocket.send" or self.phase != OPEN:
            await self._send_slow(kind, message)
            return
        data = self.frames.encode(message.get("text"), message.get("bytes"))
        if isinstance(data, bytes):
            self.write(data)
        else:
            self.output.write_parts(data)
        if self.output.paused:
            await self.output.drained()
        elif self.output.transport.is_closing():
            # Not known as lost yet, but an app that sends in a loop would not let it become so.
            raise ClientDisconnected("the client is gone")

    async def _send_slow(self, kind: str, message: Message) -> None:
        """Take what is no message on an open WebSocket."""
        if self.queue.disconnect is not None and self._allowed is not grammar.OVER:
            raise ClientDisconnected("the WebSocket is closed; nothing more can be sent")
        after = grammar.next_phase(grammar.WEBSOCKET, self._allowed, message)
        if self.phase == OPEN:
            code, reason = message.get("code"), message.get("reason")
            self.close(1000 if code is None else code, "" if reason is None else reason)
        elif kind == grammar.ACCEPT:
            self._open(*self._handshake.accept(message))
        elif kind == grammar.CLOSE:
            self._handshake.reject()
        else:
            await self._handshake.send_denial(message)
        self._allowed = after
        if after is grammar.OVER:
            self.queue.end(CloseCode.ABNORMAL_CLOSURE)

    def close(self, code: object, reason: object = "") -> None:
        """Send a close frame, and wait for the client's. Raises `IllegalMessage`."""
        if self.frames.closed:
            self._write_output()  # the client was first, and is answered now
            return
        self.write(self.frames.close(code, reason))
        self.phase = CLOSING
        close = self.frames.closed_with
        self.queue.end(close.code, close.reason)
        self.output.end_within(CLOSE_TIMEOUT)
        self.reader.discard()
        self.queue.drop()

    # --------------------------------------------------------- the transport

    def _open(self, output: Output, frames: Frames) -> None:
        state, config = self.state, self.state.config
        self.output = output
        self.write = output.transport.write
        self.frames = frames
        self.phase = OPEN
        self.keep_alive = KeepAlive(config.ws_ping_interval, config.ws_ping_timeout, state.now)
        self.reader = MessageReader(
            frames, output.transport, state.loop.call_soon, self.queue.put, self._on_output
        )
        self.queue.call_when_drained(partial(self.reader.resume, QUEUE_FULL))
        state.connections.add(self)
        if state.figures is not None:
            state.figures.socket_opened()
        self.reader.advance()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is closed (asyncio)."""
        self.output.lost()
        if self.state.figures is not None:
            self.state.figures.socket_closed()
        self.phase = CLOSED
        self.queue.end(CloseCode.ABNORMAL_CLOSURE)
        self._forget_if_over()

    def _forget_if_over(self) -> None:
        """Leave the server's set if the client is gone and the app has returned."""
        if self.output.closed and self.task.done():
            self.state.connections.discard(self)

    def pause_writing(self) -> None:
        """Note that the write buffer is full (asyncio)."""
        self.output.pause()

    def resume_writing(self) -> None:
        """Note that the write buffer has room again (asyncio)."""
        self.output.resume()
        self.reader.resume(WRITES_PAUSED)

    # --------------------------------------------------------- the app's task

    def set_task(self, task: asyncio.Task[None]) -> None:
        """Keep the task in which the app runs."""
        self.task = task

    def app_ended(self, error: BaseException | None) -> None:
        """Close, unless that was done: the app has returned or raised."""
        if self.phase == OPEN:
            self.close(CloseCode.NORMAL_CLOSURE if error is None else CloseCode.INTERNAL_ERROR)
        self._forget_if_over()

    # --------------------------------------------------------- time

    def check_timeouts(self, now: float) -> None:
        """Send pings and enforce the time limits; called once a second."""
        if self.output.closed:
            return
        too_slow = self.output.check_timeouts(now, None)
        if too_slow:
            logger.warning("cut a WebSocket with %s: %s", peer_name(self.client), too_slow)
        unread = self.reader.paused & (QUEUE_FULL | WRITES_PAUSED)
        if unread and unread_end(self.output.transport) == GONE:
            self.output.abort()
        elif self.phase == OPEN:
            self._check_ping(now)

    def _check_ping(self, now: float) -> None:
        # If our ping does not leave, the client may be there all the same; if it takes nothing at
        # all, `Output.check_timeouts` ends it.
        unread = bool(self.reader.paused & (QUEUE_FULL | WRITES_PAUSED))
        excused = unread or self.output.transport.get_write_buffer_size() > 0
        received, self._received = self._received, False
        due = self.keep_alive.check(now, received=received, excused=excused)
        if due == keep_alive.GIVE_UP:
            self.frames.fail(CloseCode.INTERNAL_ERROR, keep_alive.TIMED_OUT)
            self._write_output()
        elif due == keep_alive.PING and not self.output.paused:
            self.write(self.frames.ping())

    def shutdown(self, *, at_once: bool) -> None:
        """Close with 1012, or at once (P2); the stopping server cancels the app's task."""
        if at_once:
            if not self.output.closed:
                self.output.abort()
        elif self.phase == OPEN:
            self.close(CloseCode.SERVICE_RESTART)
