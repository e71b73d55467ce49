"""A gateway and a worker make of the recorded talks what the server makes of them (L7, L9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.channels import RedisLayer
from bridge.gateway.back.worker import Worker
from bridge.gateway.front.gateway import Gateway
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.contract.asgi1.comparison import differences
from tests.contract.asgi1.known import RAISING, REFUSED, seen_here
from tests.contract.asgi1.replay import GRACE, TALKS, Mode, plain, replay, steps_of
from tests.support.gateways import new_prefix
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_server, redis_url

__all__ = ["redis_server"]
pytestmark = needs_redis

#: The gateway does not know whether a consumer tells messages apart, so it tells no ends.
MODE = Mode(plain, at_once=True, told_of_ends=False)

#: Not said here: replies that are wrong do not raise in a worker, which sends them by the layer;
#: and of two replies, the second may come after the client's close.
APART = {*RAISING, "open: empty text", "open: empty bytes"}


class OverRedis:
    """A gateway, and a worker that runs `app`, as one app."""

    def __init__(self, app: ASGIApp, url: str, prefix: str) -> None:
        self.gateway = Gateway(url, prefix=prefix)
        self.worker = Worker(app, url, prefix=prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be the gateway; both live as long as the server."""
        if scope["type"] != "lifespan":
            await self.gateway(scope, receive, send)
            return
        await receive()
        await self.gateway.open()
        await self.worker.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.worker.stop(10)
        await self.gateway.close()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("name", [name for name in TALKS if name not in APART])
def test_same_messages_and_answers_by_a_worker(redis_server: Host, name: str) -> None:
    """L7, L9: the consumer is on a worker, and its replies come by Redis."""
    url, prefix = redis_url(redis_server), new_prefix()
    mode = replace(MODE, host=lambda app: OverRedis(app, url, prefix))
    steps = steps_of(name, mode)
    layer = RedisLayer(url, prefix=prefix)
    try:
        told = replay(name, mode, 0.2 if name in REFUSED else GRACE, layer=layer)
    finally:
        layer.close()
    found = differences(steps, told)
    assert {place: ours for place, (_, ours) in found.items()} == seen_here(name, steps), found
