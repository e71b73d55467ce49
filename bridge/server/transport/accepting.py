"""Accept connections: as many as this worker is to have, beside others at the same socket (P8).

With several workers the loop would take whatever it sees first: so connections are accepted here,
and `fair_share.py` says how many. TLS is always accepted here (`acceptor.py`).

A lone process leaves plain connections to its event loop, which is quicker. But uvloop takes one in
each step: clients that come together would wait for as many steps, and each may be long if apps run
in the loop's thread. So with the first of them those that wait behind it are accepted here.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeAlias

from bridge.log import logger
from bridge.server.state import ServerState
from bridge.server.transport.fair_share import Turn, WorkerLoad

#: Seconds for which accepting pauses if the process is out of descriptors or memory.
_PAUSE: Final = 0.5
#: The most connections that are accepted in one step of the loop.
_AT_ONCE: Final = 64
#: Where ``tcpi_unacked`` is in Linux' ``struct tcp_info``, and how long it is: for a socket that
#: listens it is the number of connections that wait.
_WAITING: Final = slice(24, 28)
#: From Python 3.13 on, a loop removes the path of any Unix socket that it served, also of one that
#: belongs to another server by now. The listener knows better which to remove (S30).
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

#: Returns the protocol of a new connection.
Make: TypeAlias = Callable[[], asyncio.Protocol]


class Acceptor:
    """Accept at `sock` what this worker is to have, as `load` says. A subclass takes it."""

    def __init__(self, sock: socket.socket, state: ServerState, load: WorkerLoad) -> None:
        self._socket = sock
        self._state = state
        self._load = load
        self._turn = Turn(load)
        self._loop = state.loop
        self._knows_waiting = _knows_waiting(sock)
        #: Out of descriptors or memory until then.
        self._pause: asyncio.TimerHandle | None = None
        #: It has had its share, and looks again then.
        self._away: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Accept no more connections; those that were accepted go on."""
        if self._pause is not None:
            self._pause.cancel()
        elif self._away is not None:
            self._end_away(self._away)
        else:
            self._loop.remove_reader(self._socket.fileno())

    def take_waiting(self) -> None:
        """After `close`: accept all that wait, for no other worker will when all of them stop."""
        self._pause = None
        if not self._accept(self._state.config.backlog):
            self.close()

    def _take(self, sock: socket.socket, peer: Any) -> None:
        """Begin a connection; `peer` is its client's address."""
        raise NotImplementedError

    def _after_taking(self) -> None:
        """Go on after some connections have been taken."""
        self._load.publish()

    # --------------------------------------------------------- accepting

    def _watch(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._on_waiting)

    def _on_waiting(self) -> None:
        """A connection waits: take it, if this worker is to have it."""
        most = self._room()
        if not (most and self._accept(most)):
            self._loop.remove_reader(self._socket.fileno())
            if not most:
                self._look_away()

    def _accept(self, most: int) -> bool:
        """Accept up to `most` connections; return whether that goes on without a pause."""
        try:
            for _ in range(most):
                try:
                    sock, peer = self._socket.accept()
                except (BlockingIOError, InterruptedError):
                    break
                except ConnectionError:
                    continue  # it left before it was accepted
                self._take(sock, peer)
        except OSError as error:
            logger.error("cannot accept connections: %s; going on in %s s", error, _PAUSE)
            self._pause = self._loop.call_later(_PAUSE, self._resume)
            self._load.close()
        self._after_taking()
        return self._pause is None

    def _resume(self) -> None:
        self._pause = None
        self._watch()
        self._load.open()

    # --------------------------------------------------------- beside others

    def _room(self) -> int:
        """Return how many connections to accept now; one waits at least."""
        waiting, most = 1, _AT_ONCE
        if self._knows_waiting:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.stop)
            waiting = max(int.from_bytes(info[_WAITING], sys.byteorder), 1)
            most = min(most, waiting)  # that one waits no longer is an error, which takes time
        return min(self._turn.room(waiting, self._loop.time()), most)

    def _look_away(self) -> None:
        """Leave what waits to the others for a short time; less, if connections close here."""
        self._away = self._loop.call_later(self._turn.pause, self._look)
        self._load.call_back(self._look_soon, self._turn.share)

    def _end_away(self, away: asyncio.TimerHandle) -> None:
        away.cancel()
        self._away = None
        self._load.forget(self._look_soon)

    def _look_soon(self) -> None:
        # In a context of its own: this one can be that of an app.
        self._loop.call_soon(self._look, context=self._state.context)

    def _look(self) -> None:
        """See whether others have taken what waited."""
        if self._away is None:
            return  # it has looked meanwhile, or is closed
        self._end_away(self._away)
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        if not ready.poll(0):
            self._turn.rest()
            self._watch()
            return
        most = self._room()
        if not most:
            self._look_away()
        elif self._accept(most):
            self._watch()


