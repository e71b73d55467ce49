"""The HTTP/1.1 protocol object: one connection, from bytes in to exchanges.

The story of a connection is a loop over messages: a head is collected until its blank line and
parsed (`request.py`), a handler opens an exchange for it, the exchange gets the body, answers,
and is over. Only then is the next head looked at; what a pipelining client sent meanwhile waits
as bytes, bounded by pausing the transport (S1). So a message is never parsed before the one
before it is answered, and nothing is parsed after an error (S3).

The common case, a whole head with no body on an idle connection, runs straight through
`data_received`; everything else goes through the input buffer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from bridge.errors import BridgeError, Overloaded, RequestError, peer_name
from bridge.http.error_response import encode_error
from bridge.limits import HIGH_WATER
from bridge.log import logger
from bridge.server.exchange import DONE, UNSENT, Exchange, Handler, max_body_size
from bridge.server.http1 import response
from bridge.server.http1.chunked import ChunkedBody
from bridge.server.http1.discard import BodyDiscard
from bridge.server.http1.identity import Identity
from bridge.server.http1.parser import SHORT, HeadParser
from bridge.server.request import CHUNKED, Request
from bridge.server.request_body import PARTIAL, WHOLE
from bridge.server.state import ServerState
from bridge.server.transport.output import Output

#: Blank lines before a request line that are ignored (RFC 9112 §2.2).
BLANK_LINES = 4


class HttpProtocol(Identity):
    """One HTTP/1.1 connection."""

    #: The transport's own method: one look-up, for it is called on every request.
    write: Callable[[bytes], None]
    #: A thread that ends the running exchange shall wake the loop for it.
    wants_end: bool
    #: What came with a whole head, behind it: its body, mostly.
    _behind_head: bytes
    _chunked: ChunkedBody | None = None
    _body_left = 0
    _searched = 0
    #: It is to close as soon as nothing is in flight.
    _retired = False
    #: Blank lines that came where a request line is expected.
    _blank_lines: int

    def __init__(
        self, state: ServerState, heads: HeadParser, handler: Handler, websocket: Handler
    ) -> None:
        self.state = state
        self.output = Output(state)
        self.client = None
        self._heads = heads
        self.handler = handler
        self._websocket = websocket
        self._buffer = bytearray()
        self.since = state.now
        # Attributes that every request looks at have no default in the class (see `Exchange`).
        self.exchange = None
        self.client_left = self.wants_end = self._deaf = False
        self._behind_head = b""
        self._eof_since = 0.0
        self._blank_lines = 0

    # --------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        transport = cast(asyncio.Transport, transport)
        self.output.open(transport)
        self.write = transport.write
        self.state.connections.add(self)
        self.identify()
        if self.is_anonymous:
            self.client_left = self._deaf = True
            transport.abort()
            return
        transport.set_write_buffer_limits(HIGH_WATER)
        limit = self.state.config.limit_connections
        if limit and len(self.state.connections) > limit:
            self._refuse(Overloaded(f"as many connections are open as may be: {limit}"), b"")

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection is closed."""
        self.client_left = self._deaf = True
        self.environ = None
        self.output.lost()
        self.state.connections.discard(self)
        self._buffer.clear()
        exchange = self.exchange
        if exchange is not None:
            exchange.disconnected()
            exchange.on_writable()

    def eof_received(self) -> bool:
        """asyncio: the client sends no more; it may still read (half-close)."""
        self._eof_since = self.state.clock()
        self.wants_end = True
        if self.exchange is not None and self.exchange.response_state >= DONE:
            self.settle(self.exchange)
        self.go_on()
        exchange = self.exchange
        if exchange is not None and exchange.body.state > WHOLE:
            self.client_left = True
            exchange.input_ended()
        more = exchange is not None or len(self._buffer) > 0
        return more and not self.output.tls

    # --------------------------------------------------------- bytes in

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        exchange = self.exchange
        if exchange is not None and exchange.response_state >= DONE:
            self.settle(exchange)
            exchange = self.exchange
        if exchange is None and not self._buffer and not self._deaf:
            if len(data) < SHORT:
                head = self._heads.cached_heads.get(data)
                if head is not None:
                    self._begin(head, data)
                    return
            end = data.find(b"\r\n\r\n") + 4
            if end > 3 and data[0] > 32:
                if end == len(data):
                    self._open(data)
                    return
                self._behind_head = data[end:]
                self._open(data[:end])
                data, self._behind_head = self._behind_head, b""
        elif exchange is not None and exchange.body.state == PARTIAL and not self._buffer:
            data = self._feed(exchange, data)
        if data and not self._deaf:
            self._buffer += data
            self.advance()

    def advance(self) -> None:
        """Go on with what is in the input buffer, as far as it goes."""
        buffer = self._buffer
        while buffer and not self._deaf:
            exchange = self.exchange
            if exchange is None:
                head = self._next_head()
                if head is None:
                    self._end_after_eof()
                    return
                self._open(head)
                if self.exchange is None:
                    return  # it was answered at once: `finished` has seen to what follows
            elif exchange.body.state > WHOLE:
                data = bytes(buffer)
                buffer.clear()
                buffer += self._feed(exchange, data)
            else:
                # A pipelined request: whoever ends this exchange has to say so (see settle).
                self.wants_end = True
                if exchange.response_state < DONE:
                    if self._has_enough():
                        self._pause_reading()
                    return
                self.settle(exchange)

    def _has_enough(self) -> bool:
        """Whether as many requests wait as may wait (S1)."""
        waiting = self._buffer.count(b"\r\n\r\n")
        return waiting >= self.state.config.limit_pipeline or len(self._buffer) > HIGH_WATER

    def _next_head(self) -> bytes | None:
        """The next whole head; None where it is not here, or can be none."""
        buffer = self._buffer
        if buffer[0] == 13 and not self._skip_blank_lines():
            return None
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            if not self._head_since:
                self._head_since = self.state.clock()
            try:
                self._heads.check_partial(buffer, self._searched)
            except RequestError as error:
                self._refuse(error, bytes(buffer[:80]))
            self._searched = max(len(buffer) - 3, 0)
            return None
        self._searched = 0
        self._head_since = 0.0
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        return head

    def _skip_blank_lines(self) -> bool:
        """Take a few blank lines away; whether something follows them (RFC 9112 §2.2)."""
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._blank_lines += 1
            if self._blank_lines > BLANK_LINES:
                self._refuse(RequestError("blank lines where a request line is expected"), b"")
                return False
        if not buffer:
            self._head_since = 0.0  # the CR that began it was a blank line's
        elif buffer == b"\r" and not self._head_since:
            self._head_since = self.state.clock()
        return len(buffer) > 0 and buffer != b"\r"

    def _open(self, data: bytes) -> None:
        """Begin the exchange whose head is `data`."""
        heads = self._heads
        try:
            head = heads.parse(data)
        except BridgeError as error:
            self._refuse(heads.first_error(data) or error, data)
        else:
            self._begin(head, data)

    def _begin(self, head: Request, data: bytes) -> None:
        """Begin the exchange with `head`, which came as `data`."""
        state, handler = self.state, self.handler
        try:
            if not head.fast:
                if head.websocket:
                    handler = self._websocket
                if head.forwarded and self.trusted:
                    self._resolve(head)
            exchange = handler.open(self, head)
            if state.limit_requests:
                state.count(exchange)
        except BridgeError as error:
            self._refuse(self._heads.first_error(data) or error, data)
            return
        except Exception:
            logger.exception("a request from %s found no handler", peer_name(self.client))
            self._refuse(BridgeError("no handler"), data)
            return
        self.exchange = exchange
        self._blank_lines = 0
        if head.length:
            self._open_body(exchange, head)
        else:
            exchange.start_app()

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Leave the transport to another protocol (RFC 9110 §7.8); the bytes that came for it."""
        if self.exchange is not None:
            self.state.active.discard(self.exchange)
            self.exchange = None
        self.environ = None
        early = bytes(self._buffer)
        self._buffer.clear()
        self._deaf = True
        self.state.connections.discard(self)
        self._resume_reading()
        self.output.transport.set_protocol(protocol)
        if self._eof_since:
            self.output.transport.close()
        return early

    # --------------------------------------------------------- the body

    def _open_body(self, exchange: Exchange, head: Request) -> None:
        limit = max_body_size(exchange)
        data = self._behind_head
        if len(data) == head.length and (not limit or len(data) <= limit):
            self._behind_head = b""
            exchange.expect_body(limit, data)
            exchange.start_app()
            return
        exchange.expect_body(limit)
        self._body_begins(self.state.clock())
        if limit and head.length > limit:
            self._body_left = head.length
            error = RequestError(
                f"{head.length} bytes of body, limit is {limit}; raise --limit-body-size to allow "
                "more",
                413,
            )
            self._report(error, head.shown.encode())
            exchange.refuse(error)
            return
        if head.length == CHUNKED:
            self._chunked = ChunkedBody(self.state.config.limit_header_size)
        else:
            self._body_left = head.length
        if data:
            self._behind_head = b""
            self._behind_head = self._feed(exchange, data)
        elif self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._buffer += self._feed(exchange, data)
            if self.exchange is None and self._buffer:
                self._go_on_soon()  # it was answered at its last piece, when the buffer was empty
        if not self._deaf and exchange.response_state < DONE:
            exchange.start_app()

    def _feed(self, exchange: Exchange, data: bytes) -> bytes:
        """Give the exchange its part of `data`; the rest is returned."""
        rest = b""
        if self._chunked is not None:
            try:
                data, rest = self._chunked.feed(data)
            except RequestError as error:
                self._spoiled(exchange, error)
                return b""
            ended = self._chunked.complete
        else:
            if len(data) > self._body_left:
                data, rest = data[: self._body_left], data[self._body_left :]
            self._body_left -= len(data)
            ended = not self._body_left
        if data:
            limit = exchange.body.limit
            if limit and exchange.body.size + len(data) > limit:
                self._spoiled(
                    exchange,
                    RequestError(
                        f"read more than {limit} bytes of body; raise --limit-body-size to allow "
                        "more",
                        413,
                    ),
                )
                return b""
            if not exchange.feed(data) and not (ended or exchange.response_state >= DONE):
                self._pause_reading()  # an app that reads, or its answer, ends the pause
        if ended:
            self._chunked = None
            self._resume_reading()  # who does not read a whole body would never do so
            # An app that has answered at this very piece has a `BodyDiscard` in its place.
            (self.exchange or exchange).end_body()
        return rest

    def _spoiled(self, exchange: Exchange, error: RequestError) -> None:
        """The body of a running exchange breaks a rule: it never becomes whole."""
        if exchange.response_state == UNSENT:
            self._report(error, exchange.head.shown.encode())
        else:
            logger.warning("cut %s after %d bytes: %s", self.name(), exchange.sent, error)
        self._deaf = True
        exchange.disable_keep_alive()
        exchange.end_body(error)

    def resume_body(self) -> None:
        """The exchange has room for more body."""
        self._resume_reading()

    # --------------------------------------------------------- the end of an exchange

    def finished(self, exchange: Exchange) -> None:
        """The response of the running exchange has been written: go on after it."""
        state = self.state
        state.served += 1
        if state.limit_requests:
            state.active.discard(exchange)
        if exchange is not self.exchange:
            return
        if not exchange.keep_alive_fast and (
            not exchange.keep_alive or self._retired or exchange.body.state > WHOLE
        ):
            self._finish_unusual(exchange)
            return
        self.exchange = None
        self.since = state.now
        if self._buffer or self._eof_since:
            self._go_on_soon()

    def settle(self, exchange: Exchange) -> None:
        """Go on after an exchange that a thread has ended; harmless where that was done."""
        if exchange is self.exchange:
            self.wants_end = self._eof_since > 0
            self.finished(exchange)

    def _go_on_soon(self) -> None:
        # In a context of its own: this one can be that of the app that has just answered.
        self.state.loop.call_soon(self.go_on, context=self.state.context)

    def go_on(self) -> None:
        """Take the next request from the buffer, where one waits."""
        if self.exchange is None and not self._deaf:
            self._resume_reading()
            self.advance()
            if not self._buffer:
                self._end_after_eof()

    def _end_after_eof(self) -> None:
        """Close where everything that came whole before the client's FIN has been answered."""
        if self._eof_since and self.exchange is None and not self._deaf:
            self._close(lingering=False)

    def _finish_unusual(self, exchange: Exchange) -> None:
        more_waits = exchange.body.state <= WHOLE and exchange.keep_alive and self._buffer
        if not exchange.keep_alive or self.output.closed or (self._retired and not more_waits):
            self.exchange = None
            self._close(lingering=exchange.body.state > WHOLE or bool(self._buffer))
            return
        if more_waits:  # a pipelined request is answered also if the server stops meanwhile
            self.exchange = None
            self.since = self.state.now
            self._go_on_soon()
            return
        # Not all of the body was read: take it out of the way (W26).
        self.exchange = BodyDiscard(self, exchange)
        self.since = self.state.now
        self._body_begins(self.state.clock())
        self._resume_reading()
        if self._buffer:
            self.state.loop.call_soon(self.advance, context=self.state.context)

    def body_discarded(self, complete: bool) -> None:
        """The rest of an unread body is out of the way, or there is too much of it."""
        self.exchange = None
        self.since = self.state.now
        if not complete:
            self._close(lingering=True)
        elif self._buffer or self._eof_since:
            self._go_on_soon()

    def pause_writing(self) -> None:
        """asyncio: the write buffer is full."""
        self.output.pause()

    def resume_writing(self) -> None:
        """asyncio: the write buffer has room again."""
        self.output.resume()
        if self.exchange is not None:
            self.exchange.on_writable()

    # --------------------------------------------------------- the response

    keeps_alive = response.keeps_alive
    fast_head = response.fast_head
    send_whole = response.send_whole

    def new_response(self, request: Request) -> response.Response:
        """The response to `request`, as bytes."""
        return response.Response(request, self.state)

    # --------------------------------------------------------- refusals and closing

    def _refuse(self, error: BridgeError, begin: bytes) -> None:
        """Answer a request that has no exchange, and close (S6). `begin` is how it began."""
        self._report(error, begin)
        is_head = begin.startswith(b"HEAD ")
        self.write(encode_error(error, self.state.default_lines, is_head=is_head))
        self._close(lingering=True)

    def _report(self, error: BridgeError, begin: bytes) -> None:
        self.state.refusals.note(self.client, error, begin)

    def _close(self, *, lingering: bool) -> None:
        """Close when everything has been written; nothing more is read."""
        self._deaf = True
        self._buffer.clear()
        if lingering:
            self._resume_reading()
        self.output.close(lingering=lingering and not self._eof_since)

    def cut(self) -> None:
        """End the connection so that the client can tell that its response is not whole."""
        exchange, self.exchange = self.exchange, None
        self._deaf = True
        self._buffer.clear()
        if exchange is not None:
            self.state.active.discard(exchange)
        if self.output.closed:
            return
        if exchange is not None and _ends_with_connection(exchange):
            self.output.reset()
        else:
            self.output.break_off()

    # --------------------------------------------------------- the server stops

    def retire(self, *, at_once: bool) -> None:
        """Close if idle; else after the response in flight, or at once."""
        exchange = self.exchange
        self._retired = True
        if at_once:
            self.output.abort()
        elif exchange is None:
            if not self.output.end_at and (self.state.late or not self._buffer):
                self._close(lingering=False)
        elif isinstance(exchange, BodyDiscard):
            self.body_discarded(False)
        else:
            self.wants_end = True
            exchange.keep_alive_fast = False  # so that its end is looked at
            if exchange.response_state >= DONE:
                self.settle(exchange)


def _ends_with_connection(exchange: Exchange) -> bool:
    response = exchange.response
    return response is not None and response.ends_with_connection


def connection_factory(
    state: ServerState,
    handler: Handler,
    websocket: Handler,
    kind: type[HttpProtocol] = HttpProtocol,
) -> Callable[[], HttpProtocol]:
    """What makes the connections of one server; they share one parser of heads."""
    config = state.config
    heads = HeadParser(
        config.limit_request_line,
        config.limit_header_size,
        config.limit_header_count,
        config.limit_header_field_size,
    )
    return lambda: kind(state, heads, handler, websocket)
