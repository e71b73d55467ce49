"""What a server listens at, from its first connection to the last: plain sockets and TLS (S30).

A worker beside others accepts what it is to have (P8), and says so on the board: `fair_share.py`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from bridge.server.network.listeners import Listener
from bridge.server.network.load_board import LoadBoard, Seat
from bridge.server.state import ServerState
from bridge.server.transport.accepting import Acceptor, LoneListener, Make, PlainListener
from bridge.server.transport.acceptor import TlsListener
from bridge.server.transport.fair_share import WorkerLoad


class Listening:
    """The listeners of one server, and what accepts their connections."""

    def __init__(self) -> None:
        self.listeners: Sequence[Listener] = ()
        self._acceptors: list[LoneListener | Acceptor] = []
        #: What the other workers see of this one, if there are any.
        self._load: WorkerLoad | None = None

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Return host and port of each listener, or its Unix socket's path; empty when closed."""
        return [each.address for each in self.listeners]

    async def open(
        self,
        listeners: Sequence[Listener],
        make_connection: Make,
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
                acceptor = await _accept_at(
                    listener.socket, make_connection, state, tls, self._load
                )
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
    sock: socket.socket,
    make_connection: Make,
    state: ServerState,
    tls: ssl.SSLContext | None,
    load: WorkerLoad | None,
) -> LoneListener | Acceptor:
    if tls is not None:
        return TlsListener(sock, make_connection, tls, state, load or _alone())
    if load is not None:
        return PlainListener(sock, make_connection, state, load)
    lone = LoneListener(sock, make_connection, state)
    await lone.open()
    return lone


def _alone() -> WorkerLoad:
    """Return the load of the only worker, which takes whatever comes."""
    return WorkerLoad(LoadBoard(1).take(), (), ())
