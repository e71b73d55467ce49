"""Waiting for messages from Redis."""

from __future__ import annotations

import asyncio

from bridge.channels.redis.store import Store
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_many_wait_at_once(redis_server: Host) -> None:
    """L8: one connection waits for all; each message goes to one that waits for its queue."""

    async def main() -> None:
        store = Store(redis_url(redis_server), prefix="many")
        await store.open()
        waiting = {
            name: asyncio.create_task(store.receive_waiting([name]))
            for name in [f"c{n}" for n in range(20)]
        }
        await asyncio.sleep(0)
        for n, name in enumerate(waiting):
            await store.send(name, {"n": n})
        for n, (name, task) in enumerate(waiting.items()):
            assert await task == (name, {"n": n})
        await store.close()

    asyncio.run(main())
