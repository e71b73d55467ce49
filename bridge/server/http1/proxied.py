"""Connections that begin with a PROXY protocol header: who the client is comes first (S30).

On a plain connection the header is simply the first thing that arrives. Under TLS it comes in the
clear, before the handshake, where no TLS transport would look for it: see `transport/acceptor.py`.

Only the proxies that the operator names may send one: it says who the client is, and nothing in it
can be checked. A header from others, one that is malformed, or one that does not come within the
header timeout, ends the connection without an answer, as the PROXY protocol wants it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.errors import RequestError
from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.timeouts import CLOSING, IDLE, PROXY_HEADER
from bridge.server.logs.refusals import PROXY_HEADER as REFUSED
from bridge.server.proxy.proxy_protocol import ProxyHeader, not_allowed


class ProxiedConnection(Http1Connection):
    """An `Http1Connection` whose first bytes say from which client the rest comes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._header = ProxyHeader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self.phase = PROXY_HEADER
        self.phase_since = self.state.clock()
        super().connection_made(transport)
        identity = self.identity
        if self.phase == PROXY_HEADER and not self.state.proxies.senders.allows(
            identity.client, identity.is_unix
        ):
            _cut(self, not_allowed(), b"")

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came; the header's first."""
        if self.phase != PROXY_HEADER:
            super().data_received(data)
            return
        try:
            header = self._header.feed(data)
        except RequestError as error:
            _cut(self, error, data)
            return
        if header is not None:
            self.phase = IDLE
            self.phase_since = self.state.now
            self.identity.set_addresses(header.client, header.server)
            if header.rest:
                super().data_received(header.rest)


def _cut(connection: Http1Connection, error: RequestError, begin: bytes) -> None:
    """End a connection whose header is wrong, without an answer."""
    connection.state.refusals.note(connection.identity.client, error, begin, REFUSED)
    connection.phase = CLOSING
    connection.output.transport.abort()
