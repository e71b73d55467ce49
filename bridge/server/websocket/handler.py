"""Opens WebSockets, and loads what that needs when the first is asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from bridge.server.exchange import Connection, Exchange, Handler
from bridge.server.request import Request


class WebSockets:
    """Opens exchanges as `WebSocketHandler` does, which it makes for the first handshake.

    What that needs, the `websockets` library above all, takes 4 MB and some 20 ms to load.
    """

    def __init__(self, *settings: Any) -> None:
        self._settings = settings

    @cached_property
    def _handler(self) -> Handler:
        from bridge.server.websocket.exchange import WebSocketHandler

        return WebSocketHandler(*self._settings)

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange for this handshake. Raises `RequestError` (400, 426)."""
        return self._handler.open(connection, request)
