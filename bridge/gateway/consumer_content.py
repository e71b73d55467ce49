"""What gateways and workers both know of the messages of ASGI 1 consumers (rule L9)."""

from __future__ import annotations

from typing import Final

from bridge.asgi1.http import headers_of
from bridge.gateway.protocol import CONSUMERS
from bridge.types import Message, Scope

#: What a worker says of a consumer that has looked at which message it was called with.
TELLS_APART: Final = {"type": CONSUMERS, "tells_apart": True}


def request_content(scope: Scope, reply_channel: str, body: bytes) -> Message:
    """Make the content of ``http.request``."""
    get = scope.get
    client, server = get("client"), get("server")
    return {
        "reply_channel": reply_channel,
        "http_version": scope["http_version"],
        "method": scope["method"],
        "scheme": get("scheme", "http"),
        "path": scope["path"],
        "query_string": get("query_string", b""),
        "root_path": get("root_path", ""),
        "headers": headers_of(scope),
        "body": body,
        "client": client and [*client],
        "server": server and [*server],
    }


def session_channel(queue: str, session: int) -> str:
    """Name the reply channel of a request: `queue` is its gateway's."""
    return f"{queue}s{session}"


def session_of(channel: str) -> int | None:
    """Return the session whose reply channel this is; None if it is that of none."""
    number = channel.partition("!s")[2]
    return int(number) if number.isdecimal() else None
