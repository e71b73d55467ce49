"""Apps for workers, of every kind, and mounted side by side in `app`.

``APART_LOG`` names a file; each request to ``/note/N`` adds a line to it before anything else: the
process, and N. So a test sees what has run, and where, also after that process was killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from typing import Any

import flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from bridge import from_asgi1
from bridge.channels import get_channel_layer
from bridge.dispatcher import Dispatcher
from bridge.types import Receive, Scope, Send

PIECE = b"x" * 16384


def note(line: str) -> None:
    """Add a line to the file, in one write."""
    file = os.open(os.environ["APART_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{os.getpid()} {line}\n".encode())
    finally:
        os.close(file)


# ------------------------------------------------------------- Flask (WSGI)

views = flask.Flask(__name__)


@views.get("/hello")
def hello() -> str:
    return f"flask {flask.request.host} {os.getpid()}"


@views.post("/digest")
def digest() -> str:
    sha = hashlib.sha256()
    while data := flask.request.stream.read(16384):
        sha.update(data)
    return sha.hexdigest()


@views.get("/stream/<int:pieces>")
def stream(pieces: int) -> flask.Response:
    def generate() -> Iterator[bytes]:
        for _ in range(pieces):
            yield PIECE

    return flask.Response(generate(), mimetype="application/octet-stream")


@views.get("/raise")
def fail() -> str:
    raise ValueError("this view is broken")


# ------------------------------------------------------------- Starlette (ASGI 3)

#: Bytes that streams have given in this process.
moved = {"given": 0}
#: Whether uploads are taken.
go = asyncio.Event()


async def greet(request: Request) -> Response:
    return PlainTextResponse(f"starlette {request.client.host if request.client else ''}")


async def give(request: Request) -> Response:
    async def pieces() -> Any:
        for _ in range(request.path_params["pieces"]):
            moved["given"] += len(PIECE)
            yield PIECE

    return StreamingResponse(pieces())


async def take(request: Request) -> Response:
    """Take a body as soon as ``/go`` says so, and say how long it was."""
    await go.wait()
    return await swallow(request)


async def swallow(request: Request) -> Response:
    """Take a body, and say how long it was."""
    size = 0
    async for data in request.stream():
        size += len(data)
    return PlainTextResponse(str(size))


async def let_go(request: Request) -> Response:
    go.set()
    return PlainTextResponse("")


async def show_moved(request: Request) -> Response:
    return PlainTextResponse(str(moved["given"]))


async def noted(request: Request) -> Response:
    note(request.path_params["number"])
    await asyncio.sleep(float(request.query_params.get("pause", "0")))
    return PlainTextResponse(str(os.getpid()))


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{text} {os.getpid()}")


starlette = Starlette(
    routes=[
        Route("/hello", greet),
        Route("/give/{pieces:int}", give),
        Route("/take", take, methods=["POST"]),
        Route("/swallow", swallow, methods=["POST"]),
        Route("/moved", show_moved),
        Route("/go", let_go),
        Route("/note/{number}", noted),
        WebSocketRoute("/echo", echo),
    ]
)


# ------------------------------------------------------------- ASGI 2


class Two:
    """An ASGI 2 app, as a class."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"two " + self.scope["raw_path"]})


# ------------------------------------------------------------- ASGI 1

STREAMS, SOCKETS = "streams", "sockets"


def publish(layer: Any, sender: str, number: object) -> None:
    """Tell all streams and WebSockets of `news` a number of a sender."""
    content = f"data: {sender} {number}\n\n".encode()
    layer.send_group(STREAMS, {"content": content, "more_content": True})
    layer.send_group(SOCKETS, {"text": f"news {sender} {number}"})


def news(message: Any) -> None:
    """Streams of events, and WebSockets; both hear what is published.

    A WebSocket's texts are echoed; ``publish SENDER NUMBER`` is published first.
    """
    reply, layer = message.reply_channel, message.channel_layer
    kind = message.channel.name
    if kind == "http.request":
        fields = [(b"content-type", b"text/event-stream")]
        reply.send({"status": 200, "headers": fields, "content": b":\n\n", "more_content": True})
        layer.group_add(STREAMS, reply)
    elif kind == "http.disconnect":
        layer.group_discard(STREAMS, reply)
    elif kind == "websocket.connect":
        reply.send({"accept": True})
        layer.group_add(SOCKETS, reply)
    elif kind == "websocket.receive":
        verb, *words = message["text"].split()
        if verb == "publish":
            publish(layer, *words)
        reply.send({"text": f"echo {message['text']} {os.getpid()}"})
    else:
        layer.group_discard(SOCKETS, reply)


def greeting(message: Any) -> None:
    """Answer with this process."""
    message.reply_channel.send({"status": 200, "content": b"consumer %d" % os.getpid()})


@views.get("/publish/<int:number>")
def publish_by_view(number: int) -> str:
    publish(get_channel_layer(), "view", number)
    return str(os.getpid())


@views.get("/members")
def members() -> str:
    layer = get_channel_layer()
    return " ".join(str(len([*layer.group_channels(each)])) for each in (STREAMS, SOCKETS))


app = Dispatcher(
    {
        "/flask": views,
        "/star": starlette,
        "/two": Two,
        "/news": from_asgi1(news),
        "/greeting": from_asgi1(greeting),
    }
)
