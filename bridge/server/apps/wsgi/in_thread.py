"""WSGI exchanges whose app runs in a thread of the pool.

A thread writes what is finished itself, through a `SocketWriter`, while nothing waits in the
transport; what does not fit is left to the loop (W25, W39), and so is a whole response while more
requests wait for a thread (`runners/completions.py`). It tells the loop that the exchange is over
by setting `over`, and wakes it only if the connection waits for just that:

    thread: over = True; look at `wants_end`; set? wake the loop
    loop:   wants_end = True; look at `over`; set? go on

Whichever comes second sees the other, so no end is missed.
"""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import Any

from bridge.errors import ClientDisconnected, WaitNotPossible
from bridge.http.response_head import ResponseHead
from bridge.server.apps.wsgi.exchange import WsgiExchange
from bridge.server.transport.sendfile import send_file_blocking
from bridge.server.transport.socket_writer import NULL_WRITER, NullWriter, SocketWriter
from bridge.types import TextHeaders
from bridge.wsgi.call import WsgiCall


class ThreadExchange(WsgiExchange):
    """One request, on the loop's thread until it is submitted, and in a thread of the pool then."""

    awaits_body = True
    #: What the thread writes through; None when the response is over, or left to the loop.
    _writer: SocketWriter | NullWriter | None
    #: Bytes wait in the transport, or on their way there: what follows must wait behind them.
    _behind: bool
    #: A response that the thread has made, left to the loop.
    _whole: tuple[ResponseHead, bytes]
    #: Where its line of the access log is made, where there is one: the request's own.
    _log_context: Context | None = None
    #: Whether the transport was looked at: an earlier response may not quite have left.
    _looked: bool

    def submit(self, call: WsgiCall) -> None:
        """Queue `call` for a thread."""
        output = self.connection.output
        self._behind = self._looked = False
        self._writer = output.writer or output.direct_writer() or NULL_WRITER
        self.handler.runner.submit(call)

    def disconnected(self) -> None:
        """The client has left: a request that waits for a thread gives its place back (W52)."""
        super().disconnected()
        if not self.over:
            runner = self.handler.runner
            for call in tuple(runner.queue):
                if call.sink is self and runner.withdraw(call):
                    self.over = True

    # --------------------------------------------------------- the response, in the thread

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """ResponseSink: the whole response."""
        state = self.connection.state
        if (self.handler.runner.queue or state.completions.wakeup_pending) and not self._behind:
            # Also the last one, which finds the loop asked already.
            self._writer = None
            self._whole = head, body
            if state.access_log is not None:
                self._log_context = copy_context()
            state.completions.put(self)
            return
        if state.limit_requests:
            self.leaving = True  # before a client can have it and come back
        self.put(self.whole(head, body))
        self.wrote_all()

    def finish(self) -> None:
        """ResponseSink: the body is whole."""
        self.leaving = True
        super().finish()

    def write(self, chunk: bytes) -> bool:
        """ResponseSink: one piece. Waits while the client is slow."""
        data = self.framed(chunk)
        if data:
            self.put(data)
        return True

    def abort(self) -> None:
        """ResponseSink: the response cannot be completed."""
        if self._writer is not None:  # else the loop has the rest already
            self._writer = None
            # Over when it is cut, not before: the loop would end the connection as after a whole
            # response, and where only its end tells the end of the body, a client could not tell.
            self.connection.state.call_on_loop(self.cut)

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """ResponseSink: the rest of an open file, sent by the kernel (W41)."""
        sent = super().send_file(file, block_size, count)
        if sent:
            self._behind = False
        return sent

    def send_real(self, file: int, offset: int, count: int) -> None:
        """Send a part of a file, from this thread if nothing waits before it."""
        writer = self._writer
        if self._behind or not isinstance(writer, SocketWriter):
            super().send_real(file, offset, count)
        else:
            send_file_blocking(self.connection.output, writer, file, offset, count)

    def early_hints(self, headers: TextHeaders) -> None:
        """``wsgi.early_hints``: too late where the loop has the response."""
        if self._writer is not None:
            super().early_hints(headers)

    def put(self, data: bytes) -> None:
        """Write, if nothing waits before it; else have the loop write, and wait for that."""
        output, writer = self.connection.output, self._writer
        if output.closed or writer is None:
            raise ClientDisconnected("the client is gone")
        if not self._looked:
            self._looked = True
            self._behind = output.transport.get_write_buffer_size() > 0
        if not self._behind:
            sent = writer.send(data)
            if sent != len(data):
                self._behind = True
                self.connection.state.call_on_loop(output.write_late, data[sent:])
        else:
            try:
                self._behind = self.handler.runner.wait(self._write_behind(data))
            except WaitNotPossible:  # on the loop: the runner has refused the call
                output.write_late(data)

    async def _write_behind(self, data: bytes) -> bool:
        """On the loop: write behind what waits there already; whether something still does."""
        output = self.connection.output
        await output.drained()
        output.transport.write(data)
        await output.drained()
        return output.transport.get_write_buffer_size() > 0

    # --------------------------------------------------------- the end

    def wrote_all(self) -> None:
        """In the thread: the response is over; what of it the loop has to write may still wait."""
        connection = self.connection
        log = connection.state.access_log
        if log is not None:
            log(self)
        self._writer = None
        if self._behind:
            # Only when what waits has been taken by the transport may another response follow.
            connection.state.call_on_loop(self._is_over)
            return
        self.over = True
        if connection.wants_end or (not self.keep_alive_fast and (self.close or not self.complete)):
            connection.state.call_on_loop(connection.settle, self)

    def on_completed(self) -> None:
        """On the loop: write a response that the thread has made, and go on after it."""
        head, body = self._whole
        del self._whole
        try:
            if self.connection.output.closed:
                self.begin(head)  # for the log
            else:
                self.send_whole(head, body)
            log = self.connection.state.access_log
            if log is not None and self._log_context is not None:
                self._log_context.run(log, self)
        finally:
            self._is_over()

    def _is_over(self) -> None:
        self.over = True
        self.connection.settle(self)
