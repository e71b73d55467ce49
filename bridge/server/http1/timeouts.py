"""The time limits of a connection (S2): what the server checks once a second.

Nothing is scheduled for each request. A connection notes when its phase began, and once a second
each is compared with the limits of its phase:

    phase             limit                                 what happens
    PROXY_HEADER      timeout_header                        the connection is cut
    IDLE              timeout_keep_alive                    it is closed
    HEAD              timeout_header                        408
    BODY              timeout_body_idle, timeout_body       408; cut, if the response has begun
    DISCARDING        the same                              it is closed
    BODY, ANSWERING   HALF_CLOSE_GRACE after the client's   the app is told that the client has
                      FIN, if it takes nothing either       left

What a client takes too slowly, and a close that takes too long, is the `Output`'s to end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from bridge.errors import RequestError, peer_name
from bridge.log import logger
from bridge.server.exchange import DONE, Exchange
from bridge.server.http1.incoming_body import IncomingBody
from bridge.server.http1.phases import ANSWERING, BODY, DISCARDING, HEAD, IDLE, PROXY_HEADER
from bridge.server.http1.reader import Reader
from bridge.server.logs import refusals
from bridge.server.state import ServerState
from bridge.server.transport.output import Output
from bridge.server.transport.unread_end import FINISHED, GONE, unread_end

#: Seconds after a half-close until the app is told that the client has left.
HALF_CLOSE_GRACE: Final = 2.0
#: Seconds after which an idle connection gives back its second descriptor.
_FORGET: Final = 5.0


class InputEnd:
    """The client sends no more; but it may still read (half-close)."""

    __slots__ = ("_sent", "received", "since")

    def __init__(self, now: float, *, received: bool) -> None:
        #: When that was seen, or when it last took something of the response.
        self.since = now
        #: Its FIN was received, behind all that it had sent; else it is behind unread bytes.
        self.received = received
        self._sent = 0

    def has_left(self, now: float, sent: int) -> bool:
        """Whether the client takes nothing either; `sent`: bytes of the response so far.

        FIN alone does not tell a client that reads on from one that is gone; but one that is gone
        answers what is sent with RST, and then the connection is lost anyway.
        """
        if sent != self._sent:
            self._sent, self.since = sent, now
            return False
        return now - self.since > HALF_CLOSE_GRACE


class Timed(Protocol):
    """What is looked at of a connection, and done about it."""

    state: ServerState
    output: Output
    reader: Reader
    exchange: Exchange | None
    body: IncomingBody | None
    input_end: InputEnd | None
    phase: int
    phase_since: float
    reading_paused: bool
    client_left: bool

    @property
    def client(self) -> tuple[str, int] | None:
        """The address of the client."""

    def on_fault(self, error: RequestError, begin: bytes) -> None:
        """Refuse what comes in."""

    def close(self, *, lingering: bool) -> None:
        """Close when everything has been written."""

    def settle(self, exchange: Exchange) -> None:
        """Go on after an exchange that a thread has ended."""


def check(connection: Timed, now: float) -> None:
    """Enforce the limits of time; `now` is in seconds of the server's clock."""
    exchange = connection.exchange
    written = exchange and (id(exchange), exchange.sent)
    too_slow = connection.output.check_timeouts(now, written)
    if too_slow:
        logger.warning("cut %s: %s", response_name(connection), too_slow)
    elif not connection.output.transport.is_closing():
        check_phase = _CHECKS.get(connection.phase)
        if check_phase is not None:
            check_phase(connection, now)


def response_name(connection: Timed) -> str:
    """Which response is written now, and to which client, for the log."""
    client, exchange = peer_name(connection.client), connection.exchange
    if exchange is not None:
        return f"the response to {exchange.head.shown} for {client}"
    if connection.body is not None:
        return f"the response to {connection.body.request.shown} for {client}"
    return f"a response to {client}"


# ------------------------------------------------------------- what each phase is checked for


def _check_proxy_header(connection: Timed, now: float) -> None:
    limit = connection.state.config.timeout_header
    if limit and now - connection.phase_since > limit:
        connection.state.refusals.note(
            connection.client, "no PROXY header came", what=refusals.PROXY_HEADER
        )
        connection.output.transport.abort()


def _check_idle(connection: Timed, now: float) -> None:
    idle, output = now - connection.phase_since, connection.output
    if idle > connection.state.config.timeout_keep_alive:
        connection.close(lingering=False)
    elif output.writer is not None and idle > _FORGET:
        output.release_writer()


def _check_head(connection: Timed, now: float) -> None:
    limit = connection.state.config.timeout_header
    if limit and now - connection.phase_since > limit:
        error = RequestError(
            f"the request head was not whole after {limit} s; raise --timeout-header to allow more",
            408,
        )
        connection.on_fault(error, bytes(connection.reader.buffer[:80]))


def _check_body(connection: Timed, now: float) -> None:
    exchange = connection.exchange
    if exchange is not None and _is_over(connection, exchange, now):
        return
    body = connection.body
    if body is None or connection.reading_paused:
        return
    if exchange is not None and exchange.body.awaits_continue:
        body.begin(now)  # the client waits for our 100 Continue
    error = body.check(now, connection.state.config)
    if error is not None:
        connection.on_fault(error, b"")


def _check_answer(connection: Timed, now: float) -> None:
    exchange = connection.exchange
    if exchange is not None:
        _is_over(connection, exchange, now)


def _is_over(connection: Timed, exchange: Exchange, now: float) -> bool:
    """Whether the exchange has ended in its thread; if not, see whether its client has left."""
    if exchange.response_state >= DONE:
        connection.settle(exchange)
        return True
    end = connection.input_end
    if connection.reading_paused and (end is None or not end.received):
        end = _unread_end(connection, exchange, now)
    if end is not None and end.has_left(now, exchange.sent) and not connection.client_left:
        connection.client_left = True
        exchange.disconnected()
    return False


def _unread_end(connection: Timed, exchange: Exchange, now: float) -> InputEnd | None:
    """See whether the client has left behind what is not read.

    One that has only stopped sending in the middle of a body may have sent all of it.
    """
    end = unread_end(connection.output.transport)
    if end == GONE or exchange.head.websocket:  # this much before the answer: RFC 6455 §4.1
        connection.output.abort()
    elif end == FINISHED and connection.phase == ANSWERING and connection.input_end is None:
        connection.input_end = InputEnd(now, received=False)
    return connection.input_end


_CHECKS: Final[dict[int, Callable[[Timed, float], None]]] = {
    PROXY_HEADER: _check_proxy_header,
    IDLE: _check_idle,
    HEAD: _check_head,
    BODY: _check_body,
    DISCARDING: _check_body,
    ANSWERING: _check_answer,
}
