"""Accept connections that become TLS; read what comes in the clear, and log failures (S6, S31).

An event loop that accepts TLS connections by itself does not report a handshake that fails, and
cannot read what comes before it. So connections are accepted here, each in a task of its own:

    accept -> PROXY header, if the settings want one (S30) -> peek at the first bytes -> TLS

Connections without TLS yet are counted apart, with the limit of those that are open (S2). A server
that stops waits a short time for handshakes that have begun, and cuts the others (P2).

The header is read from the socket up to its last byte, and not further. The first bytes of TLS are
peeked at, and stay in the socket for the handshake. A client that speaks HTTP in the clear gets a
400.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from typing import Any, Final, Protocol, runtime_checkable

from bridge.errors import RequestError
from bridge.http.error_response import encode_error
from bridge.limits import READ_SIZE
from bridge.server.logs.refusals import HANDSHAKE, PLAIN_ON_TLS, PROXY_HEADER
from bridge.server.network.tls import SHUTDOWN_TIMEOUT
from bridge.server.proxy.proxy_protocol import Proxied, ProxyHeader, not_allowed
from bridge.server.state import ServerState
from bridge.server.transport.accepting import Acceptor, Make
from bridge.server.transport.fair_share import WorkerLoad
from bridge.server.transport.output import LINGER
from bridge.types import Address

#: The first byte of TLS: a record of the handshake (RFC 8446 §5.1).
_RECORD: Final = 22
#: How a request in the clear begins, and how many bytes are peeked at.
_REQUEST: Final = re.compile(rb"[A-Z]{1,20} ")
_LOOK: Final = 80


@runtime_checkable
class AfterProxyHeader(Protocol):
    """A protocol that is told the PROXY header that came before its first byte."""

    proxy_header: Proxied | None


class TlsListener(Acceptor):
    """Accept at `sock`, and start TLS on each connection.

    `make` returns the protocol of a new connection. If the settings want a PROXY header, it is read
    first, and set on the protocol if that is an `AfterProxyHeader`.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Make,
        context: ssl.SSLContext,
        state: ServerState,
        load: WorkerLoad,
    ) -> None:
        self._make = make
        self._context = context
        self._is_unix = sock.family == socket.AF_UNIX
        #: Seconds for what comes before TLS, and again as many for the handshake.
        self._timeout = state.config.timeout_header or None
        super().__init__(sock, state, load)

    def _take(self, sock: socket.socket, peer: Any) -> None:
        sock.setblocking(False)
        client = None if self._is_unix else (str(peer[0]), int(peer[1]))
        handshakes, limit = self._state.handshakes, self._state.config.limit_connections
        if limit and len(handshakes) >= limit:
            why = f"as many connections are without TLS yet as may be open: {limit}"
            self._state.refusals.note(client, why, what=HANDSHAKE)
            sock.close()
            return
        task = self._loop.create_task(self._begin(sock, client))
        handshakes[task] = False
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        """Forget a handshake: the connection is open, or closed."""
        del self._state.handshakes[task]
        self._state.connections.note_gone()

    # --------------------------------------------------------- one connection

    async def _begin(self, sock: socket.socket, client: Address | None) -> None:
        what, note = HANDSHAKE, self._state.refusals.note
        begin = b""
        try:
            protocol = self._make()
            async with asyncio.timeout(self._timeout):
                if self._state.config.proxy_protocol and isinstance(protocol, AfterProxyHeader):
                    what = PROXY_HEADER
                    protocol.proxy_header = await self._read_proxy_header(sock, client)
                    what = HANDSHAKE
                begin = await self._first_bytes(sock)
            if begin[:1] == bytes([_RECORD]):
                self._state.handshakes[asyncio.current_task()] = True  # type: ignore[index]
                await self._loop.connect_accepted_socket(
                    lambda: protocol,
                    sock,
                    ssl=self._context,
                    ssl_handshake_timeout=self._timeout,
                    ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
                )
                return
            if begin:
                await self._refuse(sock, client, begin)
        except (RequestError, OSError) as error:
            if begin or what == PROXY_HEADER:  # silence is a health check: not worth a line
                note(client, _why(error), begin, what)
        except BaseException:
            sock.close()
            raise
        sock.close()

    async def _read_proxy_header(self, sock: socket.socket, client: Address | None) -> Proxied:
        if not self._state.proxies.senders.allows(client, self._is_unix):
            raise not_allowed()
        header = ProxyHeader()
        while True:
            data = await self._loop.sock_recv(sock, header.missing)
            if not data:
                raise ConnectionResetError("the client left before its PROXY header was whole")
            proxy_header = header.feed(data)
            if proxy_header is not None:
                return proxy_header

    async def _first_bytes(self, sock: socket.socket) -> bytes:
        """Peek at the first bytes, which stay in the socket; empty if the client sends none."""
        while True:
            try:
                return sock.recv(_LOOK, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                readable = self._loop.create_future()
                self._loop.add_reader(sock.fileno(), _wake, readable)
                try:
                    await readable
                finally:
                    self._loop.remove_reader(sock.fileno())

    async def _refuse(self, sock: socket.socket, client: Address | None, begin: bytes) -> None:
        """Answer a client that speaks HTTP in the clear; wait a little so that it can read it."""
        if _REQUEST.match(begin) is None:
            self._state.refusals.note(client, "it does not begin as TLS does", begin, HANDSHAKE)
            return
        error = RequestError("this port speaks TLS; ask with https://")
        self._state.refusals.note(client, error, begin, PLAIN_ON_TLS)
        is_head = begin.startswith(b"HEAD ")
        sock.send(encode_error(error, self._state.default_fields.lines, is_head=is_head))
        sock.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(LINGER):
                while await self._loop.sock_recv(sock, READ_SIZE):
                    pass
        except TimeoutError:
            pass


def _wake(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


def _why(error: Exception) -> str:
    """Return why it failed; for an error of OpenSSL the reason that people search for."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return "it took too long"
    return str(error) or "the client left"
