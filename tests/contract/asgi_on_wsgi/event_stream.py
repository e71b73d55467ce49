"""Server-sent events: one tick for each stream, as often as the client's query says."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from typing import Any

from bridge.asgi_to_wsgi import AsgiToWsgi

HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]

#: What the streams of this process are doing.
open_streams = 0
sent_bytes = 0


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    if scope["path"] == "/figures":
        await figures(send)
    elif scope["path"] == "/flood":
        await stream(send, b"data: " + b"x" * 8000 + b"\n\n", pause=0)
    else:
        await stream(send, b"data: tick\n\n", pause=0.02)


async def stream(send: Any, event: bytes, pause: float) -> None:
    global open_streams, sent_bytes
    open_streams += 1
    try:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        while True:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            sent_bytes += len(event)
            await asyncio.sleep(pause)
    finally:
        open_streams -= 1


async def figures(send: Any) -> None:
    told = {
        "streams": open_streams,
        "bytes": sent_bytes,
        "pid": os.getpid(),
        "threads": len(os.listdir("/proc/self/task")),
        "greenlets": threading.active_count(),
    }
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


application = AsgiToWsgi(app, lifespan="off", disconnect_grace=0.2)
