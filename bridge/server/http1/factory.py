"""What makes the connections of one server."""

from __future__ import annotations

from collections.abc import Callable

from bridge.server.exchange import Handler
from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.parser import HeadParser
from bridge.server.state import ServerState


def connection_factory(
    state: ServerState,
    handler: Handler,
    websocket: Handler,
    kind: type[Http1Connection] = Http1Connection,
) -> Callable[[], Http1Connection]:
    """Give what makes the connections of one server; they share one parser of heads."""
    config = state.config
    parser = HeadParser(
        config.limit_request_line,
        config.limit_header_size,
        config.limit_header_count,
        config.limit_header_field_size,
    )
    return lambda: kind(state, parser, handler, websocket)
