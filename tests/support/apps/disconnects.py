"""ASGI apps that send and receive when nobody is there; ``/events`` tells what they met."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.types import Receive, Scope, Send
from tests.support.apps.http_rules import EVENTS, answer, body, events, start


async def attempt(name: str, *sends: Any) -> None:
    """Note in how far these could be sent."""
    for number, message in enumerate(sends):
        try:
            await message
        except OSError:
            EVENTS[name] = f"OSError at message {number + 1}"
            for rest in sends[number + 1 :]:
                rest.close()
            return
    EVENTS[name] = "all sent"


async def until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """A whole response, after it was told."""
    EVENTS["told"] = "waits"
    await until_disconnect(receive)
    await attempt("told", send(start()), send(body(b"x")))


async def again(scope: Scope, receive: Receive, send: Send) -> None:
    """A second response behind a stream that was left, as the event streams of MCP have it."""
    await send(start())
    await send(body(b": hello\n\n", more=True))
    EVENTS["again"] = "waits"
    await until_disconnect(receive)
    try:
        await send(start())
    except OSError:
        EVENTS["again"] = "OSError"
        raise


async def empty(scope: Scope, receive: Receive, send: Send) -> None:
    """Pieces that reach no wire."""
    await send(start())
    await send(body(b"first", more=True))
    EVENTS["empty"] = "waits"
    try:
        while True:
            await send(body(b"", more=True))
            await asyncio.sleep(0.05)
    except OSError:
        EVENTS["empty"] = "OSError"
        raise


async def unaware(scope: Scope, receive: Receive, send: Send) -> None:
    """``?pieces``: a response begun when its client has left, by an app that does not ask."""
    name, pieces = scope["path"], int(scope["query_string"])
    EVENTS[name] = "waits"
    while EVENTS.get("go") != "go":
        await asyncio.sleep(0.01)
    some = [send(body(b"x", more=True)) for _ in range(pieces)]
    await attempt(name, send(start()), *some, send(body()))


async def go(scope: Scope, receive: Receive, send: Send) -> None:
    EVENTS["go"] = "go"
    await answer(send, "go")


async def listening(scope: Scope, receive: Receive, send: Send) -> None:
    """One task listens and cancels nothing; another sends what no client takes."""

    async def listen() -> None:
        await until_disconnect(receive)
        EVENTS["listening"] = "told"

    task = asyncio.create_task(listen())
    await send(start())
    try:
        while True:
            await send(body(b"x" * 1000, more=True))
            EVENTS.setdefault("listening", "sends")
            await asyncio.sleep(0.01)
    except OSError:
        EVENTS["listening"] += " then OSError"
    await task


async def receives(scope: Scope, receive: Receive, send: Send) -> None:
    """What comes after the response, whose body nobody has read."""
    await answer(send, "ok")
    EVENTS["receives"] = ",".join([(await receive())["type"] for _ in range(3)])


async def spins(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, "ok")
    while "go" not in EVENTS:
        await receive()


async def partly(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads a piece, and asks `is_disconnected`, as it were, without reading more."""
    await receive()
    EVENTS["partly"] = "waits"
    await send(start())
    try:
        while True:
            await send(body(b"", more=True))
            await asyncio.sleep(0.05)
    except OSError:
        EVENTS["partly"] = "told"


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Never accepts (``/ws``), or never receives (``/full``), and waits for the end."""
    name = scope["path"]
    await receive()
    if name == "/ws":
        EVENTS[name] = "waits"
        message = await receive()
        EVENTS[name] = f"{message['type']} {message['code']}"
        return
    await send({"type": "websocket.accept"})
    EVENTS[name] = "waits"
    while "go" not in EVENTS:
        await asyncio.sleep(0.05)


ROUTES = {
    "/told": told,
    "/again": again,
    "/empty": empty,
    "/go": go,
    "/partly": partly,
    "/listening": listening,
    "/receives": receives,
    "/spins": spins,
    "/events": events,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await ROUTES.get(scope["path"], unaware)(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
