"""An ASGI app whose life goes as the environment variable ``LIFE`` says; it prints what it does."""

from __future__ import annotations

import asyncio
import json
import os

from bridge.types import Receive, Scope, Send

LIFE = os.environ.get("LIFE", "good")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the state that a request sees, after adding to it."""
    if scope["type"] == "lifespan":
        await live(scope, receive, send)
        return
    state = scope.get("state", {})
    told = json.dumps(state).encode()
    state["mark"] = "of a request"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": told})


async def live(scope: Scope, receive: Receive, send: Send) -> None:
    """One life."""
    print("called", flush=True)
    if LIFE == "unaware":
        raise ValueError("only http here")
    await receive()
    if LIFE == "hangs":
        await asyncio.Event().wait()
    scope["state"]["db"] = "open"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("stopping", flush=True)
    if LIFE == "hangs at the end":
        await asyncio.Event().wait()
    if LIFE == "fails at the end":
        failed = {"type": "lifespan.shutdown.failed", "message": "the queue is not flushed"}
        await send(failed)
        return
    await send({"type": "lifespan.shutdown.complete"})
    print("stopped", flush=True)
