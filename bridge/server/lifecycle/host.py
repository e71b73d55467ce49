"""What the program that a server runs in decides for it: Gunicorn, or nothing but the settings."""

from __future__ import annotations

import asyncio
import ssl

from bridge.server.config.config import Config
from bridge.server.logs.access_log import AccessLog, make_access_logger, on_loop
from bridge.server.network.tls import make_context
from bridge.types import ASGIApp


class Host:
    """A server that runs by itself: everything is as its settings say."""

    #: How a user cuts what a stopping server waits for, for the log; empty: in no way.
    cut_by = "CTRL+C again cuts"
    #: What the log says when all is over.
    last_words = "stopped"

    def tls_context(self, config: Config) -> ssl.SSLContext | None:
        """Make the context for new connections; None: they are not encrypted.

        Raises `ConfigError` that names the file or setting at fault.
        """
        return make_context(config)

    def access_log(self, config: Config, loop: asyncio.AbstractEventLoop) -> AccessLog | None:
        """Make what logs each request; None: nothing does. Raises `ConfigError`."""
        return make_access_logger(config, on_loop(loop))

    def app_loaded(self, app: ASGIApp) -> None:
        """Take note of the app, before it starts."""
