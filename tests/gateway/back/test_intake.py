"""How a worker takes requests: each once, as many as it has places for (L10, L13)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest

from bridge.channels.redis.link import Link
from bridge.errors import LayerUnavailable
from bridge.gateway.back.intake import BATCH, LARGEST_BATCH, Intake
from bridge.gateway.bus import Bus
from bridge.gateway.keys import GROUP
from bridge.gateway.protocol import SESSION, TAKEN, Frame, Request, encode_request
from bridge.gateway.session import Session, SessionLost
from bridge.types import Scope
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again
from tests.support.sessions import run

pytestmark = needs_redis

#: A prefix for each test: the Redis of the module is shared.
prefixes = (f"intake{number}" for number in count())


class Reader(Link):
    """Notes how many requests are read at once, at most."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.most: list[int] = []

    async def wait(self, *command: Any) -> Any:
        self.most.append(command[command.index("COUNT") + 1])
        return await super().wait(*command)


class Taker:
    """A worker that notes which requests are its own; `places` may be changed at any time."""

    def __init__(self, url: str, prefix: str, places: int, queued: int | None = None) -> None:
        self.url = url
        self.bus = Bus(url, "worker", prefix=prefix)
        self.waiter = Reader(url)
        self.places = places
        #: What is done with a request; whether it has its place for good.
        self.app: Callable[[], object] = int
        self.stays = True
        self.taken: list[int] = []
        self.news = asyncio.Event()
        #: How many requests wait for a thread; None: there are no threads.
        self.queued = queued
        count_queued = None if queued is None else self._count_queued
        self.intake = Intake(self.bus, self.waiter, self._free, self._start, count_queued)

    def _count_queued(self) -> int:
        assert self.queued is not None
        return self.queued

    def _free(self) -> int:
        return self.places - len(self.taken) if self.stays else self.places

    def _start(self, request: Request) -> None:
        self.taken.append(request.session)
        frame = Frame(request.gateway, request.session, 0, TAKEN, SESSION)
        self.bus.post(request.gateway, frame)
        self.news.set()
        self.app()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def ask(self, *numbers: int) -> None:
        """Put requests with these numbers into the queue."""
        for number in numbers:
            packed = encode_request(Request("g.1", number, {"type": "http"}, []))
            await self.put(b"g", b"g.1", b"r", packed)

    async def put(self, *fields: bytes) -> bytes:
        """Put an entry into the queue; its number."""
        found: bytes = await self.bus.link.call("XADD", self.bus.keys.requests, "*", *fields)
        return found

    async def pending(self) -> int:
        """How many requests a worker has read, and not acknowledged."""
        found = await self.bus.link.call("XPENDING", self.bus.keys.requests, GROUP)
        return int(found[0])

    async def waiting(self) -> int:
        """How many requests nobody has claimed."""
        return int(await self.bus.link.call("XLEN", self.bus.keys.requests))


@asynccontextmanager
async def taker(
    url: str, places: int = 100, prefix: str | None = None, queued: int | None = None
) -> AsyncIterator[Taker]:
    made = Taker(url, prefix or next(prefixes), places, queued)
    await made.bus.open()
    await made.intake.open()
    try:
        yield made
    finally:
        await made.intake.stop()
        await made.intake.close()
        await made.bus.close()


def test_each_request_is_taken_once(redis_server: Host) -> None:
    """L10: by one of two workers, and nothing of it is left in Redis."""

    async def test() -> None:
        url, prefix = redis_url(redis_server), next(prefixes)
        async with taker(url, prefix=prefix) as one, taker(url, prefix=prefix) as other:
            await one.ask(*range(200))
            while len(one.taken) + len(other.taken) < 200:
                await asyncio.sleep(0.01)  # the pace of asking
            assert sorted(one.taken + other.taken) == list(range(200))
            assert one.taken
            assert other.taken
            while await one.pending():
                await asyncio.sleep(0.01)
            assert await one.waiting() == 0

    run(test)


def test_no_more_than_there_are_places(redis_server: Host) -> None:
    """L9: what a worker has no place for stays in the queue, for others."""

    async def test() -> None:
        async with taker(redis_url(redis_server), places=3) as full:
            await full.ask(*range(10))
            await full.until(lambda: len(full.taken) == 3)
            assert await full.waiting() == 7
            assert await full.pending() <= 3
            full.places = 4
            full.intake.note_place()
            await full.until(lambda: len(full.taken) == 4)
            assert await full.waiting() == 6
            full.places = 100
            full.intake.note_place()
            await full.until(lambda: len(full.taken) == 10)
            assert full.taken == [*range(10)]

    run(test)


def test_a_withdrawn_request_is_not_run(redis_server: Host) -> None:
    """L10: its gateway was faster: it was told 503, and the worker leaves it alone."""

    async def test() -> None:
        async with taker(redis_url(redis_server), places=0) as worker:
            bus = worker.bus
            await worker.ask(1)
            number = await worker.put(b"g", b"g.1", b"r", b"x")
            # Read by this worker before, as by a wait that broke; and then withdrawn.
            await bus.link.call(
                *("XREADGROUP", "GROUP", GROUP, bus.name, "STREAMS", bus.keys.requests, ">")
            )
            await bus.link.call("XDEL", bus.keys.requests, number)
            assert await worker.pending() == 2
            worker.places = 10
            worker.waiter.lose("is made anew by a test")
            await worker.until(lambda: worker.taken)
            while await worker.pending():
                await asyncio.sleep(0.01)  # the pace of asking
            await worker.ask(2)
            await worker.until(lambda: worker.taken == [1, 2])

    run(test)


