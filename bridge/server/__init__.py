"""The server: `serve(app)` from Python, `asgi-bridge serve module:attr` from the shell."""

from __future__ import annotations

from bridge.server.config.config import Config
from bridge.server.process.serving import Server, serve

__all__ = ["Config", "Server", "serve"]
