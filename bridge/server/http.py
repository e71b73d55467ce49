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
import logging
import os
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol, cast

from bridge.errors import BridgeError, ClientDisconnected, Overloaded, RequestError
from bridge.headers import reason
from bridge.server.exchange import Exchange
from bridge.server.request import CHUNKED, ChunkedBody, RequestHead
from bridge.server.state import DRAIN_LIMIT, HIGH_WATER, ServerState
from bridge.server.tls import tls_extension
from bridge.server.wire import Wire
from bridge.types import Environ

logger = logging.getLogger("bridge.error")

#: Seconds for which a client that is told to go away may go on sending.
LINGER = 2.0
#: Bytes that one call of sendfile may take, so that the loop is not held by a fast client.
FILE_BLOCK = 1024 * 1024
#: Seconds for which a loop that is busy gets to read what has come, before an idle connection ends.
_LAST_LOOK = 0.01
#: Seconds after a half-close until the app is told that the client has left.
HALF_CLOSE_GRACE = 2.0


class Handler(Protocol):
    """What answers requests: made once per app, at start (DESIGN, the way of a request)."""

    def open(self, connection: HttpProtocol, head: RequestHead) -> Exchange:
        """An exchange for this request. Raises `RequestError` where it refuses it."""


class WebSocketOpener(Protocol):
    """What takes a connection over for a WebSocket."""

    def __call__(self, connection: HttpProtocol, head: RequestHead, rest: bytes) -> None:
        """Answer the handshake `head`; `rest` came behind it. Raises `RequestError`."""