def test_two_claims_for_one_request(redis_server: Host) -> None:
    """L10: only the one that has deleted it has it, though both have read it."""

    async def test() -> None:
        async with taker(redis_url(redis_server), places=0) as worker:
            bus = worker.bus
            await worker.ask(1, 2)
            answer = await bus.link.call(
                *("XREADGROUP", "GROUP", GROUP, bus.name, "STREAMS", bus.keys.requests, ">")
            )
            (first, fields), (second, _) = answer[0][1]
            await bus.link.call("XDEL", bus.keys.requests, first)
            worker.intake._claim([(first, fields)])
            worker.places = 10
            worker.waiter.lose("is made anew by a test")
            await worker.until(lambda: worker.taken)
            while await worker.pending():
                await asyncio.sleep(0.01)  # the pace of asking
            assert worker.taken == [2]
            assert second != first

    run(test)


def test_a_claim_whose_answer_is_lost(redis_server: Host) -> None:
    """L10: it is run only if a later claim finds it still there."""

    async def test() -> None:
        async with taker(redis_url(redis_server), places=0) as worker:
            bus, back = worker.bus, asyncio.Event()
            bus.on_back.append(back.set)
            await worker.ask(1, 2)
            answer = await bus.link.call(
                *("XREADGROUP", "GROUP", GROUP, bus.name, "STREAMS", bus.keys.requests, ">")
            )
            (first, fields), _ = answer[0][1]
            worker.intake._claim([(first, fields)])
            bus.link.lose("is lost by a test")
            await back.wait()
            worker.places = 10
            worker.intake.note_place()
            await worker.until(lambda: 2 in worker.taken)
            assert worker.taken in ([1, 2], [2])  # whether Redis has got the first claim or not

    run(test)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((b"r", b"\xc1"), "it is no msgpack"),
        ((b"r", b"\x91\x07"), "it has version 7, and this release reads 1"),
        ((b"x", b"y"), "it has the fields [b'x'], and none is r"),
    ],
)
def test_what_cannot_be_read_is_left_to_its_gateway(
    redis_server: Host,
    caplog: pytest.LogCaptureFixture,
    fields: tuple[bytes, ...],
    said: str,
) -> None:
    """L13: logged, and not claimed: its gateway withdraws it, and answers 503."""

    async def test() -> None:
        async with taker(redis_url(redis_server)) as worker:
            number = await worker.put(*fields)
            await worker.ask(1)
            await worker.until(lambda: worker.taken == [1])
            while await worker.pending():
                await asyncio.sleep(0.01)  # the pace of asking
            left = await worker.bus.link.call("XRANGE", worker.bus.keys.requests, "-", "+")
            assert [entry[0] for entry in left] == [number]

    run(test)
    assert said in caplog.text


def test_a_burst_is_shared(redis_server: Host) -> None:
    """L9: a worker reads some of it only, so that others get some."""

    async def test() -> None:
        url, prefix = redis_url(redis_server), next(prefixes)
        async with taker(url, places=BATCH, prefix=prefix) as one:
            await one.ask(*range(3 * BATCH))
            await one.until(lambda: len(one.taken) == BATCH)
            async with taker(url, prefix=prefix) as other:
                await other.until(lambda: len(other.taken) == 2 * BATCH)

    run(test)


def test_quick_apps_get_more_at_once(redis_server: Host) -> None:
    """L9: as long as they answer at once; others leave a burst to other workers."""

    async def test() -> None:
        async with taker(redis_url(redis_server), places=1000) as worker:
            read = worker.waiter.most
            await worker.ask(*range(10 * BATCH))
            await worker.until(lambda: len(worker.taken) == 10 * BATCH)
            assert max(read) == BATCH
            worker.stays = False
            while read[-1] < LARGEST_BATCH:
                worker.taken.clear()
                worker.places = 0
                await worker.ask(*range(2 * LARGEST_BATCH))
                worker.places = 1000
                worker.intake.note_place()
                await worker.until(lambda: len(worker.taken) == 2 * LARGEST_BATCH)
            assert max(read) == LARGEST_BATCH
            worker.app = partial(time.sleep, 0.003)
            while read[-1] > BATCH:
                await worker.ask(1)
                await asyncio.sleep(0)

    run(test)


