"""Many clients at once, of every kind, against the pool: nothing lost, doubled or mixed up.

Each response carries its request's number, and each client reads strictly what it is owed.
``BRIDGE_STRESS_SECONDS`` says how long each run takes; by default it is short.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.conftest import StartHost
from tests.contract.wsgi.conftest import eventually
from tests.support import hosts, raw
from tests.support.hosts import Host

SECONDS = float(os.environ.get("BRIDGE_STRESS_SECONDS", "3"))
CONNECTIONS = 200
APP = "tests.support.apps.wsgi_stress:asgi"


@dataclass
class Storm:
    """All clients, and what became of their requests."""

    host: Host
    faults: bool
    counts: Counter[str] = field(default_factory=Counter)
    last: int = 0
    choice: random.Random = field(default_factory=lambda: random.Random(7))

    async def run(self) -> None:
        """`CONNECTIONS` clients, for `SECONDS`."""
        end = asyncio.get_running_loop().time() + SECONDS
        await asyncio.gather(*(self.client(end) for _ in range(CONNECTIONS)))

    async def client(self, end: float) -> None:
        """One client: connection after connection."""
        while asyncio.get_running_loop().time() < end:
            sock = socket.socket()
            if self.faults:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (self.host.address, self.host.port))
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                while asyncio.get_running_loop().time() < end:
                    if not await self.request(reader, writer):
                        break
            finally:
                writer.close()

    async def request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its response; False where the connection ends with it."""
        self.last += 1
        number = self.last
        kind = self.choice.choices(
            ["fast", "slow", "stream", "echo", "large", "raise", "break", "abort", "pipeline"],
            [40, 4, 10, 15, 5, 3, 2, 8, 5],
        )[0]
        if kind == "pipeline":
            return await self.pipeline(reader, writer, number)
        path = "stream" if kind == "abort" else kind
        size = self.choice.randrange(1, 300)
        body = b"%d!" % number * size * 10 if kind == "echo" else b""
        writer.write(raw.request(f"/{path}?{number},{size}", body=body))
        if kind == "abort":
            await self.abort(reader, writer, number)
            return False
        if kind == "break":
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await self.response(reader)
            self.counts[kind] += 1
            return False
        status, answered = await self.response(reader)
        if kind == "raise":
            assert status == 500, (number, status, answered[:100])
            self.counts[kind] += 1
            return self.host.name != "uvicorn"  # which closes behind an exception
        else:
            lines = [b"%d:%d\n" % (number, line) * 20 for line in range(size)]
            expected = {
                "stream": b"".join(lines),
                "echo": b"%d:%b" % (number, body),
                "large": b"%d\n" % number * size,
            }.get(kind, b"%d" % number)
            assert (status, answered) == (200, expected), (kind, number, answered[:100])
        self.counts[kind] += 1
        return True

    async def pipeline(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        """Five requests at once; their answers come in order."""
        self.last += 5
        numbers = range(number, number + 5)
        writer.write(b"".join(raw.request(f"/fast?{each},1") for each in numbers))
        for each in numbers:
            assert await self.response(reader) == (200, b"%d" % each)
        self.counts["pipeline"] += 5
        return True

    async def abort(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        """Go away before, in or after the response, with a reset or without."""
        if self.choice.random() < 0.7:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"x-number: %d\r\n" % number in head.lower()
        if self.choice.random() < 0.5:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.counts["abort"] += 1

    @staticmethod
    async def response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        """The next response: status and body."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 "), head
        status = int(head[9:12])
        if b"transfer-encoding: chunked" not in head:
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            return status, await reader.readexactly(length)
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        return status, b"".join(pieces)


RUNS = {
    "plain": (hosts.bridge(APP, "--no-access-log"), False),
    "faults": (hosts.bridge(APP, "--no-access-log"), True),
    "switching": (
        hosts.bridge(APP, "--no-access-log").with_env(STRESS_SWITCH_INTERVAL="1e-6"),
        True,
    ),
    "uvicorn": (hosts.uvicorn(APP, "--log-level", "critical"), True),
}


@pytest.mark.parametrize("run", RUNS)
def test_storm(run: str, start_host: StartHost) -> None:
    """W26, W37, W38, W40, W52: 200 clients of all kinds; each answer is whole and its own."""
    command, faults = RUNS[run]
    host = start_host(command)
    storm = Storm(host, faults)
    asyncio.run(storm.run())
    assert min(storm.counts[kind] for kind in ("fast", "slow", "stream", "abort", "break")) > 0

    def told() -> tuple[int, list[float]]:
        with raw.Client(host.connect()) as client:
            twice, stats = json.loads(client.get("/told").body)
            return twice, stats

    # Back to rest: nothing runs but the request that asks, nothing waits, nothing was refused.
    eventually(lambda: (told()[1][0], told()[1][2]) == (1, 0))
    twice, (_, _, _, _, served, rejected, *_) = told()
    assert (twice, rejected) == (0, 0)
    answered = sum(storm.counts.values()) - storm.counts["abort"]
    assert served >= answered
    print(run, dict(storm.counts), "served", served)
