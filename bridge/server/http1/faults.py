"""What is said of requests that break a rule: to the client, and in the log (S6)."""

from __future__ import annotations

from typing import Protocol

from bridge.errors import BridgeError, Overloaded, RequestError, peer_name
from bridge.http.error_response import encode_error
from bridge.log import logger
from bridge.server.exchange import UNSENT, Exchange
from bridge.server.http1.input import Input
from bridge.server.request import Request
from bridge.server.state import ServerState
from bridge.server.transport.identity import Identity


class Faulty(Protocol):
    """What is told of a connection."""

    state: ServerState
    identity: Identity
    input: Input
    exchange: Exchange | None

    def write(self, data: bytes, /) -> None:
        """Put bytes into the transport."""


def too_many_connections(limit: int) -> Overloaded:
    """Make the error for a connection more than there may be (S2)."""
    return Overloaded(
        f"{limit} connections are open, which is the limit; raise --limit-connections to allow more"
    )


def write_refusal(connection: Faulty, error: BridgeError, begin: bytes) -> None:
    """Answer a request that has no exchange; `begin` is how it began."""
    state = connection.state
    state.refusals.note(connection.identity.client, error, begin)
    is_head = begin.startswith(b"HEAD ")
    connection.write(encode_error(error, state.default_fields.lines, is_head=is_head))


def note_bad_body(connection: Faulty, request: Request, error: RequestError) -> None:
    """Log that the body of a request breaks a rule; its response may have begun."""
    exchange = connection.exchange
    if exchange is None or exchange.response_state == UNSENT:
        connection.state.refusals.note(connection.identity.client, error, request.shown.encode())
    else:
        name = response_name(connection)
        logger.warning("cut %s after %d bytes: %s", name, exchange.sent, error)


def response_name(connection: Faulty) -> str:
    """Which response is written now, and to which client, for the log."""
    client, exchange = peer_name(connection.identity.client), connection.exchange
    if exchange is not None:
        return f"the response to {exchange.request.shown} for {client}"
    if connection.input.body is not None:
        return f"the response to {connection.input.body.request.shown} for {client}"
    return f"a response to {client}"
