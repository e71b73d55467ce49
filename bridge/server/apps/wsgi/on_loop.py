"""WSGI exchanges whose app runs in the loop's own thread: under the inline and greenlet runners.

What they write goes to the transport. A slow client makes a greenlet wait, and a call of the
inline runner pause, which is submitted again when there is room.
"""

from __future__ import annotations

import os
from typing import Any

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
from bridge.server.exchange import DONE
from bridge.server.transport.output import Output, gathered
from bridge.server.transport.sendfile import send_file
from bridge.types import TextHeaders


class LoopExchange(WsgiExchange):
    """One request, one thread; it is the `ResponseSink` of its call."""

    def submit(self) -> None:
        """Run the app, or have it run at the end of the loop's step."""
        call = self._call = new_call(self, self)  # a circle, until the end
        try:
            self.handler.runner.submit(call)
        except BridgeError as error:
            call.refuse(error)

    def disconnected(self) -> None:
        """Interrupt a greenlet that waits for something else: its client has left (G4)."""
        super().disconnected()
        runner = self.handler.runner
        if self._call is not None and runner.can_wait and self.response_state < DONE:
            runner.interrupt(self._call, ClientDisconnected("the client is gone"))

    def on_writable(self) -> None:
        """Resume a paused call (inline runner): the client has caught up, or is gone."""
        runner = self.handler.runner
        if self._call is not None and self.response_state < DONE and not runner.can_wait:
            runner.submit(self._call)

    # --------------------------------------------------------- the sink

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """Send a whole response (`ResponseSink`)."""
        connection = self.connection
        if connection.output.closed:
            raise ClientDisconnected("the client is gone")
        self._call = None  # first: to write can tell that there is room, and nothing is to go on
        connection.send_whole(self, head, body)

    def start(self, head: ResponseHead) -> LoopStream:
        """Take the head of a response whose body comes in pieces (`ResponseSink`)."""
        return LoopStream(self, self.start_response(head))

    def failed(self, error: BaseException) -> bool:
        """Leave it to the call to log the error (`ResponseSink`)."""
        return False

    def refused(self, error: BridgeError) -> bool:
        """Count a refused request for the log (`ResponseSink`)."""
        return note_refused(self, error)

    def abort(self) -> None:
        """Break off a response that cannot be completed (`ResponseSink`)."""
        self._call = None
        super().abort()

    def end_stream(self) -> None:
        """End the exchange: a response that came in pieces has been written."""
        self._call = None
        self.end()

    def early_hints(self, headers: TextHeaders) -> None:
        """Send 103 with these fields, if the head has not left (``wsgi.early_hints``, W42)."""
        if self.response_state >= DONE:
            return
        hints = self.open_response().early_hints(hint_fields(headers))
        if hints:
            write(self.connection.output, hints)


class LoopStream:
    """The body of a response that comes in pieces."""

    __slots__ = ("_exchange", "_output", "_response", "_runner")

    def __init__(self, exchange: LoopExchange, response: ResponseEncoder) -> None:
        self._exchange = exchange
        self._response = response
        self._output = exchange.connection.output
        self._runner = exchange.handler.runner

    def write(self, chunk: bytes) -> bool:
        """Send one piece (`ResponseStream`). Wait while the client is slow, or ask for a pause."""
        output, parts = self._output, gathered(self._response.write(chunk))
        if output.closed:
            raise ClientDisconnected("the client is gone")
        output.write_through(parts)
        if output.paused:
            if not self._runner.can_wait:
                return False
            self._runner.wait(output.drained())
        return True

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """Have the kernel send the rest of an open file (`ResponseStream`, W41)."""
        real = regular_file(file)
        response = self._response
        if not self._runner.can_wait or real is None or count is None or not response.has_length:
            return False
        before, size, _ = response.write_file(count)
        if before:
            write(self._output, before)
        self._runner.wait(send_duplicate(self._output, Duplicate(real), file.tell(), size))
        response.wrote_file(size)
        return True

    def finish(self) -> None:
        """End the body (`ResponseStream`)."""
        data = self._response.finish()
        if data:
            write(self._output, data)
        self._exchange.end_stream()


def write(output: Output, data: bytes) -> None:
    """Write to the transport. Raises `ClientDisconnected` if it is closed."""
    if output.closed:
        raise ClientDisconnected("the client is gone")
    output.transport.write(data)


async def send_duplicate(output: Output, file: Duplicate, offset: int, count: int) -> None:
    """On the loop: send a part of a file through a descriptor of our own.

    The app may close its file as soon as it is told to stop, while the loop still reads.
    """
    descriptor = file.take()
    assert descriptor is not None
    try:
        await send_file(output, descriptor, offset, count)
    finally:
        os.close(descriptor)
