"""Apps that tell which process answers, and that block, wait and burn when they are asked to."""

from __future__ import annotations

import asyncio
import os
import time

import simple_websocket

from bridge import Dispatcher, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3. ``/``: the pid; ``/block``: stop the loop; ``/burn``: keep it busy, turning."""
    if scope["type"] == "websocket":
        await _echo(receive, send)
        return
    assert scope["type"] == "http"
    seconds = float(scope["query_string"] or b"0")
    path = scope["path"].rpartition("/")[2]
    if path == "block":
        time.sleep(seconds)
    elif path == "wait":
        await asyncio.sleep(seconds)
    elif path == "burn":
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sum(range(10_000))
            await asyncio.sleep(0)
    body = str(os.getpid()).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _echo(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            return


def wsgi(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """WSGI. ``/``: the pid; ``/wait``: hold a thread."""
    if environ["PATH_INFO"].endswith("/wait"):
        time.sleep(float(environ["QUERY_STRING"]))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi2_pid(receive: Receive, send: Send) -> None:
    """The second half of an ASGI 2 app."""
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Asgi2:
    """ASGI 2: the pid."""

    def __init__(self, scope: Scope) -> None:
        assert scope["type"] == "http"

    async def __call__(self, receive: Receive, send: Send) -> None:
        await asgi2_pid(receive, send)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3 whose startup fails."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})


async def slow_start(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3 whose startup takes three seconds."""
    if scope["type"] != "lifespan":
        await asgi(scope, receive, send)
        return
    while (await receive())["type"] == "lifespan.startup":
        await asyncio.sleep(3)
        await send({"type": "lifespan.startup.complete"})
    print("shutdown of the app", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


def wsgi_echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """WSGI: a WebSocket that echoes, by the library that flask-sock uses."""
    socket = simple_websocket.Server.accept(environ)
    try:
        while True:
            socket.send(socket.receive())
    except simple_websocket.ConnectionClosed:
        start_response("200 OK", [])
        return []


mixed = Dispatcher({"/wsgi": wsgi, "/wsgi-echo": WsgiToAsgi(wsgi_echo, websocket=True), "/": asgi})
