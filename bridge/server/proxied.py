"""Connections that begin with a PROXY protocol header: who the client is comes first (S30).

On a plain connection the header is simply the first thing that arrives. Under TLS it comes in the
clear, before the handshake, where no TLS transport would look for it: `AcceptBeforeTls` reads it
from the bare socket, to its last byte and not one further, and only then has TLS begin.

Only the proxies that the operator names may send one: it says who the client is, and nothing in it
can be checked. A header from others, one that is malformed, or one that does not come within the
header timeout, ends the connection without an answer, as the PROXY protocol wants it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from bridge.errors import RequestError
from bridge.server.http import HttpProtocol
from bridge.server.proxy_protocol import Proxied, ProxyHeader
from bridge.server.refusals import PROXY_HEADER
from bridge.server.tls import SHUTDOWN_TIMEOUT

logger = logging.getLogger("bridge.error")

#: Seconds to wait before accepting goes on, where the process is out of descriptors or memory.
_PAUSE = 0.5


def not_allowed() -> RequestError:
    """The error for a PROXY header from who may not send one."""
    return RequestError("name the proxies in --proxy-protocol-allow-ips; this is none of them")


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
        self._head_since = self.state.clock()
        super().connection_made(transport)
        if not self.gone and not self.state.proxies.allows(self.client, self.is_unix):
            self.state.refusals.note(self.client, not_allowed(), what=PROXY_HEADER)
            self._deaf = True
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came; the header's first."""
        if self.said is not None or self._deaf:
            super().data_received(data)
            return
        try:
            self.said = said = self._header.feed(data)
        except RequestError as error:
            self.state.refusals.note(self.client, error, data, PROXY_HEADER)
            self.transport.abort()
            return
        if said is not None:
            self._head_since = 0.0
            self.identify()
            if said.rest:
                super().data_received(said.rest)

    def sweep(self, now: float) -> None:
        """Enforce the time limits."""
        limit = self.state.config.timeout_header
        if self.said is not None:
            super().sweep(now)
        elif limit and now - self._head_since > limit:
            self.state.refusals.note(self.client, "no PROXY header came", what=PROXY_HEADER)
            self.transport.abort()


class AcceptBeforeTls:
    """Accepts at `sock`, reads each connection's PROXY header, and begins TLS behind it.

    `make` gives the protocol of a new connection; `timeout` is seconds for the header, and for the
    handshake again. 0: any.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[], AnnouncedHttpProtocol],
        context: ssl.SSLContext,
        timeout: float,
    ) -> None:
        self._socket = sock
        self._make = make
        self._context = context
        self._timeout = timeout or None
        self._loop = asyncio.get_running_loop()
        self._tasks = {self._loop.create_task(self._accept())}

    def close(self) -> None:
        """Accept no more, and drop what has not begun."""
        for task in self._tasks:
            task.cancel()

    async def _accept(self) -> None:
        while True:
            try:
                sock, peer = await self._loop.sock_accept(self._socket)
            except ConnectionError:
                continue  # it left before it was accepted
            except OSError as error:
                logger.error("cannot accept connections: %s; going on in %s s", error, _PAUSE)
                await asyncio.sleep(_PAUSE)
                continue
            sock.setblocking(False)
            task = self._loop.create_task(self._begin(sock, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _begin(self, sock: socket.socket, peer: Any) -> None:
        protocol = self._make()
        is_unix = sock.family == socket.AF_UNIX
        client = None if is_unix else (str(peer[0]), int(peer[1]))
        try:
            if not protocol.state.proxies.allows(client, is_unix):
                raise not_allowed()
            async with asyncio.timeout(self._timeout):
                protocol.said = await self._header(sock)
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._timeout,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except (RequestError, OSError, TimeoutError) as error:
            protocol.state.refusals.note(client, repr(error), what=PROXY_HEADER)
            sock.close()
        except BaseException:
            sock.close()
            raise

    async def _header(self, sock: socket.socket) -> Proxied:
        header = ProxyHeader()
        while True:
            data = await self._loop.sock_recv(sock, header.missing)
            if not data:
                raise ConnectionResetError("the client left before its PROXY header was whole")
            said = header.feed(data)
            if said is not None:
                return said
