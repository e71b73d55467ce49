"""A WebSocket app that only listens; at ``/chatty`` it first says more than a client may take."""

from __future__ import annotations

from bridge.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/chatty":
        for _ in range(400):
            await send({"type": "websocket.send", "bytes": bytes(60_000)})
    while (await receive())["type"] != "websocket.disconnect":
        pass
