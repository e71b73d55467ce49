"""An open loop: ``python -m bench.load.steady PORT SECONDS CONNECTIONS RATE PATH BYTES``.

So many requests a second are sent, whether or not those before have been answered: a server that
stops for a moment has to answer all that came meanwhile. A request that finds no free connection
waits for one, and that counts. Answers have a body of BYTES. Prints the figures as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from time import perf_counter


class Load:
    """All connections, and the times of all answers."""

    def __init__(self, path: str, size: int) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self.size = size
        self.free: list[Client] = []
        self.late: deque[float] = deque()
        self.times: list[float] = []
        self.status = self.read = 0

    def ask(self, due: float) -> None:
        """Ask on a free connection, or as soon as there is one."""
        if self.free:
            self.free.pop().ask(perf_counter())
        else:
            self.late.append(due)


class Client(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.since = 0.0
        self.seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.load.free.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.load.read += 1

    def ask(self, since: float) -> None:
        self.since = since
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, end, body = self.seen.partition(b"\r\n\r\n")
        if not end or len(body) < self.load.size:
            return
        self.load.times.append(perf_counter() - self.since)
        self.load.status += not head.startswith(b"HTTP/1.1 200")
        self.seen = b""
        if self.load.late:
            self.ask(self.load.late.popleft())
        else:
            self.load.free.append(self)


async def main(port: int, seconds: float, connections: int, rate: float, load: Load) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Client(load), "127.0.0.1", port)
    began, sent = perf_counter(), 0
    while (now := perf_counter() - began) < seconds:
        while sent <= now * rate:
            load.ask(began + sent / rate)
            sent += 1
        await asyncio.sleep(max(0.0, sent / rate - now))
    wall = perf_counter() - began
    ordered = sorted(load.times)
    figures = {
        "requests": len(ordered),
        "microseconds": wall * 1e6,
        "p50": round(ordered[len(ordered) // 2] * 1e6),
        "p99": round(ordered[len(ordered) * 99 // 100] * 1e6),
        "mean": sum(ordered) / len(ordered) * 1e6,
        "status": load.status,
        "read": load.read,
        "timeout": len(load.late) if len(load.late) > rate else 0,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    port, seconds, connections, rate, path, size = sys.argv[1:]
    asyncio.run(
        main(int(port), float(seconds), int(connections), float(rate), Load(path, int(size)))
    )
