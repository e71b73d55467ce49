"""An open loop by turns: ``python -m bench.load.steady``, with the arguments of `main` and `Sides`.

So many requests a second are sent, whether or not those before have been answered: a server that
stops for a moment has to answer all that came meanwhile. A request that finds no free connection
waits for one, and that counts.

Two paths of one server are asked for `TURN` each, in the order 1 2 2 1, on the same connections. A
turn ends when its last answer is there. Prints the figures of each path as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from time import clock_gettime, perf_counter

#: Seconds: what makes the machine faster or slower for a moment lasts longer than that.
TURN = 0.2


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, of all its threads: clock_getcpuclockid(3)."""
    return clock_gettime((~pid << 3) | 2)


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


class Side:
    """What the turns of a path gave so far."""

    def __init__(self, path: str, size: int) -> None:
        self.load = Load(path, size)
        self.cpu = 0.0

    def figures(self) -> dict[str, float]:
        """As they are printed."""
        times = sorted(self.load.times)
        return {
            "requests": len(times),
            "p99": times[len(times) * 99 // 100] * 1e6,
            "cpu": self.cpu,
            "status": self.load.status,
        }


class Sides:
    """Which paths are asked, and which process answers them with how many bytes."""

    def __init__(self, size: int, pid: int, paths: list[str]) -> None:
        self.size = size
        self.pid = pid
        self.paths = paths

    def new(self) -> list[Side]:
        """Each with nothing counted yet."""
        return [Side(path, self.size) for path in self.paths]


async def turn(side: Side, clients: list[Client], rate: float, pid: int) -> None:
    """Ask one path for a while."""
    load = side.load
    load.free = clients.copy()
    for client in clients:
        client.load = load
    wanted, used = len(load.times), cpu_seconds(pid)
    began, sent = perf_counter(), 0
    while (now := perf_counter() - began) < TURN:
        while sent <= now * rate:
            load.ask(began + sent / rate)
            sent += 1
        await asyncio.sleep(max(0.0, sent / rate - now))
    while len(load.times) < wanted + sent:
        if load.read or perf_counter() - began > 10:
            raise SystemExit(f"{wanted + sent - len(load.times)} requests were not answered")
        await asyncio.sleep(0.001)
    side.cpu += cpu_seconds(pid) - used


async def main(port: int, seconds: float, clients: int, rate: float, sides: Sides) -> None:
    """Turns for so many seconds, after two of each path that do not count."""
    loop, ready = asyncio.get_running_loop(), Load("/", sides.size)
    for _ in range(clients):
        await loop.create_connection(lambda: Client(ready), "127.0.0.1", port)
    for side in sides.new() * 2:
        await turn(side, ready.free, rate, sides.pid)
    first, second = counted = sides.new()
    for _ in range(round(seconds / TURN / 4)):
        for side in (first, second, second, first):
            await turn(side, ready.free, rate, sides.pid)
    for side in counted:
        print(json.dumps(side.figures()))
    for client in ready.free:
        client.transport.close()


if __name__ == "__main__":
    port, seconds, clients, rate, size, pid, *paths = sys.argv[1:]
    sides = Sides(int(size), int(pid), paths)
    asyncio.run(main(int(port), float(seconds), int(clients), float(rate), sides))
