"""What a server listens at: every kind of socket, from its first connection to the last (S30)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from bridge.server import Config
from bridge.server.lifecycle.listening import Listening
from bridge.server.network.listeners import Listener, open_listeners
from bridge.server.network.load_board import SHIFT, LoadBoard
from bridge.server.state import ServerState


class Greets(asyncio.Protocol):
    """Sends a word, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


class Counted(Greets):
    """Is known to be open while it is."""

    def __init__(self, state: ServerState) -> None:
        self._connections: Any = state.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)


async def greeting(listener: Listener, context: ssl.SSLContext | None) -> bytes:
    name = "127.0.0.1" if context is not None else None
    if listener.is_unix:
        reader, writer = await asyncio.open_unix_connection(
            str(listener.address), ssl=context, server_hostname=name
        )
    else:
        host, port = listener.address
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=name
        )
    try:
        return await reader.read()
    finally:
        writer.close()


def at_port(folder: Path) -> str:
    return "127.0.0.1:0"


def at_path(folder: Path) -> str:
    return f"unix:{folder / 'socket'}"


@pytest.mark.parametrize("place", [at_port, at_path])
@pytest.mark.parametrize("tls", [False, True])
def test_connections_are_accepted(place: Callable[[Path], str], tls: bool, tmp_path: Path) -> None:
    """S30, S31: at a port and at a path, with TLS and without; nothing is left when it closes."""
    if tls and place is at_path:
        return
    ca = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(ours)
    theirs = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())

    async def main() -> None:
        config = Config(bind=place(tmp_path))
        listening, listeners = Listening(), open_listeners(config)
        state = ServerState(config, asyncio.get_running_loop())
        await listening.open(listeners, Greets, state, ours if tls else None)
        assert listening.addresses == [each.address for each in listeners]
        assert await greeting(listeners[0], theirs if tls else None) == b"hello"
        listening.close()
        assert listening.addresses == []
        assert not (tmp_path / "socket").exists()
        await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize("place", [at_port, at_path])
@pytest.mark.parametrize("tls", [False, True])
def test_a_worker_beside_others(place: Callable[[Path], str], tls: bool, tmp_path: Path) -> None:
    """P8: it accepts at the sockets of all, and says on the board how many connections it has."""
    ca = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(ours)
    theirs = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
    board = LoadBoard()
    seat, other = board.take(), board.take()

    async def main() -> None:
        config = Config(bind=place(tmp_path))
        listening, listeners = Listening(), open_listeners(config)
        state = ServerState(config, asyncio.get_running_loop())
        make = partial(Counted, state)
        await listening.open(listeners, make, state, ours if tls else None, seat)
        before = other.others()[0]
        assert before >> SHIFT == 0
        assert await greeting(listeners[0], theirs if tls else None) == b"hello"
        assert other.others()[0] != before
        while other.others()[0] >> SHIFT:
            await asyncio.sleep(0)
        listening.close()
        assert other.others() == {}
        await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize("place", [at_port, at_path])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_many_that_come_at_once(
    run: Callable[..., None], place: Callable[[Path], str], tmp_path: Path
) -> None:
    """P8: clients that come together begin in a few steps of the loop, and in their order."""
    number = 150
    begun: list[object] = []

    class Waiting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            begun.append(transport.get_extra_info("peername") or "")

    async def main() -> None:
        config = Config(bind=place(tmp_path))
        listening, listeners = Listening(), open_listeners(config)
        state = ServerState(config, asyncio.get_running_loop())
        await listening.open(listeners, Waiting, state, None)
        with ExitStack() as stack:
            stack.callback(listening.close)
            family, address = listeners[0].socket.family, listeners[0].socket.getsockname()
            clients = [stack.enter_context(socket.socket(family)) for _ in range(number)]
            for client in clients:
                client.connect(address)
            steps = 0
            while len(begun) < number:
                await asyncio.sleep(0)
                steps += 1
            assert steps < number / 5
            assert begun == [client.getsockname() for client in clients]

    run(main())


def test_those_that_wait_at_the_end() -> None:
    """P2 P8: a worker takes them if it is told that nobody else will; else others do."""

    async def main() -> None:
        config = Config(bind="127.0.0.1:0")
        state, board = ServerState(config, asyncio.get_running_loop()), LoadBoard()
        [kept] = open_listeners(config)
        with kept.socket:
            for takes_waiting in (False, True):
                listening = Listening()
                with socket.create_connection(kept.address) as client:
                    client.setblocking(False)
                    ours = Listener(kept.socket.dup(), False, None)
                    ours.socket.setblocking(False)
                    await listening.open([ours], Greets, state, None, board.take())
                    listening.close(takes_waiting=takes_waiting)
                    if takes_waiting:
                        assert await state.loop.sock_recv(client, 9) == b"hello"
                    else:
                        with kept.socket.accept()[0]:
                            pass

    asyncio.run(main())


def test_nothing_stays_open_if_one_fails() -> None:
    """S40: a listener that cannot be served closes those before it, too."""

    async def main() -> None:
        config = Config()
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        sockets[1].close()
        listening = Listening()
        state = ServerState(config, asyncio.get_running_loop())
        with pytest.raises((OSError, ValueError)):
            await listening.open(
                [Listener(each, False, None) for each in sockets], Greets, state, None
            )
        assert listening.addresses == []
        assert sockets[0].fileno() == -1

    asyncio.run(main())
