"""An open WebSocket on a socket that the host gave away (A40; RFC 6455, RFC 7692).

The event loop reads and writes the socket; `websockets` knows the protocol, without I/O. What
comes is queued for the app, and reading pauses while the queue is full; what the app sends is
written at once, and `send` waits while the client is slow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.limits import HIGH_WATER
from bridge.loops.descriptors import input_ended
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message

#: What may wait for the app, in messages and in bytes, before reading pauses.
MOST_MESSAGES = 32
MOST_BYTES = HIGH_WATER
#: Frames that are taken before others have their turn; bytes that are looked at in one piece.
MOST_FRAMES = 500
_LOOK = 4096
#: What fits into a close frame, its code included (RFC 6455 §5.5).
LONGEST_CONTROL = 125
#: Seconds between pings, and for their answer.
PING_INTERVAL = 20.0
#: Seconds for the client to answer our close frame.
CLOSE_TIMEOUT = 10.0


class Connection(asyncio.Protocol):
    """One accepted WebSocket. `gone` is done when its socket is closed."""

    def __init__(self, protocol: ServerProtocol, response: bytes) -> None:
        """`protocol` is open; `response` is the answer to the handshake, as it goes on the wire."""
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._response = response
        self._transport: asyncio.Transport
        self._messages: deque[tuple[Message, int]] = deque()
        self._waiting_bytes = 0
        # Why reading is paused: too much waits for the app; the client takes no pongs; or others
        # have their turn before what is left of very many frames.
        self._paused = self._choked = self._behind = False
        #: What came, and waits for the end of such a pause.
        self._rest = b""
        #: We have closed: of what comes, only the client's close frame is of interest.
        self._unwanted = False
        #: A message that is not whole: objects for each of its fragments could take 30 times more.
        self._parts = bytearray()
        self._opcode = Opcode.BINARY
        self._receivers = WaitQueue()
        self._senders = WaitQueue()
        self._writable = True
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._heard = True
        self.gone: asyncio.Future[None] = self._loop.create_future()

    # --------------------------------------------------------- the app's side

    async def receive(self) -> Message:
        """The next message, or ``websocket.disconnect`` after the last one, as often as asked."""
        while not self._messages:
            if self.gone.done():
                await asyncio.sleep(0)  # an app that asks for ever must not take the loop
                return self._disconnect()
            await self._receivers.wait()
        message, size = self._messages.popleft()
        self._waiting_bytes -= size
        half = self._waiting_bytes <= MOST_BYTES // 2 and len(self._messages) <= MOST_MESSAGES // 2
        if self._paused and half:
            self._paused = False
            self._take_rest()
            self._resume_reading()
        return message

    async def send(self, message: Message) -> None:
        """Send text or bytes; waits while the client is slow.

        Raises `IllegalMessage`, and `ClientDisconnected` when the connection is over.
        """
        text, data = message.get("text"), message.get("bytes")
        if (text is None) is (data is None):
            raise IllegalMessage("websocket.send takes either text or bytes")
        if self._protocol.state is not State.OPEN:
            raise ClientDisconnected("the WebSocket is closed")
        if isinstance(text, str):
            self._protocol.send_text(text.encode())
        elif isinstance(data, (bytes, bytearray, memoryview)):
            self._protocol.send_binary(data)
        else:
            raise IllegalMessage("text must be a str, and bytes must be bytes")
        self._flush()
        while not self._writable and not self.gone.done():
            await self._senders.wait()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; raises `IllegalMessage` for a code that may not be sent."""
        if self._protocol.state is State.OPEN:
            try:
                data = Close(code, reason).serialize()
            except Exception as error:
                raise IllegalMessage(f"cannot close with {code} {reason!r}: {error}") from None
            if len(data) > LONGEST_CONTROL:
                raise IllegalMessage(f"a close's reason is at most 123 bytes, not {len(data) - 2}")
            self._protocol.send_close(code, reason)
            self._flush()
            self._unwanted = True
            self._paused = False
            self._take_rest()
            self._resume_reading()

    def abort(self) -> None:
        """End the connection at once, whatever still waits in it."""
        if not self.gone.done():
            self._transport.abort()

    def _disconnect(self) -> Message:
        code = self._protocol.close_code
        return {
            "type": "websocket.disconnect",
            "code": CloseCode.ABNORMAL_CLOSURE if code is None else int(code),
            "reason": self._protocol.close_reason or "",
        }

    # --------------------------------------------------------- the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer the handshake; the WebSocket is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._transport.set_write_buffer_limits(HIGH_WATER)
        self._transport.write(self._response)
        self._schedule(PING_INTERVAL)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._heard = True
        self._rest += data
        self._take_rest()

    def _take_rest(self) -> None:
        """Take what came, up to what waits for the app, or what is enough for one turn."""
        if self.gone.done():
            return
        data, at, frames = self._rest, 0, 0
        while at < len(data) and frames < MOST_FRAMES and not self._paused:
            self._protocol.receive_data(data[at : at + _LOOK])
            at += _LOOK
            for event in self._protocol.events_received():
                frames += 1
                if isinstance(event, Frame):
                    self._take(event)
        self._rest = data[at:]
        self._flush()
        if self._rest and not (self._paused or self._behind or self._transport.is_closing()):
            self._behind = True
            self._transport.pause_reading()
            self._loop.call_soon(self._go_on)
        if not self._writable and not self._choked:
            # Pings are answered only as fast as the client takes the answers.
            self._choked = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Others have had their turn."""
        self._behind = False
        self._take_rest()
        self._resume_reading()

    def eof_received(self) -> None:
        """The client sends nothing more; the transport closes after this, when all is written."""
        self._protocol.receive_eof()
        self._flush()
        self._end_in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._protocol.receive_eof()
        except EOFError:
            pass
        self.gone.set_result(None)
        self._receivers.wake()
        self._senders.wake()

    def pause_writing(self) -> None:
        """The client is slow: `send` waits."""
        self._writable = False

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable = self._heard = True
        self._choked = False
        self._resume_reading()
        self._senders.wake()

    def _resume_reading(self) -> None:
        paused = self._paused or self._choked or self._behind
        if not (paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
        if self._protocol.close_expected():
            self._end_in_time()

    def _end_in_time(self) -> None:
        """Nothing but the end is to come: wait for a client that does not take it so long only."""
        if not self._closing:
            self._closing = True
            self._schedule(CLOSE_TIMEOUT)

    # --------------------------------------------------------- frames

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode = frame.opcode
        elif frame.opcode is not Opcode.CONT:
            return  # pings and closes are answered by the protocol
        if frame.fin and not self._parts:
            self._put(bytes(frame.data))
            return
        self._parts += frame.data
        if frame.fin:
            data, self._parts = bytes(self._parts), bytearray()
            self._put(data)

    def _put(self, data: bytes) -> None:
        if self._unwanted:
            return
        message: dict[str, Any] = {"type": "websocket.receive"}
        if self._opcode is Opcode.TEXT:
            try:
                message["text"] = data.decode()
            except UnicodeDecodeError as error:
                self._protocol.fail(CloseCode.INVALID_DATA, f"no UTF-8 at byte {error.start}")
                return
        else:
            message["bytes"] = data
        self._messages.append((message, len(data)))
        self._waiting_bytes += len(data)
        full = self._waiting_bytes > MOST_BYTES or len(self._messages) > MOST_MESSAGES
        if full and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._receivers.wake()

    # --------------------------------------------------------- time

    def _schedule(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Behind the loop's next turn: what came while it was late is read first.
        soon = self._loop.call_soon
        self._timer = self._loop.call_later(seconds, soon, soon, self._on_time)

    def _on_time(self) -> None:
        """Ping a silent client; give up one that does not answer a ping or our close frame."""
        if self.gone.done():
            return
        # While reading pauses, nobody hears of the client's end, nor of its answers to pings.
        left = self._paused and input_ended(self._transport.get_extra_info("socket").fileno())
        if self._closing or left or not (self._heard or self._paused):
            self._transport.abort()
            return
        self._heard = False
        self._protocol.send_ping(b"")
        self._flush()
        self._schedule(PING_INTERVAL)
