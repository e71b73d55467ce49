"""ASGI 1 consumers on workers that are replaced, while streams and sockets stay (L9, L10)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.apart import end_worker, gateway, start_worker
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url

pytestmark = [needs_redis, pytest.mark.slow]

APPS = "tests.support.apps.apart:app"
#: Streams, and WebSockets.
CLIENTS = 50


@pytest.fixture
def url() -> Iterator[str]:
    """A Redis of its own."""
    with start(redis()) as store:
        yield redis_url(store)


class Clients:
    """Streams and WebSockets at a gateway, and what each has heard."""

    def __init__(self, front: Host) -> None:
        self.front = front
        self.streams: list[list[str]] = []
        self.sockets: list[list[str]] = []
        #: Echoes that came back, and the processes that made them.
        self.echoed = 0
        self.echoed_by: set[str] = set()
        self.closed: list[str] = []
        self.done = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def open(self, number: int) -> None:
        """Open so many of each; returns when all of them are in their groups."""
        for _ in range(number):
            self.tasks.append(asyncio.create_task(self._stream()))
            self.tasks.append(asyncio.create_task(self._socket()))
        async with httpx.AsyncClient(timeout=30) as client, asyncio.timeout(60):
            wanted = f"{number} {number}"
            while (await client.get(self.front.url("/flask/members"))).text != wanted:
                await asyncio.sleep(0.05)  # the pace of asking

    async def close(self) -> None:
        """Close all of them."""
        self.done.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), 60)

    async def _stream(self) -> None:
        heard: list[str] = []
        self.streams.append(heard)
        reader, writer = await asyncio.open_connection(self.front.address, self.front.port)
        writer.write(b"GET /news/events HTTP/1.1\r\nHost: x\r\n\r\n")
        ended = asyncio.create_task(self.done.wait())
        while not self.done.is_set():
            line = asyncio.create_task(reader.readline())
            await asyncio.wait([line, ended], return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                break
            if not line.result():
                self.closed.append("a stream was closed")
                break
            if line.result().startswith(b"data: "):
                heard.append(line.result()[6:].decode().strip())
        writer.close()

    async def _socket(self) -> None:
        heard: list[str] = []
        self.sockets.append(heard)
        async with connect(self.front.url("/news/talk", "ws"), proxy=None, open_timeout=30) as it:
            talking = asyncio.create_task(self._talk(it))
            try:
                while not self.done.is_set():
                    kind, _, text = str(await it.recv()).partition(" ")
                    if kind == "news":
                        heard.append(text)
                    else:
                        self.echoed += 1
                        self.echoed_by.add(text.split()[1])
            except Exception as error:
                if not self.done.is_set():
                    self.closed.append(repr(error))
            talking.cancel()

    async def _talk(self, it: ClientConnection) -> None:
        """Say something again and again, and end the wait of the other task at last."""
        for number in count():
            if self.done.is_set():
                await it.close()
                return
            await it.send(str(number))
            await asyncio.sleep(0.2)


def test_workers_are_replaced_while_streams_and_sockets_stay(url: str, tmp_path: Path) -> None:
    """L9 L10: none is closed, and each hears all that is published, in order."""
    with ExitStack() as running:
        front = running.enter_context(start(gateway(url)))

        def launch(number: int) -> Host:
            host = start_worker(tmp_path / f"{number}.log", url, APPS)
            running.callback(end_worker, host)
            return host

        clients, published = asyncio.run(_replace(front, launch))
    print(
        f"\n2 workers replaced under {CLIENTS} streams and {CLIENTS} WebSockets: {published} "
        f"messages published, {len(clients.closed)} closed, {clients.echoed} echoes by "
        f"{len(clients.echoed_by)} workers"
    )
    wanted = [str(number) for number in range(published)]
    assert clients.closed == []
    assert [heard for heard in clients.streams if heard != wanted] == []
    assert [heard for heard in clients.sockets if heard != wanted] == []
    assert len(clients.echoed_by) == 4


async def _replace(front: Host, launch: object) -> tuple[Clients, int]:
    assert callable(launch)
    workers = [await asyncio.to_thread(launch, number) for number in range(2)]
    clients, published = Clients(front), 0
    await clients.open(CLIENTS)
    async with httpx.AsyncClient(timeout=30) as client:

        async def publish(number: int) -> None:
            nonlocal published
            for _ in range(number):
                answer = await client.get(front.url(f"/flask/publish/{published}"))
                assert answer.status_code == 200
                published += 1

        await publish(20)
        for number, old in enumerate(workers):
            replacing = asyncio.ensure_future(asyncio.to_thread(launch, 2 + number))
            while not replacing.done():
                await publish(5)
            stopping = asyncio.ensure_future(asyncio.to_thread(old.stop))
            while not stopping.done():
                await publish(5)
            assert stopping.result() == 0
            await publish(20)
    last = str(published - 1)
    async with asyncio.timeout(60):
        everyone = [*clients.streams, *clients.sockets]
        while not all(heard and heard[-1] == last for heard in everyone):
            await asyncio.sleep(0.05)  # the pace of asking
    await clients.close()
    return clients, published
