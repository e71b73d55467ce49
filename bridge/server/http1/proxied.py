"""Connections that begin with a PROXY protocol header: who the client is comes first (S30).

On a plain connection the header is simply the first thing that arrives. Under TLS it comes in the
clear, before the handshake, where no TLS transport would look for it: see `transport/acceptor.py`.

Only the proxies that the operator names may send one: it says who the client is, and nothing in it
can be checked. A header from others, one that is malformed, or one that does not come within the
header timeout, ends the connection without an answer, as the PROXY protocol wants it.
"""

from __future__ import annotations

import asyncio

from bridge.errors import RequestError
from bridge.server.http1.connection import HttpProtocol
from bridge.server.http1.phases import CLOSING, IDLE, PROXY_HEADER
from bridge.server.logs.refusals import PROXY_HEADER as REFUSED
from bridge.server.proxy.proxy_protocol import Proxied, ProxyHeader, not_allowed


class AnnouncedHttpProtocol(HttpProtocol):
    """An `HttpProtocol` of which a proxy has said between whom it is."""

    #: What the header said; None while it is not whole.
    said: Proxied | None = None

    def identify(self) -> None:
        """Who is at both ends, as the proxy has it."""
        super().identify()
        said = self.said
        if said is None:
            return
        if said.client is not None or said.server is not None:
            self.client, self.server = said.client, said.server
            self.settle_identity()
        # The proxy is not who sends what follows: a client that it does not name is nobody.
        self.trusted = self.state.forwarded.allows(said.client, False)


class ProxiedHttpProtocol(AnnouncedHttpProtocol):
    """An `HttpProtocol` whose first bytes say from whom the rest comes."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._header = ProxyHeader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self.phase = PROXY_HEADER
        self.phase_since = self.state.clock()
        super().connection_made(transport)
        if self.phase == PROXY_HEADER and not self.state.proxies.allows(self.client, self.is_unix):
            self._cut(not_allowed(), b"")

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came; the header's first."""
        if self.phase != PROXY_HEADER:
            super().data_received(data)
            return
        try:
            self.said = said = self._header.feed(data)
        except RequestError as error:
            self._cut(error, data)
            return
        if said is not None:
            self.phase = IDLE
            self.phase_since = self.state.now
            self.identify()
            if said.rest:
                super().data_received(said.rest)

    def _cut(self, error: RequestError, begin: bytes) -> None:
        self.state.refusals.note(self.client, error, begin, REFUSED)
        self.phase = CLOSING
        self.output.transport.abort()
