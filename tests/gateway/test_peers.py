"""Which processes are alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgpack
import pytest

from bridge.channels.redis.link import Link
from bridge.gateway.bus import Bus
from bridge.gateway.keys import Keys
from bridge.gateway.peers import SILENCE, Peers
from tests.support.gateways import new_prefix
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[tuple[Peers, Bus, Link]]:
    """One that looks, a process that is alive, and a way to Redis."""
    link, keys = Link(url), Keys(new_prefix())
    bus = Bus(url, "worker", prefix=keys.prefix)
    await link.open()
    await bus.open()
    try:
        yield Peers(link, keys), bus, link
    finally:
        await bus.close()
        await link.close()


def test_alive(redis_server: Host) -> None:
    """L10: who is connected is alive, however often one looks; nobody is asked for nobody."""

    async def main() -> None:
        async with looking(redis_url(redis_server)) as (peers, bus, _):
            for _ in range(5):
                assert await peers.look([bus.name]) == {}
            assert await peers.look([]) == {}

    asyncio.run(main())


def test_without_connections(redis_server: Host) -> None:
    """L10: a process whose connections are gone is dead at the second look in a row."""

    async def main() -> None:
        async with looking(redis_url(redis_server)) as (peers, bus, link):
            record = msgpack.packb({"kind": "worker", "ids": [2**40, 2**40 + 1]})
            await link.call("HSET", bus.keys.peers, "w.dead", record)
            assert await peers.look(["w.dead", bus.name]) == {}
            assert await peers.look([bus.name]) == {}
            assert await peers.look(["w.dead", bus.name]) == {}
            found = await peers.look(["w.dead", bus.name])
            assert found == {"w.dead": "it is not connected to Redis any more"}

    asyncio.run(main())


def test_silent(redis_server: Host) -> None:
    """L10: a process that was not heard of for long is dead, though Redis has its connections."""

    async def main() -> None:
        async with looking(redis_url(redis_server)) as (peers, bus, link):
            seconds, _ = await link.call("TIME")
            long_ago = (int(seconds) - SILENCE - 5) * 1000
            await link.call("ZADD", bus.keys.seen, long_ago, bus.name)
            for _ in range(9):  # it may be that Redis' clock was set
                assert await peers.look([bus.name]) == {}
            found = await peers.look([bus.name])
            assert "last heard of 3" in found[bus.name]

    asyncio.run(main())


def test_on_no_list(redis_server: Host) -> None:
    """L10: who is on no list for some seconds is dead; after a FLUSHALL it is there again soon."""

    async def main() -> None:
        async with looking(redis_url(redis_server)) as (peers, _, _):
            looks = 1
            while not await peers.look(["w.unknown"]):
                looks += 1
            assert looks == 10

    asyncio.run(main())


@pytest.mark.parametrize(
    "record", [b"\xc1", *map(msgpack.packb, (1, {"ids": None}, {"ids": 1}, {"ids": [-1, "1"]}))]
)
def test_a_record_of_a_stranger(redis_server: Host, record: bytes) -> None:
    """L13: who has written no numbers of connections is judged by its heartbeats."""

    async def main() -> None:
        async with looking(redis_url(redis_server)) as (peers, bus, link):
            await link.call("HSET", bus.keys.peers, "w.strange", record)
            for _ in range(12):
                assert await peers.look(["w.strange"]) == {}

    asyncio.run(main())


def test_redis_lists_no_connections(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: where an ACL forbids CLIENT LIST, heartbeats count alone, which is said once."""

    async def main() -> None:
        url = redis_url(redis_server)
        async with looking(url) as (_, bus, link):
            await link.call(
                *("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all", "-client|list")
            )
            narrow = Link(url.replace("redis://", "redis://narrow:secret@"))
            await narrow.open()
            peers = Peers(narrow, bus.keys)
            record = msgpack.packb({"kind": "worker", "ids": [2**40, 2**40 + 1]})
            await link.call("HSET", bus.keys.peers, "w.dead", record)
            for _ in range(3):
                assert await peers.look(["w.dead"]) == {}
            await narrow.close()

    asyncio.run(main())
    assert caplog.text.count("allow the command CLIENT LIST") == 1
