"""Schemes of HTTP and of WebSockets, and their default ports (RFC 9110 §4.2, RFC 6455 §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443, "ws": 80, "wss": 443}
#: The scheme of the HTTP request with which a connection began.
HTTP_SCHEMES: Final[Mapping[str, str]] = {
    "http": "http",
    "https": "https",
    "ws": "http",
    "wss": "https",
}
#: The scheme of the WebSocket that an HTTP request opens.
WEBSOCKET_SCHEMES: Final[Mapping[str, str]] = {"http": "ws", "https": "wss"}