class HttpProtocol(asyncio.Protocol):
    """One HTTP/1.1 connection."""

    transport: asyncio.Transport
    root_path = ""
    client: tuple[str, int] | None = None
    server: tuple[str, int | None] | None = None
    scheme = "http"
    trusted = False
    scheme_is_tls = False
    tls: dict[str, Any] | None = None

    exchange: Exchange | None = None
    #: For threads that write what is finished; made when first wanted, plain sockets only.
    wire: Wire | None = None
    #: A thread that ends the running exchange shall wake the loop for it.
    wants_end = False
    gone = False
    half_closed = False
    write_paused = False
    #: Nothing that comes in is looked at any more.
    _deaf = False
    _reading_paused = False
    _chunked: ChunkedBody | None = None
    _body_left = 0
    _searched = 0
    #: When the present phase began: idle, or a head that is coming in, or a body.
    _head_since = 0.0
    _body_since = 0.0
    _stalled_since = 0.0
    _stalled_size = 0
    _eof_since = 0.0
    _close_at = 0.0
    _room: asyncio.Event | None = None

    def __init__(self, state: ServerState, handler: Handler, websocket: WebSocketOpener) -> None:
        self.state = state
        self.handler = handler
        self._websocket = websocket
        self._buffer = bytearray()
        #: What each WSGI handler's requests on this connection have in common.
        self.bases: dict[object, Environ] = {}
        self.since = state.now

    # --------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self.transport = transport = cast(asyncio.Transport, transport)
        self.write = transport.write
        self.state.connections.add(self)
        self.identify()
        transport.set_write_buffer_limits(HIGH_WATER)

    def identify(self) -> None:
        """Who is at both ends; decided once per connection."""
        transport, state = self.transport, self.state
        peer, name = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self.server = (
            (str(name[0]), int(name[1])) if isinstance(name, tuple) else (str(name or ""), None)
        )
        self.scheme_is_tls = transport.get_extra_info("sslcontext") is not None
        self.scheme = "https" if self.scheme_is_tls else "http"
        if self.scheme_is_tls:
            self.tls = tls_extension(transport.get_extra_info("ssl_object"))
        self.root_path = state.config.root_path
        self.trusted = state.forwarded.trusts(self.client[0] if self.client else None)

    def _resolve(self, head: RequestHead) -> None:
        """Take the word of the trusted proxy that we talk to (S32). Raises `RequestError`."""
        head.resolved = self.state.forwarded.resolve(
            head.headers, self.client, self.scheme, self.server
        )

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection is closed."""
        self.gone = self._deaf = True
        self.wire = None
        self.state.connections.discard(self)
        self._buffer.clear()
        if self._room is not None:
            self._room.set()
        exchange = self.exchange
        if exchange is not None:
            exchange.disconnected()
            exchange.room()
            if exchange.over:
                self._uncount(exchange)

    def eof_received(self) -> bool:
        """asyncio: the client sends no more; it may still read (half-close)."""
        exchange = self.exchange
        if exchange is None or exchange.over or self._deaf:
            return False
        self._eof_since = self.state.loop.time()
        if not exchange.complete:
            self.half_closed = True
            exchange.input_ended()
        return not self.scheme_is_tls

    # --------------------------------------------------------- bytes in

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        exchange = self.exchange
        if exchange is not None and exchange.over:
            self.settle(exchange)
            exchange = self.exchange
        if exchange is None and not self._buffer and not self._deaf:
            end = data.find(b"\r\n\r\n") + 4
            if end == len(data):
                self._open(data)
                return
        elif exchange is not None and not exchange.complete and not self._buffer:
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
                    return
                self._open(head)
            elif not exchange.complete:
                data = bytes(buffer)
                buffer.clear()
                buffer += self._feed(exchange, data)
            else:
                # A pipelined request: whoever ends this exchange has to say so (see settle).
                self.wants_end = True
                if not exchange.over:
                    if len(buffer) > HIGH_WATER:
                        self._pause_reading()
                    return
                self.settle(exchange)

    def _next_head(self) -> bytes | None:
        buffer = self._buffer
        if buffer[:1] in b"\r\n":
            # A blank line or two before a request line is to be ignored (RFC 9112 §2.2).
            blank = len(buffer) - len(buffer.lstrip(b"\r\n"))
            if blank > 8:
                self._refuse(RequestError("blank lines where a request line is expected"))
                return None
            if buffer.startswith(b"\r\n") or blank > 1 or len(buffer) > 1:
                if buffer[:blank].replace(b"\r\n", b"").strip(b"\r"):
                    self._refuse(RequestError("a bare LF where a request line is expected"))
                    return None
                if blank < len(buffer) or buffer.endswith(b"\n"):
                    del buffer[: blank - blank % 2]
            if not buffer:
                return None
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            self._searched = max(len(buffer) - 3, 0)
            if not self._head_since:
                self._head_since = self.state.loop.time()
            try:
                self.state.heads.look_at_part(buffer)
            except RequestError as error:
                self._refuse(error)
            return None
        self._searched = 0
        self._head_since = 0.0
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        return head

    def _open(self, data: bytes) -> None:
        """Begin the exchange whose head is `data`."""
        state = self.state
        try:
            head = state.heads.parse(data)
            if not head.plain:
                if head.upgrade == b"websocket" and head.method == "GET":
                    self._upgrade(head)
                    return
                if head.forwarded and self.trusted:
                    self._resolve(head)
            if state.limit_requests:
                self._count()
            self.exchange = exchange = self.handler.open(self, head)
        except BridgeError as error:
            self._refuse(error)
            return
        if state.timed:
            exchange.started = perf_counter()
        if head.length:
            self._open_body(exchange, head)
        else:
            exchange.answer()

    def _count(self) -> None:
        """One request more at a time, where that has a limit. Raises `Overloaded` (S2)."""
        state = self.state
        if state.active >= state.limit_requests:
            raise Overloaded(f"{state.active} requests are being answered, which is the limit")
        state.active += 1
        self.wants_end = True

    def _uncount(self, exchange: Exchange) -> None:
        if self.state.limit_requests and not exchange.uncounted:
            exchange.uncounted = True
            self.state.active -= 1

    def _upgrade(self, head: RequestHead) -> None:
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._websocket(self, head, rest)

    # --------------------------------------------------------- the body

    def _open_body(self, exchange: Exchange, head: RequestHead) -> None:
        exchange.expect_body()
        if exchange.body_limit is None:
            exchange.body_limit = self.state.config.limit_body_size
        if exchange.body_limit and head.length > exchange.body_limit:
            self._body_left = head.length
            exchange.refuse(413, reason(413))
            return
        self._body_since = self.state.loop.time()
        if head.length == CHUNKED:
            self._chunked = ChunkedBody(self.state.config.limit_header_size)
        else:
            self._body_left = head.length
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._buffer += self._feed(exchange, data)
        if not self._deaf and not exchange.over:
            exchange.answer()

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
            limit = exchange.body_limit
            if limit and exchange.body_size + len(data) > limit:
                self._spoiled(
                    exchange,
                    RequestError(
                        f"read more than {limit} bytes of body; raise --limit-body-size to allow "
                        "more",
                        413,
                    ),
                )
                return b""
            if not exchange.feed(data):
                self._pause_reading()
        if ended:
            self._chunked = None
            exchange.end_body()
        return rest

    def _spoiled(self, exchange: Exchange, error: RequestError) -> None:
        """The body of a running exchange breaks a rule: it never becomes whole."""
        self._report(error, b"")
        self._deaf = True
        exchange.close = True
        exchange.spoil(error)

    def resume_body(self) -> None:
        """The exchange has room for more body."""
        self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self.gone:
            self._reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.gone:
            self._reading_paused = False
            self.transport.resume_reading()

    # --------------------------------------------------------- the end of an exchange

    def finished(self, exchange: Exchange) -> None:
        """The response of the running exchange has been written: go on after it."""
        state = self.state
        state.served += 1
        if state.limit_requests:
            self._uncount(exchange)
        if exchange is not self.exchange:
            return
        if exchange.close or not exchange.complete:
            self._finish_unusual(exchange)
            return
        self.exchange = None
        self.since = state.now
        if self._buffer:
            state.loop.call_soon(self.go_on)

    def settle(self, exchange: Exchange) -> None:
        """Go on after an exchange that a thread has ended; harmless where that was done."""
        if exchange is self.exchange:
            self.wants_end = False
            self.finished(exchange)

    def go_on(self) -> None:
        """Take the next request from the buffer, where one waits."""
        if self.exchange is None and not self._deaf:
            self._resume_reading()
            self.advance()

    def _finish_unusual(self, exchange: Exchange) -> None:
        if exchange.close or self.gone:
            self.exchange = None
            self._close(lingering=not exchange.complete or bool(self._buffer))
            return
        # Not all of the body was read: take it out of the way (W26).
        self.exchange = _Drain(self, exchange)
        self.since = self.state.now
        self._resume_reading()
        if self._buffer:
            self.state.loop.call_soon(self.advance)

    def drained_body(self, complete: bool) -> None:
        """The rest of an unread body is out of the way, or there is too much of it."""
        self.exchange = None
        self.since = self.state.now
        if not complete:
            self._close(lingering=True)
        elif self._buffer:
            self.state.loop.call_soon(self.go_on)

    # --------------------------------------------------------- refusals and closing

    def _refuse(self, error: BridgeError) -> None:
        """Answer a request that has no exchange, and close (S6)."""
        self._report(error, bytes(self._buffer[:80]))
        status = error.status
        text = f"{reason(status)}: {error}\n".encode("utf-8", "replace")
        state = self.state
        self.write(
            b"HTTP/1.1 %d %b\r\n%bconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"%bcontent-length: %d\r\n\r\n%b"
            % (
                status,
                reason(status).encode(),
                state.default_lines,
                b"retry-after: 1\r\n" if status == 503 else b"",
                len(text),
                text,
            )
        )
        self._close(lingering=True)

    def _report(self, error: BridgeError, begin: bytes) -> None:
        logger.debug("refused a request from %s: %s; it began with %r", self.client, error, begin)

    def _close(self, *, lingering: bool) -> None:
        """Close when everything has been written.

        Where the client is still sending, closing at once would reset the connection, and the
        client would lose the answer: so its bytes are thrown away for a while (RFC 9112 §9.6).
        """
        self._deaf = True
        self._buffer.clear()
        self.wire = None
        if self.gone or self.transport.is_closing():
            return
        if lingering and self.transport.can_write_eof():
            self._resume_reading()
            self.transport.write_eof()
            self._close_at = self.state.loop.time() + LINGER
        else:
            self.transport.close()

    def cut(self) -> None:
        """Break the connection off after what has been written."""
        self._deaf = True
        if self.exchange is not None:
            self._uncount(self.exchange)
        self.exchange = None
        if not self.gone:
            self._abort()

    def _abort(self) -> None:
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.shutdown()  # a thread may hold it still; the client shall know at once
        self.transport.abort()

    # --------------------------------------------------------- writing from elsewhere

    def make_wire(self) -> Wire | None:
        """A `Wire` for this connection, kept; None where only the transport can write (TLS)."""
        if self.scheme_is_tls or self.gone:
            return None
        self.wire = Wire(self.transport.get_extra_info("socket").fileno())
        return self.wire

    def call_on_loop(self, function: Callable[..., object], *args: object) -> None:
        """From any thread: have the loop call `function`, if it still runs."""
        try:
            self.state.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("the loop has closed before %s", function)

    def write_now(self, data: bytes) -> None:
        """Write at once, not at the end of the loop's step, where nothing waits before it (W39)."""
        wire = self.wire or self.make_wire()
        if wire is not None and not self.transport.get_write_buffer_size():
            data = data[wire.send(data) :]
        if data:
            self.write(data)

    async def send_file(self, file: int, offset: int, count: int) -> None:
        """Have the kernel send a part of an open file (W41). Raises `ClientDisconnected`."""
        self.transport.set_write_buffer_limits(0)
        try:
            await self.drained()
        finally:
            if not self.gone:
                self.transport.set_write_buffer_limits(HIGH_WATER)
        wire = self.wire or self.make_wire()
        while count:
            if wire is None:
                block = os.pread(file, min(count, HIGH_WATER), offset)
                self.write(block)
                await self.drained()
                sent = len(block)
            else:
                sent = wire.send_file(file, offset, min(count, FILE_BLOCK))
                if not sent:
                    await self._writable(wire)
            if not sent and (wire is None or not os.pread(file, 1, offset)):
                raise OSError(f"the file ended {count} bytes before its time")
            offset += sent
            count -= sent

    async def _writable(self, wire: Wire) -> None:
        loop = self.state.loop
        room = self._room = asyncio.Event()
        loop.add_writer(wire.fileno(), room.set)
        try:
            await room.wait()
        finally:
            loop.remove_writer(wire.fileno())
        if self.gone:
            raise ClientDisconnected("the client is gone")

    # --------------------------------------------------------- back-pressure

    def pause_writing(self) -> None:
        """asyncio: the write buffer is full."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """asyncio: the write buffer has room again."""
        self.write_paused = False
        if self._room is not None:
            self._room.set()
        if self.exchange is not None:
            self.exchange.room()

    async def drained(self) -> None:
        """Wait until there is room to write. Raises `ClientDisconnected`."""
        while self.write_paused and not self.gone:
            if self._room is None:
                self._room = asyncio.Event()
            self._room.clear()
            await self._room.wait()
        if self.gone:
            raise ClientDisconnected("the client is gone")

    # --------------------------------------------------------- time

    def sweep(self, now: float) -> None:
        """Enforce the time limits (S2); called once a second."""
        config = self.state.config
        if self._close_at:
            if now >= self._close_at:
                self._abort()
            return
        self._sweep_write(now, config.timeout_write)
        exchange = self.exchange
        if exchange is None:
            if self._head_since:
                if config.timeout_header and now - self._head_since > config.timeout_header:
                    self._head_since = 0.0
                    self._refuse(
                        RequestError(
                            f"the request head was not whole after {config.timeout_header} s; "
                            "raise --timeout-header to allow more",
                            408,
                        )
                    )
            elif now - self.since > config.timeout_keep_alive and not self.transport.is_closing():
                # A request may have come that the loop has not read yet: look once more first.
                self.state.loop.call_later(_LAST_LOOK, self._expire, self.since)
            return
        if exchange.over:
            self.settle(exchange)
            return
        if self._eof_since and now - self._eof_since > HALF_CLOSE_GRACE:
            self.half_closed = True
            exchange.wake()
        if not exchange.complete and not self._reading_paused:
            self._sweep_body(exchange, now)

    def _expire(self, since: float) -> None:
        """Close after the keep-alive time, unless a request came after all."""
        if since == self.since and self.exchange is None and not self._buffer and not self._deaf:
            self._close(lingering=False)

    def _sweep_body(self, exchange: Exchange, now: float) -> None:
        config = self.state.config
        taken = now - self._body_since
        if (
            config.timeout_body
            and taken > config.timeout_body
            and exchange.body_size < config.limit_body_pace * (taken - config.timeout_body + 1)
        ):
            self._spoiled(
                exchange,
                RequestError(
                    f"read {exchange.body_size} bytes of body in {taken:.0f} s; lower "
                    "--limit-body-pace to allow that",
                    408,
                ),
            )

    def _sweep_write(self, now: float, limit: float) -> None:
        size = self.transport.get_write_buffer_size()
        if not size or size < self._stalled_size or not self._stalled_since:
            self._stalled_since = now
        elif limit and now - self._stalled_since > limit:
            logger.debug("%s takes nothing for %s s: cut", self.client, limit)
            self._abort()
        self._stalled_size = size

    def retire(self, *, at_once: bool) -> None:
        """Close where idle; else after the response in flight, or at once."""
        exchange = self.exchange
        if at_once:
            self._abort()
        elif exchange is None:
            if not self._buffer and not self._close_at:
                self._close(lingering=False)
        else:
            self.wants_end = True
            if exchange.over:
                self.settle(exchange)
                self.retire(at_once=False)


class _Drain(Exchange):
    """Stands where an exchange stood while the rest of its body is thrown away."""

    def __init__(self, connection: HttpProtocol, exchange: Exchange) -> None:
        super().__init__(connection, exchange.head)
        self.complete = False
        self._protocol = connection

    def feed(self, data: bytes) -> bool:
        self.body_size += len(data)
        if self.body_size > DRAIN_LIMIT:
            self._protocol.drained_body(False)
        return True

    def end_body(self) -> None:
        self.complete = True
        self._protocol.drained_body(True)

    def spoil(self, error: RequestError) -> None:
        self._protocol.drained_body(False)

    input_ended = disconnected = Exchange.wake
