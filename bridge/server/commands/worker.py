"""`asgi-bridge worker`: a process that runs an app and has no port (rules L9, L10).

It starts and stops as a server does, on the same signals: the app is imported before the loop runs,
SIGTERM lets end what runs, a second SIGINT cuts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.channels.current import get_channel_layer, set_channel_layer
from bridge.channels.redis.layer import RedisLayer
from bridge.errors import ConfigError, pluralize
from bridge.gateway.back.worker import PLACES, Worker
from bridge.log import logger
from bridge.server.apps.handlers import runners_of, stop_runners
from bridge.server.config.config import Config
from bridge.server.lifecycle.announcement import announcement
from bridge.server.lifecycle.stopping import ARRIVAL_GRACE
from bridge.server.logs.loggers import reenable_loggers
from bridge.server.network.listeners import Listener
from bridge.server.operations.watching import watch_loop
from bridge.server.server import Server


class WorkerProcess(Server):
    """A process that serves requests which gateways have put into Redis."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.channels is None:
            raise ConfigError(
                "no channels are named; say where the requests come from: "
                "--channels redis://host:port"
            )
        self._channels: str = config.channels
        self._worker: Worker | None = None
        #: The layer of ASGI 1 consumers, and of whatever else in the app asks for one.
        self._layer: RedisLayer | None = None

    def load(self) -> None:
        """Import the app; its channel layer is the one over this Redis, unless it says another."""
        if self._layer is None:
            self._layer = RedisLayer(self._channels, prefix=self.config.channels_prefix)
            set_channel_layer(self._layer)
        super().load()

    @property
    def worker(self) -> Worker:
        """Return the worker, once it has started."""
        assert self._worker is not None, "the worker has not started yet"
        return self._worker

    @property
    def served(self) -> int:
        """Return the number of requests taken so far."""
        return 0 if self._worker is None else self._worker.taken

    async def start(self, listeners: Sequence[Listener] | None = None) -> None:
        """Connect to Redis, start the app, and take requests; there are no `listeners`.

        Raises as `Server.start` does, and `LayerUnavailable` if Redis does not answer.
        """
        config, loop = self.config, asyncio.get_running_loop()
        self.load()
        self._worker = worker = Worker(
            self.app,
            self._channels,
            kind="asgi3",
            prefix=config.channels_prefix,
            limit_concurrency=config.limit_requests or PLACES,
            lifespan=config.lifespan,  # type: ignore[arg-type]
            timeout_startup=config.timeout_startup,
            timeout_shutdown=config.timeout_shutdown,
        )
        for _, runner in runners_of(self.app):
            runner.start(loop)
        try:
            await worker.start()
        except BaseException:
            await stop_runners(self.app, 0)
            raise
        self.watchdog = watch_loop(config, self.app, lambda: self.served)
        self.orders.started()
        reenable_loggers()
        for line in announcement(config, self.app):
            logger.info(line)
        logger.info("taking requests from %s", worker.shown)

    def log_stats(self) -> None:
        """Write the figures of the worker, and of each mount's runner, to the log (SIGUSR2)."""
        worker = self._worker
        if worker is None:
            return  # it has not started
        logger.info("%s under way, %d taken", pluralize(worker.busy, "request"), worker.taken)
        for name, runner in runners_of(self.app):
            logger.info("%s: %s", name, runner.stats())

    def _close_layer(self) -> None:
        assert self._layer is not None, "the app is not loaded yet"
        if get_channel_layer() is self._layer:
            set_channel_layer(None)
        self._layer.close()

    async def stop(self, grace: float | None = None) -> None:
        """Take no more requests, finish those that are under way, shut the app down, leave.

        `grace`: seconds for what is under way; None: as `timeout_graceful_shutdown` says.
        Cancelling this cuts what is under way.
        """
        if grace is None:
            grace = self.config.timeout_graceful_shutdown
        self.orders.stop_within(grace)
        if self.watchdog is not None:
            self.watchdog.stop()
        ending = asyncio.ensure_future(self.worker.stop(grace, self.orders.cut))
        try:
            await asyncio.shield(ending)
            await stop_runners(self.app, ARRIVAL_GRACE)
        except asyncio.CancelledError:
            self.orders.cut.set()  # nothing of it is left behind, also then
            await asyncio.wait([ending])
            raise
        finally:
            await asyncio.to_thread(self._close_layer)
            self.orders.stopped()
        logger.info("stopped")
