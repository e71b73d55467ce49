"""WebSockets on the server (S20, S21): their place; for now every handshake is refused."""

from __future__ import annotations

from typing import Any

from bridge.errors import RequestError
from bridge.server.http import HttpProtocol
from bridge.server.request import RequestHead
from bridge.server.state import ServerState
from bridge.types import ASGIApp


class WebSocketHandler:
    """Takes connections over that ask for a WebSocket."""

    def __init__(self, app: ASGIApp, state: ServerState, lifespan_state: dict[str, Any]) -> None:
        self.app = app
        self.state = state
        self.lifespan_state = lifespan_state

    def __call__(self, connection: HttpProtocol, head: RequestHead, rest: bytes) -> None:
        """Refuse."""
        raise RequestError("WebSockets are not served yet", 501)
