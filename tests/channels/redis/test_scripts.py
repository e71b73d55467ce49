"""What Redis does in one step."""

from __future__ import annotations

import asyncio

from bridge.channels.redis import scripts
from bridge.channels.redis.link import Link
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_a_list_that_is_full_makes_room_for_what_has_expired(redis_server: Host) -> None:
    """L8: a channel is full of messages that somebody may still read, and of no others."""

    async def main() -> None:
        link = Link(redis_url(redis_server))
        await link.open()
        await link.call("RPUSH", "list", b"\x00" * 8 + b"old")
        assert await link.run(scripts.SEND, ["list"], [1, 60_000, b"new"]) == 1
        assert await link.run(scripts.SEND, ["list"], [1, 60_000, b"more"]) == 0
        assert (await link.call("LRANGE", "list", 0, -1))[0].endswith(b"new")
        await link.close()

    asyncio.run(main())
