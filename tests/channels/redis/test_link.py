"""A process's two connections to Redis."""

from __future__ import annotations

import asyncio

import pytest

from bridge.channels.redis.link import Link, Script
from bridge.errors import LayerUnavailable
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again

pytestmark = needs_redis


def test_calls_scripts_and_waits(redis_server: Host) -> None:
    """L8: answers come in order; a forgotten script is sent again; a wait can be ended early."""

    async def main() -> None:
        link = Link(redis_url(redis_server))
        await link.open()
        answers = await asyncio.gather(*(link.call("ECHO", str(n)) for n in range(50)))
        assert answers == [str(n).encode() for n in range(50)]
        script = Script("return {KEYS[1], ARGV[1]}")
        for argument in (b"1", b"2"):
            assert await link.run(script, ["k"], [argument]) == [b"k", argument]
            await link.call("SCRIPT", "FLUSH")
        waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "q", "LEFT"))
        await asyncio.sleep(0)
        await link.call("RPUSH", "q", "x")
        assert await waiting == [b"q", [b"x"]]
        waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "q", "LEFT"))
        while not waiting.done():
            link.unblock()
            await link.call("PING")
        assert await waiting is None
        await link.close()
        with pytest.raises(LayerUnavailable, match="closed"):
            link.call("PING")

    asyncio.run(main())


def test_redis_goes_and_comes_back() -> None:
    """L8: what is under way fails and says so; when Redis is back, everything goes on."""

    async def main(first: Host) -> None:
        link, lost, back = Link(redis_url(first)), asyncio.Event(), asyncio.Event()
        link.on_lost.append(lost.set)
        link.on_back.append(back.set)
        await link.open()
        waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "q", "LEFT"))
        await link.call("PING")
        first.kill()
        with pytest.raises(LayerUnavailable, match="broke"):
            await waiting
        await lost.wait()
        with pytest.raises(LayerUnavailable):
            link.call("PING")
        with started_again(first):
            await back.wait()
            assert await link.call("PING") == b"PONG"
            await link.close()

    with start(redis()) as host:
        asyncio.run(main(host))
