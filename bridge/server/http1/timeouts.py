"""The phases of a connection, and its limits of time (S2), which are checked once a second.

    IDLE -> HEAD -> BODY -> ANSWERING -> IDLE        a request with a body, and its response
    BODY -> DISCARDING -> IDLE                       answered before the body was whole
    ANSWERING -> LEAVING -> IDLE                     the client takes its response slowly
    any -> CLOSING -> CLOSED                         the last bytes leave
    ANSWERING -> HANDED_OVER                         a WebSocket has the transport now

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

from bridge.errors import RequestError
from bridge.log import logger
from bridge.server.exchange import DONE, Exchange
from bridge.server.http1.faults import response_name
from bridge.server.http1.input import Input, InputEnd
from bridge.server.http1.reader import Reader
from bridge.server.logs import refusals
from bridge.server.state import LATE, ServerState
from bridge.server.transport.identity import Identity
from bridge.server.transport.output import Output
from bridge.server.transport.unread_end import FINISHED, GONE, unread_end

# What comes in is read up to DISCARDING, and not after it. Small numbers, for they are compared
# whenever bytes come.
#: The header of a proxy comes in, before anything else.
PROXY_HEADER: Final = 0
#: Nothing has come of the next request.
IDLE: Final = 1
#: A head comes in, or waits to be read.
HEAD: Final = 2
#: The body of a request comes in; its app may run.
BODY: Final = 3
#: The rest of a body comes in that nobody reads: the response has left (W26).
DISCARDING: Final = 4
#: The request is whole, or has failed, and its response is not over; what comes now is kept.
ANSWERING: Final = 5
#: The response is over, and more of it waits for the client than may wait; what comes is kept.
LEAVING: Final = 6
#: What was written leaves, and what comes is thrown away.
CLOSING: Final = 7
#: The transport has another protocol.
HANDED_OVER: Final = 8
#: The transport is closed.
CLOSED: Final = 9

#: Seconds after which an idle connection gives back its second descriptor.
_FORGET: Final = 5.0


class Timed(Protocol):
    """What is looked at of a connection, and done about it."""

    state: ServerState
    output: Output
    reader: Reader
    exchange: Exchange | None
    input: Input
    identity: Identity
    phase: int
    phase_since: float
    client_left: bool

    def write(self, data: bytes, /) -> None:
        """Put bytes into the transport."""

    def on_fault(self, error: RequestError, begin: bytes) -> None:
        """Refuse what comes in."""

    def close(self, *, lingering: bool) -> None:
        """Close when everything has been written."""

    def end_from_thread(self, exchange: Exchange) -> None:
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


def is_idle(connection: Timed) -> bool:
    """Whether a connection has nothing to answer, and can be closed if the server stops."""
    phase = connection.phase
    if phase == HEAD:
        return connection.state.stop_phase >= LATE
    if phase == LEAVING:
        return not connection.reader.buffer
    return phase <= IDLE or phase == DISCARDING


# ------------------------------------------------------------- what each phase is checked for


def _check_proxy_header(connection: Timed, now: float) -> None:
    limit = connection.state.config.timeout_header
    if limit and now - connection.phase_since > limit:
        connection.state.refusals.note(
            connection.identity.client, "no PROXY header came", what=refusals.PROXY_HEADER
        )
        connection.output.transport.abort()


def _check_idle(connection: Timed, now: float) -> None:
    idle, output = now - connection.phase_since, connection.output
    if idle > connection.state.config.timeout_keep_alive:
        connection.close(lingering=False)
    elif idle > _FORGET:
        connection.reader.forget_head()
        if output.writer is not None:
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
    if _check_exchange(connection, now):
        return
    exchange, body = connection.exchange, connection.input.body
    if body is None or connection.input.paused:
        return
    if exchange is not None and exchange.body.awaits_continue:
        body.begin(now)  # the client waits for our 100 Continue
    error = body.check(now, connection.state.config)
    if error is not None:
        connection.on_fault(error, b"")


def _check_exchange(connection: Timed, now: float) -> bool:
    """Go on after an exchange that a thread has ended, and return True.

    If none has, see whether the client has left.
    """
    exchange = connection.exchange
    if exchange is None:
        return False
    if exchange.response_state >= DONE:
        connection.end_from_thread(exchange)
        return True
    end = connection.input.end
    if connection.input.paused and (end is None or not end.received):
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
    if end == GONE or exchange.request.websocket:  # this much before the answer: RFC 6455 §4.1
        connection.output.abort()
    elif end == FINISHED and connection.phase == ANSWERING and connection.input.end is None:
        connection.input.note_end(received=False)
    return connection.input.end


_CHECKS: Final[dict[int, Callable[[Timed, float], object]]] = {
    PROXY_HEADER: _check_proxy_header,
    IDLE: _check_idle,
    HEAD: _check_head,
    BODY: _check_body,
    DISCARDING: _check_body,
    ANSWERING: _check_exchange,
}
