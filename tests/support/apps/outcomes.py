"""Apps that fail in many ways, and a cutover whose canary tells what it has heard."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bridge import Cutover, Route
from bridge.cutover.sides import Choice
from bridge.types import Environ, Receive, Scope, Send, StartResponse

HEARD: list[Any] = []
#: What hangs waits for that.
RELEASED = asyncio.Event()


class Canary:
    """Chooses by a field of the request."""

    def choose(self, route: Route, scope: Scope) -> Choice:
        """Say who answers; who asks for a cookie gets one."""
        fields = dict(scope["headers"])
        cookie = (b"set-cookie", b"bridge_canary=7") if b"x-new-here" in fields else None
        return Choice(fields.get(b"x-side", b"new").decode(), cookie)

    def observe(self, route: Route, side: str, status: int, seconds: float | None) -> None:
        """Note how a request went."""
        timed: float | str = "timed" if route.name != "reads" else seconds or 0.0
        HEARD.append([route.name, side, status, None if seconds is None else timed])

    def rescued(self, route: Route, error: Exception) -> None:
        """Note that the old app was asked."""
        HEARD.append([route.name, "rescued"])


def old(environ: Environ, start_response: StartResponse) -> Any:
    """The old app: WSGI."""
    path = environ["PATH_INFO"]
    if path == "/heard":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(HEARD).encode()]
    if path == "/both-fail":
        raise ValueError("the old one, too")
    start_response("200 OK", fields(path, "X-Served-By"))
    return stream(path)


def stream(path: str) -> Any:
    """Send a body."""
    yield b"old"
    if path == "/breaks":
        raise ValueError("in the middle")


def fields(path: str, name: str) -> list[tuple[str, str]]:
    """Response fields by path: one that says who answered, which is not the app's to say."""
    kept = {"/public": "public, max-age=60", "/private": "private, max-age=60"}.get(path)
    mine = [(name, "somebody"), ("X-Other", "1")]
    return mine if kept is None else [*mine, ("Cache-Control", kept)]


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    """The new app: ASGI."""
    path = scope["path"]
    if scope["type"] == "websocket":
        await new_websocket(path, receive, send)
        return
    assert scope["type"] == "http"
    if path in ("/both-fail", "/fails"):
        raise ValueError("the new one")
    if path == "/leaves":
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ValueError("as the client has left")
    if path == "/hangs":
        await RELEASED.wait()
    if path == "/reads":
        await receive()
        HEARD.append(["reads", "waits"])
        while (await receive()).get("more_body"):
            pass
    if path == "/release":
        RELEASED.set()
    named = [(name.lower().encode(), value.encode()) for name, value in fields(path, "x-served-by")]
    await send({"type": "http.response.start", "status": 200, "headers": named})
    await send({"type": "http.response.body", "body": b"new", "more_body": True})
    if path == "/breaks":
        raise ValueError("in the middle")
    if path != "/ends-early":
        await send({"type": "http.response.body", "body": b""})


async def new_websocket(path: str, receive: Receive, send: Send) -> None:
    """Wait for the client to leave, and raise then; or before."""
    await receive()
    await send({"type": "websocket.accept"})
    if path != "/breaks":
        await receive()
    raise ValueError("in a WebSocket")


def canary(path: str, **more: Any) -> Route:
    """One whose name is its path."""
    return Route(path[1:], path, mode="canary", share=50, **more)


cutover = Cutover(
    old,
    new,
    [
        *[canary(path) for path in ("/leaves", "/breaks", "/ends-early", "/public", "/private")],
        canary("/reads"),
        canary("/hangs", gate={"window": 60, "timeout": "0.5s"}),
        canary("/plain"),
        Route("release", "/release", mode="new"),
        *[canary(path, rescue=True) for path in ("/both-fail", "/fails")],
        Route("always", "/always", mode="new", rescue=True),
    ],
    canary=Canary(),
)
