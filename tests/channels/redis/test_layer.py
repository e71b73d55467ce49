"""A channel layer over Redis for any thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bridge.channels.redis.layer import RedisLayer
from bridge.errors import ChannelFull, ConfigError
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_threads_and_loops(redis_server: Host) -> None:
    """L8: it works from any thread, and on any loop."""
    layer = RedisLayer(redis_url(redis_server), prefix="threads", capacity=2)
    layer.flush()
    sender = threading.Thread(target=layer.send, args=("a", {"n": 1}))
    sender.start()
    assert layer.receive(["a"], block=True) == ("a", {"n": 1})
    sender.join()

    async def main() -> None:
        waiting = asyncio.create_task(layer.receive_async(["a"]))
        await asyncio.to_thread(layer.send, "a", {"n": 2})
        assert await waiting == ("a", {"n": 2})

    asyncio.run(main())
    layer.send("b", {})
    layer.send("b", {})
    with pytest.raises(ChannelFull):
        layer.send("b", {})
    figures = layer.channel_statistics("b")
    assert (figures["messages_pending"], figures["channel_full_count"]) == (2, 1)
    layer.close()


def test_bad_address() -> None:
    """L13: a wrong address is refused when the layer is made."""
    with pytest.raises(ConfigError):
        RedisLayer("http://a")
