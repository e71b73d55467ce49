"""What gateways and workers both know of the messages of ASGI 1 consumers (rule L9)."""

from __future__ import annotations

from typing import Final

from bridge.gateway.protocol import CONSUMERS

#: What a worker says of a consumer that has looked at which message it was called with.
TELLS_APART: Final = {"type": CONSUMERS, "tells_apart": True}


def session_channel(queue: str, session: int) -> str:
    """Name the reply channel of a request: `queue` is its gateway's."""
    return f"{queue}s{session}"


def session_of(channel: str) -> int | None:
    """Return the session whose reply channel this is; None if it is that of none."""
    number = channel.partition("!s")[2]
    return int(number) if number.isdecimal() else None
