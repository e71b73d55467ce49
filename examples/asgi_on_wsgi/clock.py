"""An ASGI app for every WSGI host: a page, a clock as an event stream, an upload, a WebSocket.

/            a page that shows the clock
/clock       server-sent events, one a second (?pause=SECONDS for another pace)
/upload      returns the size of the posted body, which is never in memory as a whole
/echo        a WebSocket, on hosts that give apps access to the socket
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

PAGE = """<!doctype html>
<title>ASGI on WSGI</title>
<h1>An ASGI app, started {started}</h1>
<p>It is now <output>...</output>.
<script>
  new EventSource("clock").onmessage = event =>
    document.querySelector("output").textContent = event.data
</script>
"""


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    """What is yielded here is in the state of every request: the adapter runs lifespan."""
    yield {"started": datetime.now().isoformat(" ", "seconds")}


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE.format(started=request.state.started))


async def clock(request: Request) -> StreamingResponse:
    pause = float(request.query_params.get("pause", "1"))

    async def ticks() -> AsyncIterator[str]:
        while True:
            yield f"data: {datetime.now():%H:%M:%S}\n\n"
            await asyncio.sleep(pause)

    return StreamingResponse(ticks(), media_type="text/event-stream")


async def upload(request: Request) -> PlainTextResponse:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return PlainTextResponse(f"{size} bytes")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", page),
        Route("/clock", clock),
        Route("/upload", upload, methods=["POST"]),
        WebSocketRoute("/echo", echo),
    ],
)
