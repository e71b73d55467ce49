"""Quart, as tests/live/test_frameworks.py wants every framework's app."""

from __future__ import annotations

from collections.abc import AsyncIterator

from quart import Quart, Response, request, websocket

app = Quart(__name__)
ready = []


@app.before_serving
async def start() -> None:
    ready.append("yes")


@app.get("/hello/<name>")
async def hello(name: str) -> dict[str, str]:
    return {"hello": name, "ready": "".join(ready)}


@app.post("/echo")
async def echo() -> Response:
    return Response(await request.get_data(), mimetype="application/octet-stream")


@app.get("/stream")
async def stream() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d\n" % number

    return Response(pieces(), mimetype="text/plain")


@app.websocket("/ws")
async def talk() -> None:
    await websocket.accept(subprotocol="chat")
    while True:
        await websocket.send((await websocket.receive()).upper())
