"""A gateway and a worker make of the recorded talks what the server makes of them (L7, L9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bridge.channels import RedisLayer
from bridge.gateway.back.worker import Worker
from bridge.gateway.front.gateway import Gateway
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.contract.asgi1.comparison import Step, differences
from tests.contract.asgi1.known import REFUSED, seen_here
from tests.contract.asgi1.replay import (
    GRACE,
    TALKS,
    Mode,
    Talks,
    plain,
    replay,
    said_ahead,
    steps_of,
)
from tests.support.gateways import new_prefix
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_server, redis_url

__all__ = ["redis_server"]
pytestmark = needs_redis

MODE = Mode(plain, at_once=True)

#: Not said here: of two replies, the second may come after the client's close; and one that raises
#: may be faster than the one before it, which goes by another way.
APART = {"open: empty text", "open: empty bytes", "reply, wrong: a second status"}


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


@pytest.fixture(scope="module")
def here(request: pytest.FixtureRequest, redis_server: Host) -> Iterator[Talks]:
    """``here(name)``: a talk as a gateway and a worker have it, by a layer of their own."""
    url = redis_url(redis_server)

    def say(name: str) -> list[Step]:
        prefix = new_prefix()
        layer = RedisLayer(url, prefix=prefix)
        mode = replace(MODE, host=lambda app: OverRedis(app, url, prefix))
        try:
            return replay(name, mode, 0.2 if name in REFUSED else GRACE, layer=layer)
        finally:
            layer.close()

    with said_ahead(request, say) as talks:
        yield talks


@pytest.mark.parametrize("name", [name for name in TALKS if name not in APART])
def test_same_messages_and_answers_by_a_worker(here: Talks, name: str) -> None:
    """L7, L9: the consumer is on a worker, and its replies come by Redis."""
    steps = steps_of(name, MODE)
    found = differences(steps, here(name))
    assert {place: ours for place, (_, ours) in found.items()} == seen_here(name, steps), found
