"""Who is at both ends of a connection, and who among them is believed (S13, S32).

Decided once per connection, from its socket: a TCP client has an address, a client on a Unix
socket has none. Only the socket's family says which it is. A TCP client that has reset the
connection before it was looked at has no address any more either: it is anonymous.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Protocol

from bridge.server.network.tls import tls_extension
from bridge.server.request import Request
from bridge.server.state import PLACES, ServerState
from bridge.types import Address, Environ, ServerAddress
from bridge.wsgi.environ import add_client


class HasClient(Protocol):
    """A connection, as far as an environ tells of it."""

    client_left: bool


class Identity:
    """Who is at both ends of one connection."""

    __slots__ = (
        "_state",
        "client",
        "environ",
        "is_unix",
        "needs_full_scope",
        "place",
        "root_path",
        "tls",
        "trusted",
    )

    def __init__(self, transport: asyncio.BaseTransport, state: ServerState) -> None:
        self._state = state
        config = state.config
        sock = transport.get_extra_info("socket")
        #: The client came over a Unix socket; False if the transport has no socket.
        self.is_unix: bool = sock is not None and sock.family == socket.AF_UNIX
        self.client: Address | None = _address(transport)
        name = transport.get_extra_info("sockname")
        is_tls = transport.get_extra_info("sslcontext") is not None
        #: Where it came in: our address, and the scheme.
        self.place = PLACES[
            "https" if is_tls else "http",
            (str(name[0]), int(name[1])) if isinstance(name, tuple) else (str(name or ""), None),
        ]
        #: ASGI's ``tls`` extension.
        self.tls: dict[str, Any] | None = None
        if is_tls:
            self.tls = tls_extension(transport.get_extra_info("ssl_object"))
        self.root_path: str = config.root_path
        #: Scopes of its requests need more than most.
        self.needs_full_scope: bool = is_tls or bool(self.root_path) or config.pathsend
        #: What the client says of others, in `Forwarded` and its like, is believed.
        self.trusted: bool = state.proxies.forwarded.allows(self.client, self.is_unix)
        #: What the environs of its requests have in common; None until there is one, and at the
        #: end.
        self.environ: Environ | None = None

    @property
    def is_anonymous(self) -> bool:
        """It is a TCP connection whose client has no address: it was reset already."""
        return self.client is None and not self.is_unix

    def set_addresses(self, client: Address | None, server: ServerAddress | None) -> None:
        """Take a PROXY header's word for who is at both ends; None for both changes neither.

        The proxy is not the one that sends what follows: a client that it does not name is not
        trusted.
        """
        if client is not None or server is not None:
            self.client = client
            self.place = PLACES[self.place.scheme, server]
            self.environ = None
        self.trusted = self._state.proxies.forwarded.allows(client, False)

    def forget_environ(self) -> None:
        """Drop what `make_environ` has made: it refers to the connection, which is over."""
        self.environ = None

    def make_environ(self, connection: HasClient) -> Environ:
        """Make what the environs of its requests have in common, and keep it (W7, W10)."""

        def is_disconnected() -> bool:
            """``bridge.disconnected``: whether the client is gone."""
            return connection.client_left

        self.environ = environ = {"bridge.disconnected": is_disconnected}
        add_client(environ, self.client)
        return environ

    def resolve(self, request: Request) -> None:
        """Have `request` note what its peer, a trusted proxy, says. Raises `RequestError`."""
        proxies, place = self._state.proxies.forwarded, self.place
        request.resolve(proxies, self.client, place.scheme, place.server)


def _address(transport: asyncio.BaseTransport) -> Address | None:
    try:
        peer = transport.get_extra_info("peername")
    except OSError:  # macOS has words of its own for a client that has reset the connection
        return None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
