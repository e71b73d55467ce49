"""The ASGI app that is asked; it says by marks what it saw."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.compared.marks import mark
from bench.compared.wsgi_app import PIECE, PIECES


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await _deny(scope, receive, send)
    else:
        await ROUTES[scope["path"]](scope, receive, send)


async def _lifespan(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if "state" in scope:
        scope["state"]["probe"] = "from startup"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _deny(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a WebSocket by a response of our own, if the server can."""
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-length", b"8")]
    await send({"type": "websocket.http.response.start", "status": 402, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"pay here"})


async def _answer(send: Any, body: bytes, status: int = 200, length: int | None = None) -> None:
    size = str(len(body) if length is None else length).encode()
    headers = [(b"content-length", size)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"hello")


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await _answer(send, body)


async def _wait(scope: Any, receive: Any, send: Any) -> None:
    """Wait for the client to leave, without sending anything."""
    mark("waits")
    while (await receive())["type"] != "http.disconnect":
        pass
    mark("told")


async def _cut(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            mark("cut: http.disconnect")
            return
        if not message.get("more_body", False):
            mark("cut: as if it were all")
            return


async def _leave(scope: Any, receive: Any, send: Any) -> None:
    """Send for ten seconds, and say if that fails."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        for _ in range(1000):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            await asyncio.sleep(0.01)
    except OSError:
        mark("ended: OSError")
    except asyncio.CancelledError:
        mark("ended: cancelled")
        raise
    except Exception as error:
        mark(f"ended: {type(error).__name__}")


async def _flood(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(PIECES):
        mark("piece")
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await asyncio.sleep(0)


async def _idle(scope: Any, receive: Any, send: Any) -> None:
    """Read nothing of the body for three seconds."""
    await asyncio.sleep(3)
    await _answer(send, b"enough", 413)


async def _state(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, (scope.get("state") or {}).get("probe", "none").encode())


async def _hints(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.early_hint" in (scope.get("extensions") or {}):
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await _answer(send, b"hello")


async def _trailers(scope: Any, receive: Any, send: Any) -> None:
    able = "http.response.trailers" in (scope.get("extensions") or {})
    start: dict[str, Any] = {"type": "http.response.start", "status": 200}
    start |= {"headers": [(b"trailer", b"x-sum")]} | ({"trailers": True} if able else {})
    await send(start)
    await send({"type": "http.response.body", "body": b"hello"})
    if able:
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"right")]})


async def _short(scope: Any, receive: Any, send: Any) -> None:
    """Promise ten bytes and send five."""
    await _answer(send, b"hello", length=10)


async def _fail(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    raise RuntimeError("in the middle of a response")


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a request without reading its body."""
    await _answer(send, b"no", 403)


ROUTES = {
    "/hello": _hello,
    "/echo": _echo,
    "/wait": _wait,
    "/cut": _cut,
    "/leave": _leave,
    "/flood": _flood,
    "/idle": _idle,
    "/state": _state,
    "/hints": _hints,
    "/trailers": _trailers,
    "/short": _short,
    "/fail": _fail,
    "/refuse": _refuse,
}
