"""A channel layer over Redis, as coroutines."""

from __future__ import annotations

import asyncio

from bridge.channels.redis.store import Store
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_clients_of_another_process(redis_server: Host) -> None:
    """L8: a message to a group reaches the clients of every process, once."""

    async def main() -> None:
        one, other = (Store(redis_url(redis_server), prefix="clients") for _ in range(2))
        await one.open()
        await other.open()
        seen: asyncio.Queue[dict[str, int]] = asyncio.Queue()
        for _ in range(3):
            channel = one.new_reply_channel()
            one.attach(channel, seen.put_nowait)
            await other.group_add("g", channel)
        await other.send_group("g", {"n": 1})
        assert [await seen.get() for _ in range(3)] == [{"n": 1}] * 3
        assert seen.empty()
        await one.close()
        await other.close()

    asyncio.run(main())
