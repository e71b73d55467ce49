"""An open WebSocket on a socket that the host gave away (A40; RFC 6455, RFC 7692).

The event loop reads and writes the socket; the frames, the turns of reading and the pings are
those of `bridge.websocket`, as on our server. What comes is queued for the app, and reading pauses
while the queue is full; what the app sends is written at once, and `send` waits while the client
is slow.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, cast

from websockets.frames import CloseCode

from bridge.asgi.receive_queue import ReceiveQueue
from bridge.errors import ClientDisconnected
from bridge.limits import HIGH_WATER
from bridge.loops.descriptors import input_ended
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message
from bridge.websocket import keep_alive
from bridge.websocket.frames import Frames
from bridge.websocket.keep_alive import KeepAlive
from bridge.websocket.reader import QUEUE_FULL, WRITES_PAUSED, MessageReader

#: Seconds between pings, and for the client to answer one.
PING_INTERVAL = 20.0
#: Seconds for the client to answer our close frame, and to take what was written.
CLOSE_TIMEOUT = 10.0

# The phases of a connection.
#: Neither side has closed.
OPEN: Final = 0
#: We have sent our close frame and wait for the client's, or the client has half-closed.
CLOSING: Final = 1
#: Nothing more is sent; the socket is closed when all is written, or in `CLOSE_TIMEOUT`.
CLOSED: Final = 2


class Connection(asyncio.Protocol):
    """One accepted WebSocket. `gone` is done when its socket is closed."""

    def __init__(self, frames: Frames, queue: ReceiveQueue, response: bytes) -> None:
        """`response` is the answer to the handshake, as it goes on the wire."""
        self._loop = asyncio.get_running_loop()
        self._frames = frames
        self._queue = queue
        self._response = response
        self._transport: asyncio.Transport
        self._reader: MessageReader
        self._keep_alive: KeepAlive
        self._phase = OPEN
        self._senders = WaitQueue()
        self._write_paused = False
        #: Something came since the last look, or the client took what it had let wait.
        self._received = False
        self._timer: asyncio.TimerHandle
        self.gone: asyncio.Future[None] = self._loop.create_future()

    # --------------------------------------------------------- the app's side

    async def send(self, message: Message) -> None:
        """Send text or bytes; waits while the client is slow.

        Raises `IllegalMessage`, and `ClientDisconnected` when the connection is over.
        """
        if self._phase != OPEN:
            raise ClientDisconnected("the WebSocket is closed; nothing more can be sent")
        data = self._frames.encode(message.get("text"), message.get("bytes"))
        self._transport.write(data if isinstance(data, bytes) else b"".join(data))
        while self._write_paused and not self.gone.done():
            await self._senders.wait()

    def close(self, code: object, reason: object = "") -> None:
        """Send a close frame, and wait for the client's. Raises `IllegalMessage`."""
        if self._phase != OPEN:
            return
        if self._frames.closed:
            self._write_output()  # the client was first, and is answered now
            return
        self._transport.write(self._frames.close(code, reason))
        self._end(CLOSING)
        self._reader.discard()
        self._queue.drop()

    def abort(self) -> None:
        """End the connection at once, whatever still waits in it."""
        if not self.gone.done():
            self._transport.abort()

    # --------------------------------------------------------- the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer the handshake; the WebSocket is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._transport.set_write_buffer_limits(HIGH_WATER)
        self._transport.write(self._response)
        self._reader = MessageReader(
            self._frames, self._transport, self._loop.call_soon, self._queue.put, self._on_output
        )
        self._queue.call_when_drained(partial(self._reader.resume, QUEUE_FULL))
        now = self._loop.time()
        self._keep_alive = KeepAlive(PING_INTERVAL, PING_INTERVAL, now)
        self._start_timer(now + PING_INTERVAL)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._received = True
        self._reader.feed(data)

    def eof_received(self) -> None:
        """Wait for the end; the transport closes after this, when all is written."""
        self._end(CLOSING)

    def connection_lost(self, error: Exception | None) -> None:
        """Let the app and its senders know that the socket is closed."""
        self._phase = CLOSED
        self._timer.cancel()
        self._queue.end(CloseCode.ABNORMAL_CLOSURE)
        self.gone.set_result(None)
        self._senders.wake()

    def pause_writing(self) -> None:
        """Have `send` wait: the client is slow."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Let senders and the reader go on: the client has caught up."""
        self._write_paused = False
        self._received = True
        self._reader.resume(WRITES_PAUSED)
        self._senders.wake()

    # --------------------------------------------------------- output of the frames

    def _on_output(self) -> None:
        if self._frames.closed and self._phase == OPEN and self._queue.events:
            # An app that waits for what came just before the end gets to answer it.
            self._loop.call_soon(self._write_output)
        else:
            self._write_output()

    def _write_output(self) -> None:
        """Write pongs, and the close frame that ends the connection."""
        if self._phase == CLOSED:
            return
        data = self._frames.data_to_send()
        if data:
            self._transport.write(data)
        if self._frames.closed:
            self._finish()
        elif self._write_paused:
            # Pings are answered only as fast as the client takes the answers.
            self._reader.pause(WRITES_PAUSED)

    def _finish(self) -> None:
        """End our side when all is written; the client then ends its own (RFC 6455 §7.1.1).

        To close the transport would not end the connection: the host has a descriptor too.
        """
        self._end(CLOSED)
        self._reader.read_to_end()
        self._transport.write_eof()

    def _end(self, phase: int) -> None:
        """Nothing but the end is to come: wait for it so long only."""
        if self._phase == OPEN:
            self._timer.cancel()
            self._start_timer(self._loop.time() + CLOSE_TIMEOUT)
            if self._frames.close_sent is not None:
                close = self._frames.closed_with
                self._queue.end(close.code, close.reason)
        self._phase = max(self._phase, phase)

    # --------------------------------------------------------- time

    def _start_timer(self, when: float) -> None:
        # Behind the loop's next turn: what came while it was late is read first.
        soon = self._loop.call_soon
        self._timer = self._loop.call_at(when, soon, soon, self._on_time, when)

    def _on_time(self, due: float) -> None:
        """Ping a silent client; give up one that does not answer a ping or our close frame."""
        # While reading pauses, neither the client's end nor its answers to pings are seen.
        unread = bool(self._reader.paused & QUEUE_FULL)
        if self._phase != OPEN or (unread and self._input_ended()):
            self._transport.abort()
            return
        received, self._received = self._received, False
        todo = self._keep_alive.check(due, received=received, excused=unread)
        if todo == keep_alive.GIVE_UP:
            self._frames.fail(CloseCode.INTERNAL_ERROR, keep_alive.TIMED_OUT)
            self._write_output()
            return
        if todo == keep_alive.PING:
            self._transport.write(self._frames.ping())
        self._start_timer(max(due, self._loop.time()) + PING_INTERVAL)

    def _input_ended(self) -> bool:
        return input_ended(self._transport.get_extra_info("socket").fileno())
