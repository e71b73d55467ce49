"""Apps whose requests go on after their responses, and say whether the app's pool is still open.

The pool is opened at the lifespan's startup and closed at its shutdown. Each line is printed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from bridge import await_
from bridge.dispatcher import Dispatcher
from bridge.types import Environ, Receive, Scope, Send, StartResponse

_pool = {"open": False}


def say(what: str) -> None:
    print(f"{what}: the pool is {'open' if _pool['open'] else 'closed'}", flush=True)


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """``/work``: goes on a second after its response; ``/hang``: until it is cancelled."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await _socket(receive, send)
    elif scope["path"].endswith("/stream"):
        await _stream(send)
    else:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"taken"})
        await _work(1 if scope["path"].endswith("/work") else 1000)


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    _pool["open"] = True
    await send({"type": "lifespan.startup.complete"})
    await receive()
    _pool["open"] = False
    await send({"type": "lifespan.shutdown.complete"})


async def _work(seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
        say("done")
    finally:
        await asyncio.sleep(0.05)  # cleans up
        say("cleaned")


async def _stream(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.05)
    finally:
        say("cleaned")


async def _socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    message = await receive()
    say(f"told {message.get('code')}")
    await _work(1)


def wsgi(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """The same, for a WSGI app whose iterable takes its time to close."""
    start_response("200 OK", [("Content-Length", "5")])
    try:
        yield b"taken"
    finally:
        try:
            await_(asyncio.sleep(1 if environ["PATH_INFO"].endswith("/work") else 1000))
            say("done")
        finally:
            say("cleaned")


both = Dispatcher({"/wsgi": wsgi, "/": asgi})
greenlets = Dispatcher({"/wsgi": wsgi, "/": asgi}, runner="greenlet")
