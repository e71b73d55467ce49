"""Clients whose requests have numbers, so that a test sees which of them ran, and how often.

The app is that of ``/star/note/N`` in `tests.support.apps.apart`; it writes a line to the file
``APART_LOG`` for each request that it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.support.hosts import Host

#: The longest that a test waits for what must happen.
PATIENCE = 120


class Answer(NamedTuple):
    """What became of a request."""

    status: str  #: with the field Retry-After, if there is one: ``503 after 1``
    body: str
    at: float  #: when it came (monotonic)


class Numbered:
    """Clients of `front` that ask again and again, each request for `pause` seconds of work."""

    def __init__(self, front: Host, pause: float = 0.05) -> None:
        self.front = front
        self.pause = pause
        #: Number -> what became of it.
        self.answers: dict[int, Answer] = {}
        #: Requests without a whole answer.
        self.failed: list[str] = []
        self._numbers = count()
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncIterator[Numbered]:
        """Have so many clients ask as long as the block lasts; each gets its last answer."""
        tasks = [asyncio.create_task(self._client()) for _ in range(clients)]
        try:
            yield self
        finally:
            self._stop.set()
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)

    @property
    def statuses(self) -> Counter[str]:
        """Return how often each status came."""
        return Counter(each.status for each in self.answers.values())

    async def until(self, holds: Callable[[], object]) -> None:
        """Go on until something holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.02)  # the pace of asking

    async def more(self, number: int, status: str = "200") -> None:
        """Go on for so many more answers with this status."""
        goal = self.statuses[status] + number
        await self.until(lambda: self.statuses[status] >= goal)

    async def only(self, number: int, status: str = "200") -> None:
        """Go on until so many answers in a row have this status."""

        def holds() -> bool:
            last = list(self.answers.values())[-number:]
            return len(last) == number and {each.status for each in last} == {status}

        await self.more(number, status)
        await self.until(holds)

    async def _client(self) -> None:
        """Ask, on one connection as long as that is kept."""
        while not self._stop.is_set():
            reader, writer = await asyncio.open_connection(self.front.address, self.front.port)
            try:
                while not self._stop.is_set() and not reader.at_eof():
                    await self._ask(reader, writer)
            except (OSError, EOFError) as error:
                self.failed.append(repr(error))
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        target = f"/star/note/{number}?pause={self.pause}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = await reader.readexactly(int(_field(head, "content-length")))
        status, later = head.split()[1], _field(head, "retry-after")
        if later:
            status += f" after {later}"
        self.answers[number] = Answer(status, body.decode(), time.monotonic())


def _field(head: str, name: str) -> str:
    return head.partition(f"\r\n{name}: ")[2].partition("\r")[0]


class Runs:
    """Which numbered requests ran, and where."""

    def __init__(self, notes: Path) -> None:
        lines = [line.split() for line in notes.read_text().splitlines()]
        #: Number -> how often it ran.
        self.times = Counter(int(number) for _, number in lines)
        #: The process of a worker -> the numbers that ran there.
        self.by: dict[str, set[int]] = {}
        for pid, number in lines:
            self.by.setdefault(pid, set()).add(int(number))

    @property
    def twice(self) -> int:
        """Return how many requests ran more than once."""
        return sum(times > 1 for times in self.times.values())
