"""One HTTP/1.1 connection: from bytes in to exchanges, one at a time.

The story of a connection is a loop over messages (`timeouts.py`): its `Reader` finds a head, a
handler opens an exchange for it, the exchange gets the body, answers, and is over. Only then, and
when the client has taken enough of the answer, is the next head looked at; what a pipelining client
sent meanwhile waits as bytes, bounded by pausing the transport (S1). So a message is never parsed
before the one before it is answered, and nothing is parsed after an error (S3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.errors import BridgeError, RequestError, peer_name
from bridge.limits import HIGH_WATER
from bridge.log import logger
from bridge.server.exchange import DONE, Exchange, Handler, Responder, max_body_size, skip_fast_path
from bridge.server.http1 import faults, response, timeouts
from bridge.server.http1.input import Input, too_large
from bridge.server.http1.parser import HeadParser
from bridge.server.http1.reader import Reader
from bridge.server.http1.timeouts import (
    ANSWERING,
    BODY,
    CLOSED,
    CLOSING,
    DISCARDING,
    HANDED_OVER,
    HEAD,
    IDLE,
    LEAVING,
)
from bridge.server.proxy.proxy_protocol import Proxied
from bridge.server.request import Request
from bridge.server.state import DRAIN_LIMIT, ServerState
from bridge.server.transport.identity import Identity
from bridge.server.transport.output import Output


class Http1Connection(asyncio.Protocol):
    """One HTTP/1.1 connection."""

    #: The transport's own method: one look-up, for it is called on every request.
    write: Callable[[bytes], None]
    #: How responses are written.
    responder: Responder = response
    #: Who is at both ends.
    identity: Identity
    #: What a PROXY header before the connection's first byte has said.
    proxy_header: Proxied | None = None

    def __init__(
        self, state: ServerState, parser: HeadParser, handler: Handler, websocket: Handler
    ) -> None:
        # Attributes that every request looks at have no default in the class (see `Exchange`).
        self.state = state
        self.output = Output(state)
        self.input = Input(state, self.output)
        self.reader = Reader(parser, self)
        self.handler = handler
        self._websocket = websocket
        #: Of `timeouts.py`, and when it began, by the server's clock.
        self.phase = IDLE
        self.phase_since = state.now
        #: The request that is answered now.
        self.exchange: Exchange | None = None
        #: The client is gone, or sends no more, and takes nothing either.
        self.client_left = False
        #: A thread that ends the running exchange has to wake the loop for it.
        self.notify_on_end = False
        #: The connection closes as soon as nothing is in flight: the server stops.
        self.shutting_down = False

    # --------------------------------------------------------- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        transport = self.output.open(transport)
        self.write = transport.write
        self.state.connections.add(self)
        self.identity = Identity(transport, self.state)
        if self.identity.is_anonymous:
            self.client_left = True
            self.phase = CLOSING
            transport.abort()
            return
        if self.proxy_header is not None:
            self.identity.set_addresses(self.proxy_header.client, self.proxy_header.server)
        limit = self.state.config.limit_connections
        if limit and len(self.state.connections) > limit:
            self._refuse(faults.too_many_connections(limit), b"")

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection is closed."""
        self.client_left = True
        self.phase = CLOSED
        self.reader.stop()
        self.identity.forget_environ()
        self.output.lost()
        self.state.connections.discard(self)
        exchange = self.exchange
        if exchange is not None:
            self.notify_on_end = True
            exchange.disconnected()
            exchange.on_writable()
            if exchange.response_state == DONE:
                self.end_from_thread(exchange)

    def eof_received(self) -> bool:
        """asyncio: the client sends no more; it may still read (half-close)."""
        self.input.note_end(received=True)
        self.notify_on_end = True
        if self.exchange is not None and self.exchange.response_state >= DONE:
            self.end_from_thread(self.exchange)
        if self.phase == DISCARDING:
            self.close(lingering=False)
        self.resume()
        self._note_cut_body()
        return (self.exchange is not None or len(self.reader.buffer) > 0) and not self.output.tls

    def _note_cut_body(self) -> None:
        """See whether FIN has come in the middle of a body; also one that was read only now."""
        if self.phase == BODY and self.exchange is not None and self.input.end is not None:
            self.client_left = True
            self.exchange.input_ended()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        exchange = self.exchange
        if exchange is not None and exchange.response_state >= DONE:
            self.end_from_thread(exchange)
        reader = self.reader
        if self.phase == IDLE:
            reader.feed(data)
            if reader.buffer:
                self._note_phase()
        elif self.phase < ANSWERING:
            reader.feed(data)
            self._note_phase()
        elif self.phase <= LEAVING:
            reader.keep(data)
            self._note_phase()

    def pause_writing(self) -> None:
        """asyncio: the write buffer is full."""
        self.output.pause()

    def resume_writing(self) -> None:
        """asyncio: the write buffer has room again."""
        self.output.resume()
        if self.exchange is not None:
            self.exchange.on_writable()
        elif self.phase == LEAVING:
            self._become_idle()

    def resume(self) -> None:
        """Read on in what was kept, if nothing is being answered."""
        self.input.resume()
        if self.phase < ANSWERING and self.exchange is None:
            self.notify_on_end = self.input.end is not None
            found = self.reader.resume()
            self._note_phase()
            end = self.input.end
            if end is not None and (
                (not found and IDLE <= self.phase <= HEAD)
                or (end.received and self.phase == DISCARDING)
            ):
                self.close(lingering=False)  # all that came whole before FIN has been answered

    def _resume_soon(self) -> None:
        if self.output.paused and self.phase == IDLE:
            self.phase = LEAVING  # until there is room: the responses to one client do not pile up
            return
        self._note_phase()
        # In a context of its own: this one can be that of the app that has just answered.
        self.state.loop.call_soon(self.resume, context=self.state.context)

    def _note_phase(self) -> None:
        """See what has come behind what was read: part of a head, or a pipelined request."""
        if ANSWERING <= self.phase <= LEAVING and self.reader.buffer:
            self.notify_on_end = True  # a thread has to say so: look only then if it has ended
            exchange = self.exchange
            if exchange is not None and exchange.response_state >= DONE:
                self.end_from_thread(exchange)
            elif self.reader.holds_enough(self.state.config.limit_pipeline, HIGH_WATER):
                self.input.pause()
        elif self.phase == IDLE:
            if self.reader.buffer:
                self.phase = HEAD
                self.phase_since = self.state.clock()
        elif self.phase == HEAD and not self.reader.buffer:
            self.phase = IDLE  # the CR that began it was a blank line's

    def _become_idle(self) -> None:
        self.input.end_body()
        self.phase = IDLE
        self.phase_since = self.state.now
        if self.reader.buffer or self.notify_on_end or self.output.paused:
            self._resume_soon()

    # --------------------------------------------------------- the reader's side

    def on_request(self, request: Request, head: bytes) -> None:
        """Reader: a request came; begin its exchange."""
        state, handler = self.state, self.handler
        try:
            if not request.fast:
                if request.websocket:
                    handler = self._websocket
                if request.forwarded and self.identity.trusted:
                    self.identity.resolve(request)
            exchange = handler.open(self, request)
            if state.limit_requests and exchange.COUNTED:
                state.count(exchange)
        except BridgeError as error:
            self._refuse(error, head)
            return
        except Exception:
            logger.exception("a request from %s found no handler", peer_name(self.identity.client))
            self._refuse(BridgeError("no handler"), head)
            return
        self.exchange = exchange
        self.phase = ANSWERING
        if request.length:
            self._expect_body(exchange, request)
        else:
            exchange.start_app()

    def _expect_body(self, exchange: Exchange, request: Request) -> None:
        """Give the exchange what has come of its body, and have it answer."""
        limit = max_body_size(exchange)
        body = self.reader.take_body(limit)
        if body is not None:
            exchange.expect_body(limit, body)
            exchange.start_app()
            return
        exchange.expect_body(limit)
        self.phase = BODY
        self.input.expect_body(request, limit)
        if limit and request.length > limit:
            error = too_large(request.length, limit)
            faults.note_bad_body(self, request, error)
            exchange.refuse(error)
            return
        self.reader.resume()
        is_open = self.phase in (BODY, ANSWERING) and exchange.response_state < DONE
        if self.exchange is exchange and is_open:
            exchange.start_app()
            self._note_cut_body()

    def on_body(self, data: bytes, last: bool) -> None:
        """Reader: a piece of the body came."""
        exchange, body = self.exchange, self.input.body
        assert body is not None
        try:
            body.take(data)
        except RequestError as error:
            if self.phase == DISCARDING:
                self.close(lingering=True)
            else:
                self.on_fault(error, b"")
            return
        if exchange is not None and data:
            has_room = exchange.feed(data)
            if not (has_room or last or exchange.response_state >= DONE):
                self.input.pause()  # an app that reads, or its answer, ends the pause
        if last:
            self.input.resume()  # an app that does not read a whole body would never do so
            if self.phase == DISCARDING:  # perhaps only now: it answered at this very piece
                self._become_idle()
            elif self.phase == BODY and self.exchange is not None:
                self.phase = ANSWERING
                self.input.end_body()
                self.exchange.end_body()

    def on_fault(self, error: RequestError, begin: bytes) -> None:
        """Reader: the bytes break a rule; or they come too slowly."""
        exchange, body = self.exchange, self.input.body
        if body is None:
            self._refuse(error, begin)
            return
        faults.note_bad_body(self, body.request, error)
        if exchange is None:
            self.close(lingering=True)
        else:
            self.reader.stop()
            self.phase = ANSWERING  # the body never becomes whole
            exchange.disable_keep_alive()
            exchange.end_body(error)

    # --------------------------------------------------------- the exchange's side

    send_whole = response.send_whole

    def exchange_done(self, exchange: Exchange) -> None:
        """The response of the running exchange has been written: go on after it."""
        state = self.state
        state.served += 1
        if state.limit_requests:
            state.active.discard(exchange)
        if exchange is not self.exchange:
            return
        if not exchange.keep_alive_fast and (
            not exchange.keep_alive or self.shutting_down or self.phase == BODY
        ):
            self._finish_slow(exchange)
            return
        self.exchange = None
        if self.phase == ANSWERING:
            self.phase = IDLE
            self.phase_since = state.now
            if self.reader.buffer or self.notify_on_end or self.output.paused:
                self._resume_soon()

    def _finish_slow(self, exchange: Exchange) -> None:
        """Close, throw the rest of the body away, or go on."""
        is_partial, more_waits = self.input.body is not None, len(self.reader.buffer) > 0
        closes = not exchange.keep_alive or self.output.closed
        self.exchange = None
        if closes or (self.shutting_down and (is_partial or not more_waits)):
            self.close(lingering=is_partial or more_waits)
        elif is_partial:
            self.phase = DISCARDING
            self.input.expect_body(exchange.request, DRAIN_LIMIT)
            self.input.resume()
            if more_waits or self.notify_on_end:
                self._resume_soon()
        else:  # a pipelined request is answered, even if the server stops meanwhile
            self._become_idle()

    def end_from_thread(self, exchange: Exchange) -> None:
        """Go on after an exchange that a thread has ended; harmless if that was done."""
        if exchange is self.exchange:
            self.notify_on_end = self.input.end is not None
            self.exchange_done(exchange)

    def abort_response(self) -> None:
        """End the connection so that the client can tell that its response is not whole."""
        exchange, self.exchange = self.exchange, None
        assert exchange is not None
        self.reader.stop()
        self.state.active.discard(exchange)
        if self.output.closed:
            return
        self.phase = CLOSING
        if response.ends_with_connection(exchange):
            self.output.reset()
        else:
            self.output.break_off()

    def detach(self, protocol: asyncio.Protocol) -> bytes:
        """Leave the transport to another protocol (RFC 9110 §7.8); returns the bytes for it."""
        assert self.exchange is not None
        self.state.active.discard(self.exchange)
        self.exchange = None
        self.identity.forget_environ()
        self.phase = HANDED_OVER
        early = self.reader.stop()
        self.state.connections.discard(self)
        self.input.resume()
        self.output.transport.set_protocol(protocol)
        if self.input.end is not None:
            self.output.transport.close()
        return early

    def _refuse(self, error: BridgeError, begin: bytes) -> None:
        """Answer a request that has no exchange, and close (S6). `begin` is how it began."""
        faults.write_refusal(self, error, begin)
        self.close(lingering=True)

    def close(self, *, lingering: bool) -> None:
        """Close when everything has been written; nothing more is read."""
        self.reader.stop()
        self.input.end_body()
        self.phase = max(self.phase, CLOSING)
        if lingering:
            self.input.resume()
        self.output.close(lingering=lingering and self.input.end is None)

    # --------------------------------------------------------- the server's side

    def check_timeouts(self, now: float) -> None:
        """Enforce the time limits (S2); called once a second."""
        timeouts.check(self, now)

    def shutdown(self, *, at_once: bool) -> None:
        """Close if idle; else after the response in flight, or at once."""
        exchange = self.exchange
        self.shutting_down = True
        if at_once:
            self.output.abort()
        elif exchange is not None:
            self.notify_on_end = True
            skip_fast_path(exchange)
            if exchange.response_state >= DONE:
                self.end_from_thread(exchange)
        elif timeouts.is_idle(self):
            self.close(lingering=self.phase == DISCARDING)
