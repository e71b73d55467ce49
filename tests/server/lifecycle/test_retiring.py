"""A process that goes while others serve on: one more response for each client (P10)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from bridge.log import logger
from bridge.server import Config, Server
from bridge.server.lifecycle import retiring
from bridge.server.lifecycle.retiring import retire, retire_and_stop
from tests.support.raw import request
from tests.support.websocket import KEY

UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)  # fmt: skip


#: More than the kernel takes before the client reads.
MUCH = bytes(20_000_000)


async def app(scope: Any, receive: Any, send: Any, end: asyncio.Event) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        await end.wait()
    body = MUCH if scope["path"] == "/much" else b"done"
    await send({"type": "http.response.body", "body": body})


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


def run(
    test: Callable[[Server], Coroutine[Any, Any, None]],
    keep_alive: float = 60,
    graceful: float = 30,
    end: asyncio.Event | None = None,
    **settings: Any,
) -> None:
    async def main() -> None:
        server = Server(
            Config(
                app=partial(app, end=end),
                port=0,
                interface="asgi3",
                lifespan="off",
                access_log=False,
                timeout_keep_alive=keep_alive,
                timeout_graceful_shutdown=graceful,
                **settings,
            )
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


def test_a_response_that_leaves_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: a client that still takes its response has time for one more request after it."""
    monkeypatch.setattr(retiring, "RETIRE_GRACE", 0.3)
    monkeypatch.setattr(retiring, "LOOK_AGAIN", 0.05)

    async def test(server: Server) -> None:
        slow = await connect(server)
        slow.writer.write(request("/much"))
        head = await slow.reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" not in head
        going = retired(server)
        await asyncio.sleep(0.8)
        assert not going.done()
        await slow.reader.readexactly(len(MUCH))
        assert b"connection: close" in await slow.ask()
        assert await slow.at_end()
        slow.writer.close()
        await going

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


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[asyncio.Event]:
    """Set when it is logged that streams are waited for."""
    event = asyncio.Event()

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "still in use" in record.getMessage():
                event.set()

    handler = Telling()
    logger.addHandler(handler)
    caplog.set_level(logging.INFO, "bridge")
    yield event
    logger.removeHandler(handler)


@pytest.mark.parametrize("streams", [1, 2])
def test_streams_that_last_longer(
    streams: int,
    told: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """P10: they began before, and said nothing of a close: their clients, too, may ask again."""
    monkeypatch.setattr(retiring, "RETIRE_GRACE", 1.5)

    async def test(server: Server) -> None:
        clients = [await connect(server) for _ in range(streams)]
        for client in clients:
            client.writer.write(request("/stream"))
            head = await client.reader.readuntil(b"some\r\n")
            assert b"connection: close" not in head
        going = retired(server)
        await told.wait()
        end.set()
        for client in clients:
            await client.reader.readuntil(b"0\r\n\r\n")
            assert b"connection: close" in await client.ask()
            assert await client.at_end()
            client.writer.close()
        await going

    end = asyncio.Event()
    run(test, end=end)
    assert (
        f"{'a connection is' if streams == 1 else '2 connections are'} still in use" in caplog.text
    )


def test_streams_that_never_end(told: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: they are waited for as long as the graceful timeout, or until it is cut."""
    monkeypatch.setattr(retiring, "RETIRE_GRACE", 0.05)

    async def test(server: Server) -> None:
        client = await connect(server)
        client.writer.write(request("/stream"))
        await client.reader.readuntil(b"some\r\n")
        going = retired(server)
        if server.config.timeout_graceful_shutdown > 1:
            await told.wait()
            server.orders.cut.set()
        await going
        assert len(server.state.connections) == 1
        client.writer.close()

    run(test, end=asyncio.Event())
    run(test, end=asyncio.Event(), graceful=0.1)


def test_tls_that_has_begun(told: asyncio.Event, tmp_path: Path) -> None:
    """P10: a client whose handshake is under way has its answer, too; one that says nothing not."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    theirs = ssl._create_unverified_context()

    async def test(server: Server) -> None:
        silent = await connect(server)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = theirs.wrap_bio(incoming, outgoing)
        client = await connect(server)

        async def talk(step: Callable[[], bytes | None]) -> bytes | None:
            """Do a step of TLS with as much from the server as it needs."""
            while True:
                try:
                    done = step()
                except ssl.SSLWantReadError:
                    client.writer.write(outgoing.read())
                    data = await client.reader.read(65_536)
                    assert data, "it was closed"
                    incoming.write(data)
                else:
                    client.writer.write(outgoing.read())
                    return done

        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        hello = outgoing.read()
        client.writer.write(hello[:20])
        while list(server.state.handshakes.values()) != [False, True]:
            await asyncio.sleep(0)
        going = retired(server)
        await told.wait()
        client.writer.write(hello[20:])
        incoming.write(await client.reader.read(65_536))
        await talk(session.do_handshake)
        session.write(request("/"))
        answer = b""
        while not answer.endswith(b"done"):
            piece = await talk(lambda: session.read(65_536))
            assert piece, answer
            answer += piece
        assert b"connection: close" in answer
        client.writer.close()
        await going
        silent.writer.close()

    run(test, ssl_certfile=str(tmp_path / "pem"))


def test_the_whole_way() -> None:
    """P10 P2: what retiring has left of the graceful timeout is for the stop."""

    async def test(server: Server) -> None:
        client = await connect(server)
        await client.ask()
        given: list[float] = []

        async def stop(seconds: float) -> None:
            given.append(seconds)

        going = asyncio.ensure_future(
            retire_and_stop(
                server.state, server.orders.cut, server.close_listeners, stop, still_accepting=False
            )
        )
        while server.addresses:
            await asyncio.sleep(0)
        assert b"connection: close" in await client.ask()
        await going
        client.writer.close()
        assert 0 < given[0] < server.config.timeout_graceful_shutdown

    run(test)
