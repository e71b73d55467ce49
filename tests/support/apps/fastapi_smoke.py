"""FastAPI, as tests/live/test_frameworks.py wants every framework's app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"ready": "yes"}


app = FastAPI(lifespan=lifespan)


@app.get("/hello/{name}")
def hello(name: str, request: Request) -> dict[str, str]:
    return {"hello": name, "ready": request.state.ready}  # in a thread of FastAPI's


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d\n" % number

    return StreamingResponse(pieces(), media_type="text/plain")


@app.websocket("/ws")
async def websocket(socket: WebSocket) -> None:
    await socket.accept(subprotocol="chat")
    try:
        while True:
            await socket.send_text((await socket.receive_text()).upper())
    except WebSocketDisconnect:
        pass
