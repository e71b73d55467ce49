"""Who is at both ends of a connection, and who among them is believed (S13, S32).

Decided once per connection, from its socket: a TCP client has an address, a client on a Unix
socket has none. Only the socket's family says which it is. A TCP client that has reset the
connection before it was looked at has no address any more either, and is nobody.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from bridge.server.network.tls import tls_extension
from bridge.server.request import Request
from bridge.server.state import Place, ServerState
from bridge.server.transport.output import Output
from bridge.types import Environ
from bridge.wsgi.environ import add_client


def is_unix(transport: asyncio.BaseTransport) -> bool:
    """Whether the client came over a Unix socket; False where the transport has no socket."""
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.family == socket.AF_UNIX


def _address(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    try:
        peer = transport.get_extra_info("peername")
    except OSError:  # macOS has words of its own for a client that has reset the connection
        return None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None


class Identity(asyncio.Protocol):
    """What of a connection is about who is at its ends; `http.HttpProtocol` is the rest."""

    state: ServerState
    output: Output
    client_left: bool
    client: tuple[str, int] | None
    root_path: str
    server: tuple[str, int | None] | None
    scheme: str
    #: What the client says of others, in `Forwarded` and its like, is believed.
    trusted: bool
    tls: dict[str, Any] | None = None
    #: Scopes of its requests need more than plain ones do.
    needs_full_scope: bool
    #: The client came over a Unix socket.
    is_unix: bool
    #: It is a TCP connection whose client has no address: it was reset already.
    is_anonymous: bool

    #: Where it came in.
    place: Place
    #: What the environs of its requests have in common; None until there is one, and at the end.
    environ: Environ | None

    def identify(self) -> None:
        """Who is at both ends; decided once per connection."""
        transport, state = self.output.transport, self.state
        self.is_unix = is_unix(transport)
        self.client = _address(transport)
        self.is_anonymous = self.client is None and not self.is_unix
        name = transport.get_extra_info("sockname")
        self.server = (
            (str(name[0]), int(name[1])) if isinstance(name, tuple) else (str(name or ""), None)
        )
        tls = self.output.tls
        self.scheme = "https" if tls else "http"
        if tls:
            self.tls = tls_extension(transport.get_extra_info("ssl_object"))
        self.root_path = state.config.root_path
        self.needs_full_scope = tls or bool(self.root_path) or state.config.pathsend
        self.trusted = state.forwarded.allows(self.client, self.is_unix)
        self.settle_identity()

    def settle_identity(self) -> None:
        """What follows from who is at both ends."""
        self.place = self.state.place(self.scheme, self.server)
        self.environ = None

    def make_environ(self) -> Environ:
        """What an environ says of the connection, kept (W7, W10)."""
        self.environ = environ = {"bridge.disconnected": self.is_disconnected}
        add_client(environ, self.client)
        return environ

    def is_disconnected(self) -> bool:
        """``bridge.disconnected``: whether the client is gone (W10)."""
        return self.client_left

    def _resolve(self, head: Request) -> None:
        """Take the word of the trusted proxy that we talk to (S32). Raises `RequestError`."""
        head.resolved = self.state.forwarded.resolve(
            head.headers, self.client, self.scheme, self.server
        )
