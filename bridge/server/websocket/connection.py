"""An open WebSocket: an app's `receive` and `send` at one end, the transport at the other (S20).

The story of a connection:

    waiting -> open -> closing -> gone        accepted
            -> refused                        not accepted: an HTTP response like any other

While it is waiting, the handshake's exchange (`websocket.py`) has the transport; with the app's
accept the transport is handed over to the object here. Messages that come are queued for the app,
up to a number and to a number of bytes; beyond these, reading pauses. What is sent is written at
once, one write per message, and `send` waits while the client is slow.

There is no timer for a connection: the server's sweep, once a second, sends pings and enforces
the time limits. One close frame leaves at most, and what ends the connection first is what the
app is told: ``websocket.disconnect`` comes after all messages that came before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol

from websockets.frames import Close, CloseCode

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import throttle
from bridge.errors import ClientDisconnected, IllegalMessage, peer_name
from bridge.limits import HIGH_WATER, WORTH_NO_COPY
from bridge.loops.wait_queue import WaitQueue
from bridge.server.state import ServerState
from bridge.server.transport.output import Writing
from bridge.server.transport.unread_end import GONE, unread_end
from bridge.types import Message
from bridge.websocket.frames import BINARY, TEXT, Frames, head_of

logger = logging.getLogger("bridge.error")

#: Seconds for the client to answer our close frame.
CLOSE_TIMEOUT = 10.0


class Opening(Protocol):
    """The exchange of the handshake, as the connection needs it."""

    state: ServerState

    def accept(self, message: Message) -> tuple[asyncio.Transport, Frames]:
        """Answer 101; the transport is ours then, and what came already is in the frames.

        Raises `IllegalMessage`, and nothing is done.
        """

    async def respond(self, message: Message) -> None:
        """Refuse with the app's own response: a part of it. Raises `IllegalMessage`."""

    def forbid(self) -> None:
        """Refuse with 403."""


