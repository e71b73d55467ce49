"""Apps of frameworks that look at ``scope["path"]`` alone, mounted."""

from __future__ import annotations

from typing import Any

import falcon.asgi
import sanic
import socketio

from bridge import AsgiToWsgi, Dispatcher, Mount


class Told:
    """What Falcon was asked."""

    async def on_get(self, request: Any, response: Any, name: str) -> None:
        response.media = {"path": request.path, "root": request.root_path, "name": name}

    async def on_websocket(self, request: Any, socket: Any, name: str) -> None:
        await socket.accept()
        await socket.send_text(name)
        await socket.close()


falcon_app = falcon.asgi.App()
falcon_app.add_route("/told/{name}", Told())

sanic_app = sanic.Sanic("path_only", configure_logging=False)
started: list[str] = []


@sanic_app.before_server_start
async def note(*_: Any) -> None:
    started.append("started")


@sanic_app.get("/told/<name>")
async def told(request: sanic.Request, name: str) -> sanic.HTTPResponse:
    return sanic.json({"path": request.path, "name": name, "started": started})


chat = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")


@chat.on("hello")
async def hello(session: str, data: Any) -> Any:
    return data


app = Dispatcher(
    {
        "/falcon": Mount(falcon_app, strip_prefix=True),
        "/deep/in": Mount(
            Dispatcher({"/falcon": Mount(falcon_app, strip_prefix=True)}), strip_prefix=True
        ),
        "/sanic": Mount(sanic_app, strip_prefix=True),
        "/chat": Mount(socketio.ASGIApp(chat), strip_prefix=True),
    }
)
wsgi_app = AsgiToWsgi(app)
