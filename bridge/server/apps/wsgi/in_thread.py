"""WSGI exchanges whose app runs in a thread of the pool.

A thread writes what is finished itself, through a `SocketWriter`, while nothing waits in the
transport. What does not fit is left to the loop (W25, W39), unless it is a piece of a stream and
the client makes room soon; a whole response also while more requests wait for a thread
(`runners/completions.py`). A thread tells the loop that the exchange is over by its state, and
wakes it only if the connection waits for just that:

    thread: state = DONE; look at `notify_on_end`; set? wake the loop
    loop:   notify_on_end = True; look at the state; DONE? go on

Whichever comes second sees the other, so no end is missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextvars import copy_context
from typing import Any, Final

from bridge.errors import BridgeError, ClientDisconnected
from bridge.http.response_head import ResponseHead
from bridge.http.response_sink import ResponseEncoder
from bridge.loops.descriptors import Duplicate, regular_file
from bridge.server.apps.wsgi.exchange import (
    WsgiExchange,
    hint_fields,
    new_call,
    note_refused,
)
from bridge.server.apps.wsgi.on_loop import send_duplicate
from bridge.server.exchange import DONE, FINISHING, give_up
from bridge.server.request_body import WHOLE
from bridge.server.transport.output import Piece, gathered, unsent
from bridge.server.transport.sendfile import send_file_blocking
from bridge.server.transport.socket_writer import NULL_WRITER, NullWriter, SocketWriter
from bridge.types import TextHeaders

#: Milliseconds for which a thread waits for a fast client that has no room for a piece of a stream.
_PATIENCE: Final = 20


class ThreadExchange(WsgiExchange):
    """One request, in the loop's thread but for what its `ThreadSink` calls."""

    awaits_body = True

    def submit(self) -> None:
        """Queue the app's call for a thread."""
        call = new_call(self, ThreadSink(self))
        try:
            self.handler.runner.submit(call)
        except BridgeError as error:
            call.refuse(error)

    def disconnected(self) -> None:
        """Give a request's place in the queue back (W52), as its client has left."""
        super().disconnected()
        runner = self.handler.runner
        for call in tuple(runner.queue):
            sink = call.sink
            mine = isinstance(sink, ThreadSink) and sink.exchange is self
            if mine and runner.withdraw(call):
                give_up(self)

    # --------------------------------------------------------- called in the thread

    def note_finishing(self) -> None:
        """Note that the last bytes are about to leave: the client can have them, and come back."""
        self.response_state = FINISHING

    def keep_context(self) -> None:
        """Keep the request's context for its line of the access log."""
        self.log_context = copy_context()

    def end_in_thread(
        self, status: int = 0, size: int = 0, head: bytes | None = None, *, pending: bool
    ) -> None:
        """Do as `end` does; `pending`: the loop still has to write some of the response."""
        if head is not None:
            self.status, self._whole = status, (head, size)
        elif self.response is not None and not self.response.keep_alive:
            self.disable_keep_alive()
        connection = self.connection
        recording = connection.state.recording
        if recording is not None:
            if recording.figures is not None:
                self.handler.meter.record(self.started, self.status)
            if recording.log is not None:
                recording.log(self)
        if pending:
            # Only when what waits has been taken by the transport may another response follow.
            connection.state.call_on_loop(self._end_late)
            return
        self.response_state = DONE
        if connection.notify_on_end or not self.keep_alive or self.body.state > WHOLE:
            connection.state.call_on_loop(connection.end_from_thread, self)

    def _end_late(self) -> None:
        self.response_state = DONE
        self.connection.end_from_thread(self)


