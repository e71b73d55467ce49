"""Litestar, as tests/live/test_frameworks.py wants every framework's app."""

# Litestar reads the annotations of handlers: they are not made lazy here.

from collections.abc import AsyncIterator

from litestar import Litestar, MediaType, Request, Response, WebSocket, get, post, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.response import Stream


async def start(app: Litestar) -> None:
    app.state.ready = "yes"


@get("/hello/{name:str}")
async def hello(name: str, request: Request) -> dict[str, str]:
    return {"hello": name, "ready": request.app.state.ready}


@post("/echo", status_code=200)
async def echo(request: Request) -> Response[bytes]:
    return Response(await request.body(), media_type="application/octet-stream")


@get("/stream")
async def stream() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d\n" % number

    return Stream(pieces(), media_type=MediaType.TEXT)


@websocket("/ws")
async def talk(socket: WebSocket) -> None:
    await socket.accept(subprotocols="chat")
    try:
        while True:
            await socket.send_text((await socket.receive_text()).upper())
    except WebSocketDisconnect:
        pass


app = Litestar([hello, echo, stream, talk], on_startup=[start])
