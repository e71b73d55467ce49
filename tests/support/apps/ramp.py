"""A Flask app on its way to Starlette: each tells who it is, and how things are there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flask import Flask, jsonify, request
from flask import Response as FlaskResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from bridge import Cutover, Route
from tests.support.validated import opaque

flask_app = Flask("old")


@flask_app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@flask_app.route("/<path:path>", methods=["GET", "POST"])
def old_page(path: str) -> Any:
    """Tell where it is."""
    if path.endswith("unchanged"):
        return FlaskResponse(status=304)
    if path.endswith("broken"):
        raise ValueError("broken")
    return jsonify(side="old", path=f"/{path}", body=request.get_data(as_text=True))


async def new_page(asked: Request) -> Response:
    """Tell where it is, and what its lifespan has left."""
    path = asked.url.path
    if path.endswith("unchanged"):
        return Response(status_code=304)
    if path.endswith("broken"):
        raise ValueError("broken")
    body = (await asked.body()).decode()
    return JSONResponse({"side": "new", "path": path, "body": body, "up": asked.state.up})


async def talk(socket: WebSocket) -> None:
    """Tell the path, or refuse."""
    if socket.url.path.endswith("refused"):
        await socket.close()
        return
    await socket.accept()
    await socket.send_json({"side": "new", "path": socket.url.path})
    await socket.close()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """Leave something for the requests."""
    yield {"up": True}


starlette_app = Starlette(
    routes=[
        WebSocketRoute("/{path:path}", talk),
        StarletteRoute("/{path:path}", new_page, methods=["GET", "POST"]),
    ],
    lifespan=lifespan,
)

ROUTES = [
    Route("invoices", ["/invoices/{id}", "/invoices"], mode="new"),
    Route("posted", "/posted", methods="POST", mode="new"),
    Route("kept", "/kept/{rest:path}"),
    Route("some", "/some", mode="canary", share=50),
    Route("none", "/none", mode="canary", share=0),
    Route("all", "/all", mode="canary", share=100),
    Route("by-host", "/{rest:path}", host="new.example.com", mode="new"),
]
app = Cutover(flask_app, starlette_app, ROUTES)
quiet = Cutover(flask_app, starlette_app, ROUTES, served_by=None)
opaque_app = opaque(app)
