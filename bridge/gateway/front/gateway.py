"""`Gateway`: an ASGI 3 app whose requests are answered by workers, over Redis (rules L9, L10).

Any ASGI server can serve it; ``asgi-bridge gateway`` has ours do that. It connects at lifespan
startup, or at the first request on a host without lifespan. It has no app of its own: which apps
there are, the workers know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from bridge.channels.redis.store import Store
from bridge.errors import ConfigError, LayerUnavailable, UnsupportedScope
from bridge.gateway.bus import Bus
from bridge.gateway.front.consumers import Consumers
from bridge.gateway.front.exchange import Exchange, sent_scope
from bridge.gateway.front.http import HttpExchange
from bridge.gateway.front.waiting import TICK, WaitingRequests
from bridge.gateway.front.websocket import SocketExchange
from bridge.gateway.session import Session
from bridge.log import logger
from bridge.types import Message, Receive, Scope, Send


class Gateway:
    """The gateway of the Redis at `url`, for the workers that use the same `prefix`.

    At most `queue_limit` requests of all gateways wait for a worker, each `timeout_queue` seconds.
    Raises `ConfigError` for values that are not allowed.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "bridge",
        queue_limit: int = 1000,
        timeout_queue: float = 30.0,
    ) -> None:
        if queue_limit < 1 or timeout_queue <= 0:
            raise ConfigError(
                f"queue_limit is {queue_limit!r} and timeout_queue {timeout_queue!r}; the first "
                "must be 1 or more, the second more than 0"
            )
        self.bus = Bus(url, "gateway", prefix=prefix)
        self.requests = WaitingRequests(self.bus, queue_limit, timeout_queue)
        self._consumers = Consumers(self.requests, Store(url, prefix=prefix))
        #: Exchanges of which nobody sees yet whether their clients leave.
        self._unwatched: set[Exchange] = set()
        self._opening: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, have a WebSocket, or do the lifespan (ASGI 3)."""
        kind = scope["type"]
        if kind == "http":
            exchange: Exchange = HttpExchange(self.requests, self._consumers, scope, receive, send)
        elif kind == "websocket":
            exchange = SocketExchange(self.requests, self._consumers, scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
            return
        else:
            raise UnsupportedScope(f"a gateway takes HTTP and WebSockets, not {kind!r}")
        if not self.is_open:
            try:
                await self.open()
            except LayerUnavailable as error:
                await exchange.refuse(error)
                return
        await exchange.run(self._unwatched)

    # --------------------------------------------------------- for our own server

    @property
    def is_open(self) -> bool:
        """Return whether requests can be asked."""
        return self._ticking is not None

    def begin(self, scope: Scope) -> bytes:
        """Encode a request with this scope, as far as its session is not concerned."""
        return self.requests.writer.begin(sent_scope(scope, self._consumers))

    def shared(self, scope: Scope) -> bytes:
        """Encode what requests have in common: a scope without what is in `protocol.OWN`."""
        return self.requests.writer.shared(sent_scope(scope, self._consumers))

    def take_over(
        self,
        session: Session,
        events: list[Message],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> Coroutine[Any, Any, None]:
        """Return what goes on with a request that was asked with these events (`Asked.begun`)."""
        # At once: the session may be over before a task begins, and early replies wait for it.
        self._consumers.expected.add(session.number)
        exchange = HttpExchange(self.requests, self._consumers, scope, receive, send)
        return exchange.take_over(session, events, self._unwatched)

    # --------------------------------------------------------- open and close

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.open()
        except LayerUnavailable as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def open(self) -> None:
        """Connect, once. Raises `LayerUnavailable` if Redis does not answer; then try again."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        await self.bus.open()
        self._ticking = asyncio.create_task(self._tick())
        logger.info("the gateway %s uses Redis at %s", self.bus.name, self.bus.link.shown)

    async def close(self) -> None:
        """Disconnect; sessions that are still open are lost. Does nothing if it is not open."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
            self._ticking = self._opening = None
            await self._consumers.close()
            await self.bus.close()

    async def _tick(self) -> None:
        """Look after what waits, four times a second."""
        while True:
            await asyncio.sleep(TICK)
            # Most are answered by now: only the others get a task that sees their clients leave.
            while self._unwatched:
                self._unwatched.pop().look()
            try:
                await self.requests.tick()
            except LayerUnavailable:
                pass  # the link has logged it
