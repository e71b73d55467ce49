"""A connection that begins with a PROXY protocol header: who the client is comes first (S30)."""

from __future__ import annotations

import asyncio
import logging

from bridge.errors import RequestError
from bridge.server.http import HttpProtocol
from bridge.server.proxy_protocol import ProxyHeader

logger = logging.getLogger("bridge.error")


class ProxiedHttpProtocol(HttpProtocol):
    """An `HttpProtocol` whose first bytes say from whom the rest comes.

    A header that is malformed, or does not come within the header timeout, ends the connection
    without an answer, as the PROXY protocol wants it.
    """

    _header: ProxyHeader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self._header = ProxyHeader()
        self._head_since = self.state.loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came; the header's first."""
        header = self._header
        if header is None:
            super().data_received(data)
            return
        try:
            said = header.feed(data)
        except RequestError as error:
            logger.debug("closed a connection from %s: %s", self.client, error)
            self.transport.abort()
            return
        if said is None:
            return
        self._header = None
        self._head_since = 0.0
        if said.client is not None or said.server is not None:
            self.client, self.server = said.client, said.server
        self.trusted = self.state.forwarded.trusts(self.client[0] if self.client else None)
        if said.rest:
            super().data_received(said.rest)

    def sweep(self, now: float) -> None:
        """Enforce the time limits."""
        limit = self.state.config.timeout_header
        if self._header is None:
            super().sweep(now)
        elif limit and now - self._head_since > limit:
            logger.debug("closed a connection from %s: no PROXY header came", self.client)
            self.transport.abort()
