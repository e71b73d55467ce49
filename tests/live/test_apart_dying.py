"""Workers, gateways and Redis are killed under load: what clients see, and what runs (L10)."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis
from websockets.asyncio.client import connect

from tests.support.apart import gateway, worker
from tests.support.hosts import Host, start
from tests.support.numbered import PATIENCE, Numbered, Runs
from tests.support.redis import needs_redis, redis, redis_url, started_again

pytestmark = [needs_redis, pytest.mark.slow]

APPS = "tests.support.apps.apart:app"


@pytest.fixture
def store() -> Iterator[Host]:
    """A Redis of its own."""
    with start(redis()) as host:
        yield host


# ------------------------------------------------------------- a worker


def test_a_worker_that_is_killed(store: Host, tmp_path: Path) -> None:
    """L10: only what it had is a 502, as soon as it is known; nothing runs twice."""
    notes = tmp_path / "notes"
    options = (APPS, "--limit-concurrency", "20")
    with ExitStack() as running:
        url = redis_url(store)
        front = running.enter_context(start(gateway(url)))
        workers = [
            running.enter_context(worker(url, *options, APART_LOG=str(notes))) for _ in range(4)
        ]
        load = Numbered(front)
        killed_at = asyncio.run(_kill_one_of(load, workers))
        # Its connections say it, which is looked at twice a second: not its silence.
        assert "it is not connected to Redis any more" in front.log()
        assert "last heard of" not in front.log()
    runs, by_dead = Runs(notes), Runs(notes).by[str(workers[0].process.pid)]
    lost = {number: each for number, each in load.answers.items() if each.status == "502"}
    print(
        f"\nkill -9 of one of 4 workers: {len(load.answers)} requests, {len(load.failed)} failed, "
        f"{len(lost)} of those it had were 502, the last "
        f"{max(each.at for each in lost.values()) - killed_at:.2f} s after it; {runs.twice} ran "
        "twice"
    )
    assert not load.failed
    assert set(load.statuses) == {"200", "502"}
    assert runs.twice == 0
    assert 0 < len(lost) <= 20
    # A 502 has run there, or was read there and not begun: by no other worker in any case.
    assert not any(number in runs.times and number not in by_dead for number in lost)
    answered = {number for number, each in load.answers.items() if each.status == "200"}
    assert answered <= set(runs.times)


async def _kill_one_of(load: Numbered, workers: list[Host]) -> float:
    async with load.running(60):
        await load.more(300)
        workers[0].kill()
        killed_at = time.monotonic()
        await load.more(1, "502")
        await load.more(300)
    return killed_at


# ------------------------------------------------------------- a gateway

#: Places of the worker, and how many of them are taken by each kind.
PLACES, OF_EACH = 30, 10


def test_a_gateway_that_is_killed(store: Host, tmp_path: Path) -> None:
    """L10: what a worker does for it is over: another gateway gets all of its places."""
    options = (APPS, "--limit-concurrency", str(PLACES))
    with ExitStack() as running:
        url = redis_url(store)
        one, other = (
            running.enter_context(start(gateway(url, "--timeout-queue", str(PATIENCE))))
            for _ in range(2)
        )
        notes = tmp_path / "notes"
        running.enter_context(worker(url, *options, APART_LOG=str(notes)))
        load = Numbered(other)
        waited = asyncio.run(_kill_gateway(one, load, url))
    print(
        f"\nkill -9 of one of 2 gateways: its {OF_EACH} downloads, {OF_EACH} uploads and {OF_EACH} "
        f"WebSockets left all {PLACES} places of the worker within {waited:.2f} s; the other had "
        f"{len(load.answers)} requests, {len(load.failed)} failed"
    )
    assert not load.failed
    assert set(load.statuses) == {"200"}
    assert Runs(notes).twice == 0


async def _kill_gateway(one: Host, load: Numbered, url: str) -> float:
    """Fill the worker from one gateway, ask by the other, and kill the first."""
    get = b"GET /star/give/1000000 HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST /star/swallow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + bytes(
        9999
    )
    opened = []
    for number in range(2 * OF_EACH):
        reader, writer = await asyncio.open_connection(one.address, one.port)
        writer.write(post if number % 2 else get)
        opened.append(writer)
        if not number % 2:
            await reader.readexactly(256 * 1024)
    echo = one.url("/star/echo", "ws")
    sockets = [await connect(echo, proxy=None, open_timeout=PATIENCE) for _ in range(OF_EACH)]
    async with load.running(PLACES):
        with Redis.from_url(url) as queue:
            await load.until(lambda: queue.xlen("bridge:requests") == PLACES)
        assert not load.answers
        one.kill()
        killed_at = time.monotonic()
        await load.more(1)
        waited = time.monotonic() - killed_at
        await load.more(10 * PLACES)
    for each in opened:
        each.close()
    for socket in sockets:
        await socket.close()
    return waited


# ------------------------------------------------------------- Redis


def test_redis_dies_hangs_and_comes_back(store: Host, tmp_path: Path) -> None:
    """L10: 503 with Retry-After while it is gone or hangs; nobody is left waiting; all goes on."""
    notes = str(tmp_path / "notes")
    url = redis_url(store)
    with start(gateway(url)) as front, worker(url, APPS, APART_LOG=notes), \
            worker(url, APPS, APART_LOG=notes):  # fmt: skip
        load = Numbered(front, 0.01)
        asyncio.run(_end_redis(load, store))
    twice = Runs(Path(notes)).twice
    print(
        f"\nRedis killed, started anew, stopped and continued: {len(load.answers)} requests, "
        f"{len(load.failed)} failed, statuses {dict(load.statuses)}, {twice} ran twice"
    )
    # Nobody was left waiting, or got what is no answer.
    assert not load.failed
    assert set(load.statuses) <= {"200", "503 after 1", "502"}
    assert twice == 0


async def _end_redis(load: Numbered, first: Host) -> None:
    with ExitStack() as running:
        async with load.running(30):
            await load.more(300)
            first.kill()
            await load.more(300, "503 after 1")
            second = running.enter_context(started_again(first))
            await load.more(300)
            second.send_signal(signal.SIGSTOP)
            await load.more(300, "503 after 1")
            second.send_signal(signal.SIGCONT)
            await load.only(300)
