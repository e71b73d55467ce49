"""What a server listens at, from its first connection to the last: plain sockets and TLS (S30)."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bridge.server.network.listeners import Listener
from bridge.server.state import ServerState
from bridge.server.transport.acceptor import TlsListener

#: From Python 3.13 on, a loop removes the path of any Unix socket that it served, also of one that
#: belongs to another server by now. The listener knows better which to remove (S30).
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class Listening:
    """The listeners of one server, and what accepts their connections."""

    def __init__(self) -> None:
        self.listeners: Sequence[Listener] = ()
        self._acceptors: list[asyncio.Server | TlsListener] = []

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Return host and port of each listener, or its Unix socket's path; empty when closed."""
        return [each.address for each in self.listeners]

    async def open(
        self,
        listeners: Sequence[Listener],
        make_connection: Callable[[], asyncio.Protocol],
        state: ServerState,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Accept connections at `listeners`, which are closed by `close`, and if this fails."""
        self.listeners = listeners
        try:
            for listener in listeners:
                self._acceptors.append(await _accept_at(listener, make_connection, state, tls))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Accept no more connections; those that are open stay."""
        for acceptor in self._acceptors:
            acceptor.close()
        for listener in self.listeners:
            listener.close()
        self._acceptors.clear()
        self.listeners = ()


async def _accept_at(
    listener: Listener,
    make_connection: Callable[[], asyncio.Protocol],
    state: ServerState,
    tls: ssl.SSLContext | None,
) -> asyncio.Server | TlsListener:
    loop, sock, backlog = state.loop, listener.socket, state.config.backlog
    if tls is not None:
        return TlsListener(sock, make_connection, tls, state)
    if listener.is_unix:
        return await loop.create_unix_server(
            make_connection, sock=sock, backlog=backlog, **_KEEP_PATH
        )
    return await loop.create_server(make_connection, sock=sock, backlog=backlog)
