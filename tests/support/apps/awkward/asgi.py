"""ASGI apps that do awkward things, and one that does not."""

from __future__ import annotations

import asyncio
from typing import Any

START = {"type": "http.response.start", "status": 200, "headers": []}


async def _answer(send: Any, body: bytes = b"hello", status: int = 200) -> None:
    await send({**START, "status": status})
    await send({"type": "http.response.body", "body": body})


async def good(scope: Any, receive: Any, send: Any) -> None:
    """Lifespan, HTTP and WebSockets, as they are meant."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            if phase == "startup":
                scope["state"]["ready"] = True
            await send({"type": f"lifespan.{phase}.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    else:
        assert scope["state"]["ready"]
        await _answer(send, status=200 if scope["path"] == "/" else 404)


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Knows HTTP only."""
    assert scope["type"] == "http"
    await _answer(send)


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Takes each scope for a request, and waits for a body in its lifespan for ever."""
    if scope["type"] == "lifespan":
        while True:
            await receive()
    await _answer(send)


async def broken_start(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        raise LookupError("no DATABASE_URL")
    await _answer(send)


async def refusing_start(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    await _answer(send)


async def text(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send(START)
    await send({"type": "http.response.body", "body": "text"})


async def silent(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def half(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send(START)
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def lying(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({**START, "headers": [(b"content-length", b"50")]})
    await send({"type": "http.response.body", "body": b"short"})


async def hangs(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await asyncio.Event().wait()


async def stubborn(scope: Any, receive: Any, send: Any) -> None:
    """Streams on when its client has left: it takes no notice of errors."""
    assert scope["type"] == "http"
    await send(START)
    while True:
        try:
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        except OSError:
            await asyncio.sleep(0.01)


async def quiet(scope: Any, receive: Any, send: Any) -> None:
    """A stream of which nothing comes."""
    assert scope["type"] == "http"
    await send(START)
    await receive()
    while (await receive())["type"] != "http.disconnect":
        pass