def test_threads_that_are_quick_get_more_at_once(redis_server: Host) -> None:
    """L9: until one request has taken its time; and no more is read in a hurry while some wait."""

    async def test() -> None:
        async with taker(redis_url(redis_server), places=10**6, queued=0) as worker:
            read = worker.waiter.most
            while not read or read[-1] < LARGEST_BATCH:
                worker.taken.clear()
                worker.places = 0
                await worker.ask(*range(2 * LARGEST_BATCH))
                worker.places = 10**6
                worker.intake.note_place()
                worker.intake.note_place()
                await worker.until(lambda: len(worker.taken) == 2 * LARGEST_BATCH)
            worker.intake.note_slow()
            while read[-1] > BATCH:
                await worker.ask(1)
                await asyncio.sleep(0.01)  # the pace of asking
            worker.queued, before = 1, len(worker.taken)
            await worker.ask(*range(3 * BATCH))
            await worker.until(lambda: len(worker.taken) >= before + 3 * BATCH)

    run(test)


def test_a_redis_that_was_emptied(redis_server: Host) -> None:
    """L10: the group is made again, by whoever misses it."""

    async def test() -> None:
        async with taker(redis_url(redis_server)) as worker:
            await worker.bus.link.call("DEL", worker.bus.keys.requests)
            await worker.ask(1)
            await worker.until(lambda: worker.taken == [1])

    run(test)


def test_a_queue_that_is_none(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: the key is of another program: that is logged, and tried again."""

    async def test() -> None:
        async with taker(redis_url(redis_server)) as worker:
            link, key = worker.bus.link, worker.bus.keys.requests
            await link.call("SET", key, "theirs")
            while "Redis refuses to give requests" not in caplog.text:
                await asyncio.sleep(0.01)  # the pace of asking
            await link.call("DEL", key)
            await worker.ask(1)
            await worker.until(lambda: worker.taken == [1])

    run(test)


def test_a_queue_that_is_none_at_the_start(redis_server: Host) -> None:
    """L13: the worker does not start."""

    async def test() -> None:
        worker = Taker(redis_url(redis_server), next(prefixes), 1)
        await worker.bus.open()
        await worker.bus.link.call("SET", worker.bus.keys.requests, "theirs")
        with pytest.raises(LayerUnavailable, match="refuses to give us requests: WRONGTYPE"):
            await worker.intake.open()
        await worker.intake.close()
        await worker.bus.close()

    run(test)


def test_redis_goes_and_comes_back() -> None:
    """L10: requests that come after it are taken; a stop while it is gone does not hang."""

    async def test(host: Host) -> None:
        async with taker(redis_url(host)) as worker:
            host.kill()
            while worker.bus.up:
                await asyncio.sleep(0.01)  # the pace of asking
            back = asyncio.Event()
            worker.bus.on_back.append(back.set)
            with started_again(host) as again:
                await back.wait()
                await worker.ask(1)
                await worker.until(lambda: worker.taken == [1])
                again.kill()
                while worker.bus.up:
                    await asyncio.sleep(0.01)  # the pace of asking
                await worker.intake.stop()

    with start(redis()) as host:
        asyncio.run(asyncio.wait_for(test(host), 60))


def test_a_silent_connection_is_made_anew(redis_server: Host) -> None:
    """L8: nothing has come for too long, though Redis ends each wait: another connection."""

    async def test() -> None:
        async with taker(redis_url(redis_server)) as worker:
            before = worker.waiter.client_ids
            back = asyncio.Event()
            worker.waiter.on_back.append(back.set)
            worker.intake._lose()
            await back.wait()
            assert worker.waiter.client_ids != before
            await worker.ask(1)
            await worker.until(lambda: worker.taken == [1])

    run(test)


def test_a_stop_before_the_start(redis_server: Host) -> None:
    """A worker whose app fails at its start has taken nothing."""

    async def test() -> None:
        worker = Taker(redis_url(redis_server), next(prefixes), 1)
        await worker.intake.stop()
        await worker.intake.close()

    run(test)


def test_requests_that_cannot_be_run(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: a 502 at once, a line in the log of the worker, and the next ones are run."""

    async def test() -> None:
        async with taker(redis_url(redis_server)) as worker:
            gateway = Bus(worker.url, "gateway", prefix=worker.bus.keys.prefix)
            await gateway.open()

            async def ask(scope: Scope) -> Session:
                session = gateway.ask([])
                packed = encode_request(Request(gateway.name, session.number, scope, []))
                await worker.put(b"g", gateway.name.encode(), b"r", packed)
                return session

            async def lost(session: Session) -> bool:
                async with asyncio.timeout(30):
                    while session.over is None:
                        await session.news.wait()
                return isinstance(session.over.error, SessionLost)

            assert await lost(await ask({"type": 3}))
            assert await lost(await ask({"type": "http", "extensions": 3}))

            def fail() -> None:
                raise TypeError("no app can run it")

            worker.app = fail
            assert await lost(await ask({"type": "http"}))
            worker.app = int
            before = len(worker.taken)
            session = await ask({"type": "http"})
            await worker.until(lambda: len(worker.taken) > before)
            async with asyncio.timeout(30):
                while await worker.pending() or await worker.waiting():
                    await asyncio.sleep(0.01)  # the pace of asking
            assert session.over is None
            await gateway.close()

    run(test)
    first, second, third = (each.getMessage() for each in caplog.records)
    assert "was refused: its scope is {'type': 3}" in first
    assert "was refused: in its scope extensions is 3, not dict" in second
    assert third.startswith("a request of g.")
