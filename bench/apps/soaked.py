"""The app of the soak: small answers, streams to break off, and figures of its own inside."""

from __future__ import annotations

import asyncio
import json
import threading

from bridge import AsgiToWsgi

PIECE = b"x" * 16_384


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/endless":
        await start(send)
        while True:
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    elif scope["path"] == "/waiting":
        await start(send)
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
    elif scope["path"] == "/figures":
        tasks = len(asyncio.all_tasks()) - 1
        body = json.dumps({"tasks": tasks, "python threads": threading.active_count()}).encode()
        await answer(send, body)
    else:
        await answer(send, b"Hello, world!")


async def start(send, *headers):
    fields = [(b"content-type", b"text/plain"), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": fields})


async def answer(send, body):
    await start(send, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.body", "body": body})


application = AsgiToWsgi(asgi, disconnect_grace=0.1)
