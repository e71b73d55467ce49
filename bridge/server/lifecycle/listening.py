"""What a server listens at, from its first connection to the last: plain sockets and TLS (S30).

A worker beside others accepts what it is to have (P8), and says so on the board: `fair_share.py`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bridge.server.network.listeners import Listener
from bridge.server.network.load_board import LoadBoard, Seat
from bridge.server.state import ServerState
from bridge.server.transport.accepting import Acceptor, PlainListener
from bridge.server.transport.acceptor import TlsListener
from bridge.server.transport.fair_share import WorkerLoad

#: From Python 3.13 on, a loop removes the path of any Unix socket that it served, also of one that
#: belongs to another server by now. The listener knows better which to remove (S30).
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class Listening:
    """The listeners of one server, and what accepts their connections."""

    def __init__(self) -> None:
        self.listeners: Sequence[Listener] = ()
        self._acceptors: list[asyncio.Server | Acceptor] = []
        #: What the other workers see of this one, if there are any.
        self._load: WorkerLoad | None = None

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
        seat: Seat | None = None,
    ) -> None:
        """Accept connections at `listeners`, which are closed by `close`, and if this fails.

        `seat`: of a worker that accepts beside others.
        """
        self.listeners = listeners
        try:
            if seat is not None:
                self._load = WorkerLoad(seat, state.connections, state.handshakes)
                self._load.open()
                state.connections.watch(self._load.publish)
            for listener in listeners:
                acceptor = await _accept_at(listener, make_connection, state, tls, self._load)
                self._acceptors.append(acceptor)
        except BaseException:
            self.close()
            raise

    def close(self, *, takes_waiting: bool = False) -> None:
        """Accept no more connections; those that are open stay.

        `takes_waiting`: but those that wait, for no other worker is left to do so.
        """
        for acceptor in self._acceptors:
            acceptor.close()
            if takes_waiting and isinstance(acceptor, Acceptor):
                acceptor.take_waiting()
        if self._load is not None:
            self._load.close()
        for listener in self.listeners:
            listener.close()
        self._acceptors.clear()
        self.listeners = ()


async def _accept_at(
    listener: Listener,
    make_connection: Callable[[], asyncio.Protocol],
    state: ServerState,
    tls: ssl.SSLContext | None,
    load: WorkerLoad | None,
) -> asyncio.Server | Acceptor:
    loop, sock, backlog = state.loop, listener.socket, state.config.backlog
    if tls is not None:
        return TlsListener(sock, make_connection, tls, state, load or _alone())
    if load is not None:
        return PlainListener(sock, make_connection, state, load)
    if listener.is_unix:
        return await loop.create_unix_server(
            make_connection, sock=sock, backlog=backlog, **_KEEP_PATH
        )
    return await loop.create_server(make_connection, sock=sock, backlog=backlog)


def _alone() -> WorkerLoad:
    """Return the load of the only worker, which takes whatever comes."""
    return WorkerLoad(LoadBoard(1).take(), (), ())
