"""What clients ask while the server is deployed: `asgi` and `wsgi`, the same answers of both.

    /fast/N        at once
    /slow/N        after 200 ms
    /upload/N      the SHA-256 of the body, which is read in pieces
    /events/N/M    M events, one each 250 ms
    /echo          a WebSocket: each text comes back (`asgi` only)
    /who           the process and the version: what a deploy changes
    /grow/M        as `/who`, and M megabytes of memory are kept

N is the number of the request: an answer that belongs to another one is noticed. The field
``X-Worker`` names the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time

VERSION = os.environ.get("DEPLOYED_VERSION", "1")
SLOW = 0.2
BETWEEN_EVENTS = 0.25
PIECE = 65_536
_kept: list[bytearray] = []


def _text(kind: str, number: str) -> bytes:
    """The answer of all kinds but uploads and events."""
    if kind in ("who", "grow"):
        if kind == "grow":
            _kept.append(bytearray(b"x") * (int(number) << 20))
        return f"{os.getpid()} {VERSION}".encode()
    return f"{kind} {number}".encode()


def _event(number: str, place: int) -> bytes:
    return f"data: {place} of {number}\n\n".encode()


def _split(path: str) -> tuple[str, str]:
    kind, _, number = path.removeprefix("/").partition("/")
    return kind, number


def wsgi(environ, start_response):
    kind, number = _split(environ["PATH_INFO"])
    fields = [("X-Worker", str(os.getpid()))]
    if kind == "events":
        start_response("200 OK", [("Content-Type", "text/event-stream"), *fields])
        return _wsgi_events(number)
    if kind == "slow":
        time.sleep(SLOW)
    if kind == "upload":
        digest, body = hashlib.sha256(), environ["wsgi.input"]
        while piece := body.read(PIECE):
            digest.update(piece)
        number = f"{number} {digest.hexdigest()}"
    body = _text(kind, number)
    fields += [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", fields)
    return [body]


def _wsgi_events(number):
    for place in range(int(number.rpartition("/")[2])):
        time.sleep(BETWEEN_EVENTS)
        yield _event(number, place)


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    else:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        await _http(*_split(path), receive, send)


async def _http(kind, number, receive, send):
    fields = [(b"x-worker", b"%d" % os.getpid())]
    if kind == "events":
        fields.append((b"content-type", b"text/event-stream"))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for place in range(int(number.rpartition("/")[2])):
            await asyncio.sleep(BETWEEN_EVENTS)
            body = _event(number, place)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    if kind == "slow":
        await asyncio.sleep(SLOW)
    if kind == "upload":
        number = f"{number} {await _digest(receive)}"
    body = _text(kind, number)
    fields += [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _digest(receive) -> str:
    digest, more = hashlib.sha256(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return "cut"
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    return digest.hexdigest()


async def _echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def _lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
