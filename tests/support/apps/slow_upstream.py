"""A server that answers after a second: ``/``; at once: ``/now``; never as a whole: ``/cut``."""

from __future__ import annotations

import asyncio
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI, for HTTP."""
    if scope["path"] != "/now":
        await asyncio.sleep(1)
    body = b"hello"
    size = 100 if scope["path"] == "/cut" else len(body)
    fields = [(b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