class WebSocketConnection(Writing):
    """One WebSocket. `receive` and `send` are the app's; the rest is the transport's."""

    frames: Frames
    #: The app's task, from when it runs.
    task: asyncio.Task[None] | None = None
    #: Frames may be sent: accepted, and no end in sight.
    _open = False
    #: Bytes that wait for the app; counted only while it does not wait for them.
    _waiting = 0
    # Why reading is paused: too much waits for the app; the client takes no pongs; or others have
    # their turn before the rest of very many frames.
    _full = _choked = _behind = False
    #: What `receive` gives when all that came before it is taken.
    _farewell: Message | None = None
    _farewells = 0
    _pinged_at = 0.0
    #: Something came since the last ping.
    _heard = True

    def __init__(self, opening: Opening) -> None:
        super().__init__()
        self._opening: Opening | None = opening
        self.state = state = opening.state
        self._loop = state.loop
        self._phase = grammar.WAITING
        self._queue: deque[Message] = deque([{"type": "websocket.connect"}])
        self._receivers = WaitQueue()
        self._max_queue = state.config.ws_max_queue

    @property
    def accepted(self) -> bool:
        """The handshake is over, and the transport is ours."""
        return self._opening is None

    @property
    def is_open(self) -> bool:
        """Neither side has closed."""
        return self._open

    # --------------------------------------------------------- the app receives

    async def receive(self) -> Message:
        """ASGI: the next event."""
        queue = self._queue
        while not queue:
            if self._farewell is not None:
                return await self._say_farewell(self._farewell)
            await self._receivers.wait()
        message = queue.popleft()
        if self._waiting and not queue:
            self._make_room()
        return message

    async def _say_farewell(self, farewell: Message) -> Message:
        self._farewells += 1
        await throttle(self._farewells)
        return farewell.copy()

    def end(self, code: int, reason: str = "") -> None:
        """Nothing comes any more: the app is told so, after what has come. The first call wins."""
        self._open = False
        if self._farewell is None:
            self._farewell = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._receivers.wake()

    # --------------------------------------------------------- bytes in

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self._heard = True
        if self._open:
            message = self.frames.whole(data)
            if message is not None:
                self._queue_up(message)
                return
        elif self.frames.over:
            return  # it is only read until the client has seen our close frame, and not kept
        self.frames.feed(data)
        self._advance()

    def _advance(self) -> None:
        """Take the messages that came, as many as there is room for."""
        frames = self.frames
        while not self._full:
            received = frames.next()
            if received is None or isinstance(received, Close):
                break
            if self._open:
                self._queue_up(received)
        if frames.over and self._queue and self._open:
            # An app that waits for what came just before the end gets to answer it.
            self._loop.call_soon(self._answer)
        elif frames.answers:
            self._answer()
        if frames.behind and not (self._behind or frames.over or self.transport.is_closing()):
            self._behind = True
            self.transport.pause_reading()
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Others have had their turn."""
        self._behind = False
        if not (self.gone or self.frames.over):
            self._advance()
        self._resume_reading()

    def _queue_up(self, data: str | bytes) -> None:
        self._queue.append(
            {"type": "websocket.receive", "text": data}
            if type(data) is str
            else {"type": "websocket.receive", "bytes": data}
        )
        if self._receivers.wake():
            return
        self._waiting += len(data) + 1
        if self._waiting > HIGH_WATER or len(self._queue) >= self._max_queue:
            self._full = True
            self.transport.pause_reading()

    def _make_room(self) -> None:
        """The app has taken all that waited for it."""
        self._waiting = 0
        if self._full:
            self._full = False
            self._advance()
            self._resume_reading()

    def _resume_reading(self) -> None:
        paused = self._full or self._choked or self._behind
        if not (paused or self.gone or self.transport.is_closing()):
            self.transport.resume_reading()

    def _answer(self) -> None:
        """Write pongs, and the close frame that ends the connection."""
        answers = self.frames.take_answers()
        if answers and not self.gone:
            self.write(answers)
        if self.frames.over:
            closed = self.frames.close_received or self.frames.close_sent
            if closed is not None:
                self.end(closed.code, closed.reason)
            self._finish()
        elif self.write_paused and not self._choked:
            # Pings are answered only as fast as the client takes the answers.
            self._choked = True
            self.transport.pause_reading()

    def _finish(self) -> None:
        """Close the transport when all is written (RFC 6455 §7.1.1)."""
        self._full = self._choked = False
        self._resume_reading()
        # After its close frame a client sends nothing; before it, it may, and is let.
        broken = self.frames.close_received is None
        self.close_output(lingering=broken)
        if broken:
            self.limit_lingering(CLOSE_TIMEOUT)

    # --------------------------------------------------------- the app sends

    async def send(self, message: Message) -> None:
        """ASGI: take a message. Waits while the client is slow."""
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            kind = grammar.message_type(message)
        if kind != "websocket.send" or not self._open:
            await self._send_unusual(kind, message)
            return
        text, data = message.get("text"), message.get("bytes")
        if data is None:
            if type(text) is not str:
                raise _no_payload(text, data)
            try:
                first, payload = TEXT, text.encode()
            except UnicodeEncodeError as error:
                raise IllegalMessage(f"text cannot be encoded as UTF-8: {error}") from None
        else:
            if text is not None:
                raise _no_payload(text, data)
            first, payload = BINARY, data if type(data) is bytes else grammar.as_bytes(data)
        if self.frames.compressed:
            self.write(self.frames.compress(first, payload))
        elif len(payload) < WORTH_NO_COPY:
            self.write(head_of(first, len(payload)) + payload)
        else:
            self.write_parts((head_of(first, len(payload)), payload))
        if self.write_paused:
            await self.drained()
        elif self.transport.is_closing():
            # Not known as lost yet, but an app that sends in a loop would not let it become so.
            raise ClientDisconnected("the client is gone")

    async def _send_unusual(self, kind: str, message: Message) -> None:
        if self._farewell is not None and self._phase is not grammar.OVER:
            raise ClientDisconnected("the WebSocket is closed; nothing more can be sent")
        after = grammar.following(grammar.WEBSOCKET, self._phase, message)
        opening = self._opening
        if opening is None:
            code, reason = message.get("code"), message.get("reason")
            self.close(1000 if code is None else code, "" if reason is None else reason)
        elif kind == grammar.ACCEPT:
            transport, self.frames = opening.accept(message)
            self._opening = None
            self._begin(transport)
        elif kind == grammar.CLOSE:
            opening.forbid()
        else:
            await opening.respond(message)
        self._phase = after
        if after is grammar.OVER:
            self.end(CloseCode.ABNORMAL_CLOSURE)

    def close(self, code: object, reason: object = "") -> None:
        """Send a close frame, and wait for the client's. Raises `IllegalMessage`."""
        if not isinstance(code, int) or not isinstance(reason, str):
            raise IllegalMessage(
                f"close code {code!r} and reason {reason!r:.200} must be an int and a str"
            )
        frame = self.frames.close(int(code), reason)
        self.write(frame)
        self._queue.clear()
        self.end(code, reason)
        self._close_at = self.state.clock() + CLOSE_TIMEOUT
        self._make_room()

    # --------------------------------------------------------- the transport

    def _begin(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.write = transport.write
        self._open = True
        self._pinged_at = self.state.now
        self.state.connections.add(self)
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection is closed."""
        self.gone = True
        self.end(CloseCode.ABNORMAL_CLOSURE)
        if self._room is not None:
            self._room.wake()
        self._leave()

    def _leave(self) -> None:
        """The server need not look after it when the client is gone and the app has returned."""
        if self.gone and (self.task is None or self.task.done()):
            self.state.connections.discard(self)

    def room(self) -> None:
        """The client has caught up with what was written."""
        if self._choked:
            self._choked = False
            self._resume_reading()

    # --------------------------------------------------------- the app has ended

    def ended(self, error: BaseException | None) -> None:
        """The app has returned or raised after it accepted."""
        if self._open:
            self.close(CloseCode.NORMAL_CLOSURE if error is None else CloseCode.INTERNAL_ERROR)
        self._leave()

    # --------------------------------------------------------- time

    def name(self) -> str:
        """What is written here, and to whom, for the log."""
        return f"a WebSocket with {peer_name(self.client)}"

    def sweep(self, now: float) -> None:
        """Send pings and enforce the time limits; called once a second."""
        if self.gone:
            return
        self.sweep_output(now)
        if (self._full or self._choked) and unread_end(self.transport) == GONE:
            self.abort()
        elif self._open:
            self._sweep_ping(now)

    def _sweep_ping(self, now: float) -> None:
        """Whatever comes is a sign of life: a pong cannot come in the middle of a long frame."""
        config = self.state.config
        # Where we do not listen, or our ping has not left, it may well be there; if it takes
        # nothing at all, `sweep_output` ends it.
        excused = self._full or self._choked or self.transport.get_write_buffer_size() > 0
        silent = now - self._pinged_at
        if not (self._heard or excused):
            if config.ws_ping_timeout and silent >= config.ws_ping_timeout:
                self.frames.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                self._answer()
        elif config.ws_ping_interval and silent >= config.ws_ping_interval:
            self._pinged_at = now
            self._heard = excused
            if not self.write_paused:
                self.write(self.frames.ping())

    def retire(self, *, at_once: bool) -> None:
        """Close with 1012, or at once (P2); whoever stops the server cancels the app's task."""
        if at_once:
            if not self.gone:
                self.abort()
        elif self._open:
            self.close(CloseCode.SERVICE_RESTART)


def _no_payload(text: object, data: object) -> IllegalMessage:
    return IllegalMessage(
        f"websocket.send has text {type(text).__name__} and bytes {type(data).__name__}; "
        "one of them must be given, text as str or bytes as bytes"
    )
