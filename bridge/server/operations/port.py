"""A port of its own for monitors: `/metrics`, `/live` and `/ready` (O1, O2).

The supervisor has it on its loop, so that it answers while all workers are blocked; a process that
serves alone has it on the loop of its server. It is served by the server's own HTTP, whose limits
are much lower here: a monitor asks rarely, and from near.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.clock import TICK
from bridge.server.config.config import Config
from bridge.server.http1.factory import connection_factory
from bridge.server.lifecycle.listening import Listening
from bridge.server.metrics.snapshot import Snapshot
from bridge.server.metrics.text import CONTENT_TYPE, render
from bridge.server.network.listeners import Listener, open_listeners
from bridge.server.operations.answers import Answer, OwnHandler, as_document
from bridge.server.operations.health import Health
from bridge.server.state import ServerState

#: More connections than these at a time get 503.
MOST_CONNECTIONS: Final = 32
#: Seconds for a request to come, for its head and body, and for the answer to be taken.
PATIENCE: Final = 5.0


@asynccontextmanager
async def operations(
    config: Config, health: Health, figures: Callable[[], Snapshot]
) -> AsyncIterator[OperationsPort]:
    """Answer at `metrics_bind`, if it is set, as long as the block lasts.

    `figures` gives what the server counts, merged if it has several processes. Raises
    `ConfigError`.
    """
    port = OperationsPort(open_operations(config), health, figures)
    await port.open()
    try:
        yield port
    finally:
        port.close()


class OperationsPort:
    """What answers at `listeners`, which it closes, on the loop that runs when it is opened."""

    def __init__(
        self, listeners: Sequence[Listener], health: Health, figures: Callable[[], Snapshot]
    ) -> None:
        self._listeners = listeners
        self._figures = figures
        self._handler = OwnHandler(
            {"/metrics": self._metrics, "/live": health.live, "/ready": health.ready}
        )
        self._listening = Listening()
        self._state: ServerState | None = None
        self._next_tick: asyncio.TimerHandle | None = None

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Return the addresses that it listens at; empty when closed."""
        return self._listening.addresses

    async def open(self) -> None:
        """Answer from now on."""
        if not self._listeners:
            return
        self._state = state = ServerState(_limits(), asyncio.get_running_loop())
        make_connection = connection_factory(state, self._handler, self._handler)
        await self._listening.open(self._listeners, make_connection, state, None)
        self._tick(state)
        places = ", ".join(each.describe() for each in self._listeners)
        logger.info("metrics and health: %s (/metrics, /live, /ready)", places)

    def _metrics(self) -> Answer:
        return as_document(CONTENT_TYPE, render(self._figures()))

    def _tick(self, state: ServerState) -> None:
        """Look at the connections, once a second: one that is too slow is closed."""
        self._next_tick = state.loop.call_later(TICK, self._tick, state)
        state.tick()
        state.check_timeouts()

    def close(self) -> None:
        """Stop answering; connections are cut."""
        self._listening.close()
        if self._next_tick is not None:
            self._next_tick.cancel()
        if self._state is not None:
            for connection in list(self._state.connections):
                connection.shutdown(at_once=True)


def _limits() -> Config:
    return Config(
        access_log=False,
        proxy_headers=False,
        limit_connections=MOST_CONNECTIONS,
        limit_header_size=16 * 1024,
        timeout_header=PATIENCE,
        timeout_body=PATIENCE,
        timeout_body_idle=PATIENCE,
        timeout_keep_alive=PATIENCE,
        timeout_write=PATIENCE,
    )


def open_operations(config: Config) -> list[Listener]:
    """Listen at `metrics_bind`, if it is set. Raises `ConfigError`.

    If another process has that address, a warning says so, and there is no such port: what serves
    clients does not depend on it.
    """
    spec = config.metrics_bind
    if spec is None:
        return []
    try:
        return open_listeners(config, spec)
    except ConfigError as error:
        cause = error.__cause__
        if getattr(cause, "errno", None) != errno.EADDRINUSE:
            raise ConfigError(f"metrics_bind: {error}") from cause
        logger.warning(
            "no metrics, and no /live and /ready, at %s: another process listens there; stop it "
            "(`ss -lntxp` names it), or choose another address with --metrics-bind, and restart",
            spec,
        )
        return []
