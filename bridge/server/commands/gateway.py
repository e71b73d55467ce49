"""`asgi-bridge gateway`: a server whose app is a `Gateway` (rules L9, L10)."""

from __future__ import annotations

from dataclasses import replace

from bridge.errors import AppLoadError, ConfigError
from bridge.server.config.config import Config
from bridge.server.server import Server


class GatewayProcess(Server):
    """A server that has its requests answered by workers.

    Raises `ConfigError` if no channels are named, `AppLoadError` if it cannot use them.
    """

    def __init__(self, config: Config) -> None:
        if config.channels is None:
            raise ConfigError(
                "no channels are named; say where the workers are asked: "
                "--channels redis://host:port"
            )
        try:
            from bridge.gateway.front.gateway import Gateway  # raises if the library is missing

            app = Gateway(
                config.channels,
                prefix=config.channels_prefix,
                queue_limit=config.limit_queue,
                timeout_queue=config.timeout_queue,
            )
        except ConfigError as error:
            raise AppLoadError(str(error)) from None
        # A file that workers share may name an app, and say of what kind it is.
        own = replace(config, app=app, mount=(), interface="asgi3", factory=False, lifespan="on")
        super().__init__(own)
