"""A process that goes while others serve on: one more response for each client (P10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bridge.server import Config, Server
from bridge.server.lifecycle import retiring
from bridge.server.lifecycle.retiring import retire
from tests.support.raw import request
from tests.support.websocket import KEY

UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)  # fmt: skip


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"done"})


class Client:
    """One connection; asked once when it is made."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self) -> bytes:
        """The response to a request, without its body."""
        self.writer.write(request("/"))
        head = await self.reader.readuntil(b"\r\n\r\n")
        await self.reader.readexactly(4)
        return head

    async def at_end(self) -> bool:
        return await self.reader.read() == b""


async def connect(server: Server) -> Client:
    host, port = server.addresses[0]
    return Client(*await asyncio.open_connection(host, port))


def run(test: Callable[[Server], Coroutine[Any, Any, None]], keep_alive: float = 60) -> None:
    async def main() -> None:
        server = Server(
            Config(app=app, port=0, lifespan="off", access_log=False, timeout_keep_alive=keep_alive)
        )
        await server.start()
        await test(server)
        await server.stop(0.5)

    asyncio.run(main())


def retired(server: Server, *, still_accepting: bool = False) -> asyncio.Future[None]:
    return asyncio.ensure_future(
        retire(
            server.state,
            server.orders.cut,
            server.close_listeners,
            still_accepting=still_accepting,
        )
    )


def test_each_client_has_one_more_response() -> None:
    """P10: it says Connection: close; nobody is closed before, and then the process may stop."""

    async def test(server: Server) -> None:
        clients = [await connect(server) for _ in range(3)]
        for client in clients:
            assert b"connection: close" not in await client.ask()
        going = retired(server)
        while server.addresses:
            await asyncio.sleep(0)
        for client in clients:
            assert not going.done()
            assert b"connection: close" in await client.ask()
            assert await client.at_end()
            client.writer.close()
        await going

    run(test)


def test_clients_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: they are waited for as long as it is worth it, and not cut then."""
    monkeypatch.setattr(retiring, "RETIRE_GRACE", 0.05)

    async def test(server: Server) -> None:
        client = await connect(server)
        await client.ask()
        await retired(server)
        assert len(server.state.connections) == 1
        client.writer.close()

    run(test)


def test_nobody_waits_when_it_is_cut() -> None:
    """P10: SIGINT waits for nobody."""

    async def test(server: Server) -> None:
        client = await connect(server)
        await client.ask()
        going = retired(server)
        await asyncio.sleep(0)
        server.orders.cut.set()
        await going
        client.writer.close()

    run(test)


def test_new_connections_are_taken_meanwhile() -> None:
    """P10: by a process that may be the only one, until those are gone that were there before."""

    async def test(server: Server) -> None:
        before = await connect(server)
        await before.ask()
        going = retired(server, still_accepting=True)
        await asyncio.sleep(0)
        meanwhile = await connect(server)
        assert b"connection: close" in await meanwhile.ask()
        last = await connect(server)
        while len(server.state.connections) < 2:
            await asyncio.sleep(0)
        assert b"connection: close" in await before.ask()
        while server.addresses:
            await asyncio.sleep(0)
        assert not going.done()
        assert b"connection: close" in await last.ask()
        await going
        for client in (before, meanwhile, last):
            client.writer.close()

    run(test)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_websockets_are_told_to_come_back(when: str) -> None:
    """P10: with 1012, those that are open and those that open meanwhile."""

    async def test(server: Server) -> None:
        client = await connect(server)
        other = await connect(server)
        await other.ask()

        async def upgrade() -> None:
            client.writer.write(request("/", *UPGRADE))
            assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")

        if when == "before":
            await upgrade()
        going = retired(server)
        await asyncio.sleep(0)
        if when == "meanwhile":
            await upgrade()
        assert await client.reader.readexactly(4) == b"\x88\x02" + (1012).to_bytes(2)
        for each in (client, other):
            each.writer.close()
        await going

    run(test)