def _knows_waiting(sock: socket.socket) -> bool:
    """Return whether the system says how many connections wait: Linux does, for TCP."""
    try:
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.stop)
    except (AttributeError, OSError):
        return False
    return True


#: Connections that the loop is about to tell their protocols of.
_Begun: TypeAlias = list[Coroutine[Any, Any, Any]]


def _begin_at(
    loop: asyncio.AbstractEventLoop, make: Make, sock: socket.socket, begun: _Begun
) -> None:
    """Have `loop` serve a connection; add it to those that have begun."""
    connecting = loop.connect_accepted_socket(make, sock)
    connecting.send(None)  # does all but wait: there is no need for a task
    begun.append(connecting)


def _settle(begun: _Begun) -> None:
    """Go on after the loop has told the protocols, which it does before what was called later."""
    for connecting in begun:
        with suppress(StopIteration):
            connecting.send(None)


class PlainListener(Acceptor):
    """Accept plain connections at `sock`, beside other workers; `make` returns their protocols."""

    def __init__(
        self, sock: socket.socket, make: Make, state: ServerState, load: WorkerLoad
    ) -> None:
        self._make = make
        self._begun: _Begun = []
        super().__init__(sock, state, load)

    def _take(self, sock: socket.socket, peer: Any) -> None:
        _begin_at(self._loop, self._make, sock, self._begun)

    def _after_taking(self) -> None:
        if self._begun:
            self._load.add_begun(len(self._begun))
            self._loop.call_soon(self._settle, self._begun)
            self._begun = []
        super()._after_taking()

    def _settle(self, begun: _Begun) -> None:
        _settle(begun)
        self._load.add_begun(-len(begun))  # no change: the protocols are counted now


class LoneListener:
    """Have the loop accept plain connections at `sock`, in a process alone."""

    def __init__(self, sock: socket.socket, make: Make, state: ServerState) -> None:
        self._socket = sock
        self._make = make
        self._state = state
        self._loop = state.loop
        self._waiting = select.poll()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Accept from now on. Raises OSError."""
        sock, backlog = self._socket, self._state.config.backlog
        sock.setblocking(False)
        self._waiting.register(sock, select.POLLIN)
        if sock.family == socket.AF_UNIX:
            self._server = await self._loop.create_unix_server(
                self._make_first, sock=sock, backlog=backlog, **_KEEP_PATH
            )
        else:
            self._server = await self._loop.create_server(
                self._make_first, sock=sock, backlog=backlog
            )

    def close(self) -> None:
        """Accept no more connections; those that were accepted go on."""
        if self._server is not None:
            self._server.close()

    def _make_first(self) -> asyncio.Protocol:
        """For one that the loop has accepted; those that wait begin behind it."""
        if self._waiting.poll(0):
            self._loop.call_soon(self._take_along)
        return self._make()

    def _take_along(self) -> None:
        """Accept those that wait, unless the socket is closed by now."""
        begun: _Begun = []
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._socket.accept()
            except ConnectionError:
                continue  # it left before it was accepted
            except OSError:
                break  # none waits; or there is an error, which the loop will see and tell
            _begin_at(self._loop, self._make, sock, begun)
        self._loop.call_soon(_settle, begun)
