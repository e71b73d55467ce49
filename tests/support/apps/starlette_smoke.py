"""Starlette, as tests/live/test_frameworks.py wants every framework's app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    yield {"ready": "yes"}


async def hello(request: Request) -> Response:
    return JSONResponse({"hello": request.path_params["name"], "ready": request.state.ready})


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d\n" % number

    return StreamingResponse(pieces(), media_type="text/plain")


async def websocket(socket: WebSocket) -> None:
    await socket.accept(subprotocol="chat")
    async for text in socket.iter_text():
        await socket.send_text(text.upper())


app = Starlette(
    routes=[
        Route("/hello/{name}", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/stream", stream),
        WebSocketRoute("/ws", websocket),
    ],
    lifespan=lifespan,
)
