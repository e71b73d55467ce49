"""Two apps, of which the new one fails some requests, and a cutover with gates between them."""

from __future__ import annotations

import os
import sys
from random import Random

from bridge import Cutover, Route
from bridge.cutover.canary.hook import Rollback
from bridge.types import ASGIApp, Receive, Scope, Send


def app(side: str, *failing: str) -> ASGIApp:
    """An app that tells its side; below the paths in `failing` it raises in 5 % of all requests."""
    rng = Random(side)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": side})
            await send({"type": "websocket.close"})
            return
        path = scope["path"]
        if path in failing and rng.random() < 0.05:
            raise ValueError(f"{side} failed at {path}")
        if side == "new" and path in ("/rescued", "/gone"):
            raise ValueError("always")
        lacks = path in ("/nobody-has", "/gone") or (side == "new" and path == "/elsewhere")
        status = 404 if lacks else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": side.encode()})

    return answer


async def deadly(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that ends its process."""
    if scope["type"] == "http":
        os._exit(1)


def tell(event: Rollback) -> None:
    """The hook."""
    print(f"told of {event.route} at {event.share:g} %", file=sys.stderr, flush=True)


GATE = {"window": "60s", "min_requests": 50, "max_error_points": 1}
STRICT = {**GATE, "max_client_error_points": 5}
LAX = {"window": "60s", "min_requests": 1, "max_error_points": 50}


cutover = Cutover(
    app("old", "/equal"),
    app("new", "/worse", "/equal"),
    [
        Route("worse", "/worse", mode="canary", share=50, gate=GATE, on_rollback=tell),
        Route("equal", "/equal", mode="canary", share=50, gate=GATE),
        Route("elsewhere", "/elsewhere", mode="canary", share=50, gate=STRICT, on_rollback=tell),
        Route("nobody-has", "/nobody-has", mode="canary", share=50, gate=STRICT),
        Route("climbs", "/climbs", mode="canary", steps=[20, 60, 100], step_time=1, gate=LAX),
        Route("half", "/half", mode="canary", share=50),
        Route("rescued", "/rescued", mode="canary", share=100, rescue=True),
        Route("gone", "/gone", mode="canary", share=100, rescue=True),
    ],
)
