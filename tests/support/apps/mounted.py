"""A dispatcher with children of every kind, each of which tells what it was asked and where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket

from bridge import AsgiToWsgi, Dispatcher
from bridge.dispatcher import Mount
from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.validated import opaque


def wsgi(name: str, missing: tuple[str, ...] = ()) -> WSGIApp:
    """A WSGI child; 404 for the paths that are `missing`."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        place = [environ["SCRIPT_NAME"], environ["PATH_INFO"]]
        status = "404 Not Found" if place[1] in missing else "200 OK"
        start_response(status, [("Content-Type", "application/json")])
        return [tell(name, place, body)]

    return app


def asgi(name: str) -> ASGIApp:
    """An ASGI 3 child."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await talk(scope, receive, send)
            return
        assert scope["type"] == "http"
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        fields = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        told = tell(name, [scope["root_path"], scope["path"]], body)
        await send({"type": "http.response.body", "body": told})

    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.send_text(tell(name, [scope["root_path"], scope["path"]], b"").decode())
        await socket.close()

    return app


def tell(name: str, place: list[str], body: bytes) -> bytes:
    """What a child answers."""
    told: dict[str, Any] = {"name": name, "place": place}
    if body:
        told["body"] = [len(body), hashlib.sha256(body).hexdigest()[:8]]
    return json.dumps(told).encode()


class Asgi2:
    """An ASGI 2 child."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Answer as the others."""
        await asgi("asgi2")(self.scope, receive, send)


def living(name: str) -> Starlette:
    """A child with a lifespan and state; it has no other route than ``/state``."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {name: "up"}

    async def state(request: Request) -> Response:
        return JSONResponse(dict(sorted(request.scope["state"].items())))

    return Starlette(routes=[Route("/state", state, methods=["GET"])], lifespan=lifespan)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    """A child that never gets to an answer."""
    raise ValueError("broken")


app = Dispatcher(
    {
        "/asgi": asgi("asgi"),
        "/asgi2": Asgi2,
        "/wsgi": wsgi("wsgi"),
        "/deep": Dispatcher(
            {"/wsgi": wsgi("deep wsgi"), "/": asgi("deep"), "/live": living("deep")}
        ),
        "/keep": Mount(wsgi("keep"), keep_prefix=True),
        "/post": Mount(wsgi("post"), when=lambda request: request.method == "POST"),
        "/live": living("live"),
        "/broken": broken,
        "/chain": Dispatcher(fallback=[living("new"), broken]),
        "api.example.com/": wsgi("by host"),
    },
    fallback=[living("new"), wsgi("middle", missing=("/gone", "/old")), asgi("old")],
)
only = Dispatcher({"/only": asgi("only")})

opaque_app = opaque(app)
opaque_only = opaque(only)
wsgi_app = AsgiToWsgi(app)
wsgi_only = AsgiToWsgi(only)
