"""The time limits of a connection (S2): what the server looks at once a second.

Nothing is scheduled for each request. A connection notes when its present phase began, and a
sweep over all connections compares.
"""

from __future__ import annotations

import asyncio

from bridge.errors import BridgeError, RequestError, peer_name
from bridge.log import logger
from bridge.server.exchange import DONE, Exchange
from bridge.server.request_body import PARTIAL, WHOLE
from bridge.server.state import ServerState
from bridge.server.transport.output import Output
from bridge.server.transport.unread_end import FINISHED, GONE, unread_end

#: Seconds after a half-close until the app is told that the client has left.
HALF_CLOSE_GRACE = 2.0
#: Seconds after which an idle connection gives back its second descriptor.
_FORGET = 5.0


class Deadlines(asyncio.Protocol):
    """What of a connection is about time; `http.HttpProtocol` is the rest."""

    state: ServerState
    client: tuple[str, int] | None
    output: Output
    exchange: Exchange | None
    client_left: bool
    #: When the connection became idle.
    since: float
    #: When the head that is coming in began.
    _head_since = 0.0
    #: When the body's pace was last judged, or the body began, and what of it had come by then.
    _body_since = 0.0
    _body_counted = 0
    #: When something of the body came, as far as the sweep knows, and what had come by then.
    _body_heard = 0.0
    _body_seen = 0
    #: When the client stopped sending, and what had been sent to it at the last look.
    _eof_since: float
    _eof_sent = 0
    #: What came and was not looked at yet.
    _buffer: bytearray
    #: Nothing that comes in is looked at any more.
    _deaf: bool
    #: When it was seen to have stopped, behind bytes that are not read yet.
    _unread_eof_since = 0.0
    _reading_paused = False
    _paused_since = 0.0

    def settle(self, exchange: Exchange) -> None:
        """Go on after an exchange that is over."""
        raise NotImplementedError

    def _refuse(self, error: BridgeError, begin: bytes) -> None:
        raise NotImplementedError

    def _spoiled(self, exchange: Exchange, error: RequestError) -> None:
        raise NotImplementedError

    def _close(self, *, lingering: bool) -> None:
        raise NotImplementedError

    # --------------------------------------------------------- reading pauses

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self.output.closed:
            self._reading_paused = True
            self._paused_since = self.state.clock()
            self.output.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.output.closed:
            self._reading_paused = False
            # The client could not send meanwhile: that is not its pace, nor its silence.
            self._body_heard = self.state.clock()
            self._body_since += self._body_heard - self._paused_since
            self.state.context.copy().run(self.output.transport.resume_reading)

    # --------------------------------------------------------- once a second

    def name(self) -> str:
        """Which response is written now, and to whom, for the log."""
        exchange = self.exchange
        if exchange is None:
            return f"a response to {peer_name(self.client)}"
        return f"the response to {exchange.head.shown} for {peer_name(self.client)}"

    def sweep(self, now: float) -> None:
        """Enforce the time limits (S2); called once a second."""
        written = self.exchange and (id(self.exchange), self.exchange.sent)
        too_slow = self.output.check_timeouts(now, written)
        if too_slow:
            logger.warning("cut %s: %s", self.name(), too_slow)
        if self.output.end_at or self.output.transport.is_closing():
            return
        config = self.state.config
        exchange = self.exchange
        if exchange is None:
            if self._head_since:
                if config.timeout_header and now - self._head_since > config.timeout_header:
                    self._refuse(
                        RequestError(
                            f"the request head was not whole after {config.timeout_header} s; "
                            "raise --timeout-header to allow more",
                            408,
                        ),
                        bytes(self._buffer[:80]),
                    )
            elif now - self.since > config.timeout_keep_alive:
                self._close(lingering=False)
            elif self.output.writer is not None and now - self.since > _FORGET:
                self.output.release_writer()
            return
        if exchange.response_state >= DONE:
            self.settle(exchange)
            return
        if self._reading_paused and not self._eof_since:
            self._sweep_unread(exchange, now)
        if self._eof_since or self._unread_eof_since:
            self._sweep_half_closed(exchange, now)
        if exchange.body.state == PARTIAL and not self._reading_paused:
            self._sweep_body(exchange, now)

    def _sweep_unread(self, exchange: Exchange, now: float) -> None:
        """See whether the client has left behind what is not read.

        One that has only stopped sending in the middle of a body may have sent all of it.
        """
        end = unread_end(self.output.transport)
        if end == GONE or exchange.head.websocket:  # this much before the answer: RFC 6455 §4.1
            self.output.abort()
        elif end == FINISHED and exchange.body.state <= WHOLE and not self._unread_eof_since:
            self._unread_eof_since = now

    def _sweep_half_closed(self, exchange: Exchange, now: float) -> None:
        """Tell the app that the client has left, unless it still takes what is sent.

        FIN alone does not tell a client that reads on from one that is gone; but one that is gone
        answers what is sent with RST, and then the connection is lost anyway.
        """
        if exchange.sent != self._eof_sent:
            self._eof_sent = exchange.sent
            if self._eof_since:
                self._eof_since = now
            else:
                self._unread_eof_since = now
        elif (
            now - (self._eof_since or self._unread_eof_since) > HALF_CLOSE_GRACE
            and not self.client_left
        ):
            self.client_left = True
            exchange.disconnected()

    def _sweep_body(self, exchange: Exchange, now: float) -> None:
        config, size = self.state.config, exchange.body.size
        if exchange.body.awaits_continue:
            self._body_begins(now)  # it waits for us
        if size != self._body_seen:
            self._body_seen, self._body_heard = size, now
        silent, idle = now - self._body_heard, config.timeout_body_idle
        if idle and silent > idle:
            why = f"nothing of the body came for {silent:.0f} s; raise --timeout-body-idle"
            self._spoiled(exchange, RequestError(f"{why} to allow that", 408))
            return
        took, limit, came = now - self._body_since, config.timeout_body, size - self._body_counted
        if not limit or took <= limit:
            return
        if came < config.limit_body_pace * (took - limit + 1):
            why = f"read {came} bytes of body in {took:.0f} s; lower --limit-body-pace"
            self._spoiled(exchange, RequestError(f"{why} to allow that", 408))
        elif took > 2 * limit:
            # Who has sent much does not earn a long silence with it.
            self._body_since, self._body_counted = now, size

    def _body_begins(self, now: float) -> None:
        """A body is awaited from now on."""
        self._body_since = self._body_heard = now
        self._body_seen = self._body_counted = 0
