"""An ASGI 1 consumer that reads an upload in pieces, and tells its size and hash.

Nothing of it is kept: the client is slowed down to the pace of the consumer.

    asgi-bridge serve examples.asgi1_upload:consumer
    curl --data-binary @large.iso http://127.0.0.1:8000/
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import bridge


async def consumer(message: dict[str, Any], channels: Mapping[str, Any]) -> None:
    """Take the body of a request; a small one is in the message, else it comes in pieces."""
    if message["channel"] != "http.request":
        return  # http.disconnect: the client has left
    size, digest = 0, hashlib.sha256()
    async for piece in bridge.Body.from_consumer(message, channels):
        size += len(piece)
        digest.update(piece)
    headers = [(b"content-type", b"text/plain")]
    content = f"Hello, you have sent {size} bytes: {digest.hexdigest()}\n".encode()
    await channels["reply"].send({"status": 200, "headers": headers, "content": content})