class ThreadSink:
    """Where a call in a thread sends its response; it is the `ResponseSink` of the call.

    Everything here runs in the thread, `on_completed` excepted.
    """

    __slots__ = (
        "_response",
        "_transport_busy",
        "_transport_checked",
        "_whole",
        "_writer",
        "exchange",
    )

    def __init__(self, exchange: ThreadExchange) -> None:
        output = exchange.connection.output
        self.exchange = exchange
        #: What the thread writes through; None when the response is over, or left to the loop.
        self._writer: SocketWriter | NullWriter | None = (
            output.writer or output.direct_writer() or NULL_WRITER
        )
        #: Bytes wait in the transport, or on their way there: what follows must wait behind them.
        self._transport_busy = False
        #: Whether the transport was looked at: an earlier response may not quite have left.
        self._transport_checked = False
        self._response: ResponseEncoder
        #: A response that the thread has made, left to the loop.
        self._whole: tuple[ResponseHead, bytes]

    # --------------------------------------------------------- the sink

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """Send a whole response (`ResponseSink`)."""
        exchange = self.exchange
        connection, runner = exchange.connection, exchange.handler.runner
        state = connection.state
        if (runner.queue or state.completions.wakeup_pending) and not self._transport_busy:
            # Also the last one, which finds the loop asked already.
            self._writer = None
            self._whole = head, body
            recording = state.recording
            if recording is not None and recording.log is not None:
                exchange.keep_context()
            state.completions.put(self)
            return
        if state.limit_requests:
            exchange.note_finishing()
        size = len(body)
        encoded = connection.responder.fast_head(connection, exchange, head, size)
        if encoded is not None:
            self._put(*gathered((encoded, body)), last=True)
            self._writer = None
            exchange.end_in_thread(head.status_code, size, encoded, pending=self._transport_busy)
        else:
            self._response = response = exchange.start_response(head, size=size)
            self._end(*response.write(body), response.finish())

    def start(self, head: ResponseHead) -> ThreadSink:
        """Take the head of a response whose body comes in pieces (`ResponseSink`)."""
        self._response = self.exchange.start_response(head)
        return self

    def write(self, chunk: bytes) -> bool:
        """Send one piece (`ResponseStream`). Waits while the client is slow."""
        self._put(*gathered(self._response.write(chunk)), patience=_PATIENCE)
        return True

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """Have the kernel send the rest of an open file (`ResponseStream`, W41)."""
        real, response, writer = regular_file(file), self._response, self._writer
        if real is None or count is None or not response.has_length:
            return False
        before, size, _ = response.write_file(count)
        if before:
            self._put(before)
        output, offset = self.exchange.connection.output, file.tell()
        if self._transport_busy or not isinstance(writer, SocketWriter):
            wait = self.exchange.handler.runner.wait
            wait(send_duplicate(output, Duplicate(real), offset, size))
        else:
            send_file_blocking(output, writer, real, offset, size)
        response.wrote_file(size)
        self._transport_busy = False
        return True

    def finish(self) -> None:
        """End the body (`ResponseStream`)."""
        self.exchange.note_finishing()
        self._end(self._response.finish())

    def abort(self) -> None:
        """Break off a response that cannot be completed (`ResponseSink`)."""
        if self._writer is not None:  # else the loop has the rest already
            self._writer = None
            # Over when it is cut, not before: the loop would end the connection as after a whole
            # response, and if only its end tells the end of the body, a client could not tell.
            self.exchange.connection.state.call_on_loop(self.exchange.abort)

    def failed(self, error: BaseException) -> bool:
        """Leave it to the call to log the error (`ResponseSink`)."""
        return False

    def refused(self, error: BridgeError) -> bool:
        """Count a refused request for the log (`ResponseSink`)."""
        return note_refused(self.exchange, error)

    def early_hints(self, headers: TextHeaders) -> None:
        """Send 103 with these fields, if the head has not left (``wsgi.early_hints``, W42)."""
        if self._writer is not None:  # else the loop has the response
            hints = self.exchange.open_response().early_hints(hint_fields(headers))
            if hints:
                self._put(hints)

    # --------------------------------------------------------- writing

    def _end(self, *parts: bytes) -> None:
        """Write the last of the response."""
        if any(parts):
            self._put(*gathered(parts), last=True)
        self._writer = None
        self.exchange.end_in_thread(pending=self._transport_busy)

    def _put(self, *parts: bytes, patience: int = 0, last: bool = False) -> None:
        """Write, if nothing waits before it; else have the loop write, and wait for that.

        `patience`: milliseconds to wait for room before what does not fit is left to the loop.
        `last`: nothing follows these, so this does not wait; a slow client holds no thread (W25).
        """
        connection, writer = self.exchange.connection, self._writer
        output = connection.output
        if output.closed or writer is None:
            raise ClientDisconnected("the client is gone")
        if not self._transport_checked:
            self._transport_checked = True
            self._transport_busy = output.transport.get_write_buffer_size() > 0
        if not self._transport_busy:
            sent = writer.send(*parts)
            if sent != sum(map(len, parts)):
                self._put_rest(writer, unsent(parts, sent), patience)
        elif last:
            connection.state.call_on_loop(output.write_late, parts)
        else:
            try:
                wait = self.exchange.handler.runner.wait
                self._transport_busy = wait(self._write_behind(parts))
            except CancelledError:
                raise ClientDisconnected("the server stops, and has cut the response") from None

    def _put_rest(
        self, writer: SocketWriter | NullWriter, rest: Sequence[Piece], patience: int
    ) -> None:
        """Write `rest` while the client makes room soon; leave it to the loop if not.

        To wait here costs less than to wait for the loop, which writes when there is room.
        """
        while rest and patience and writer.wait_for_room(patience):
            rest = unsent(rest, writer.send(*rest))
        if rest:
            self._transport_busy = True
            connection = self.exchange.connection
            connection.state.call_on_loop(connection.output.write_late, rest)

    async def _write_behind(self, parts: Sequence[bytes]) -> bool:
        """On the loop: write behind what waits there; return whether something still waits."""
        output = self.exchange.connection.output
        await output.drained()
        output.write_parts(parts)
        await output.drained()
        return output.transport.get_write_buffer_size() > 0

    def on_completed(self) -> None:
        """On the loop: write a response that the thread has made, and go on after it."""
        head, body = self._whole
        del self._whole
        connection = self.exchange.connection
        if connection.output.closed:
            self.exchange.end(head.status_code, 0, head.encoded)  # for the log
        else:
            connection.send_whole(self.exchange, head, body)
