"""Flask-SocketIO in threads: it takes connections over from hosts with ``werkzeug.socket``."""

from __future__ import annotations

import threading
from typing import Any

import flask
import flask_socketio

from bridge import WsgiToAsgi
from tests.support.validated import opaque

app = flask.Flask(__name__)
io = flask_socketio.SocketIO(app, async_mode="threading")
ended: list[str] = []


@io.on("echo")
def echo(data: Any) -> Any:
    return data


@io.on("leave")
def leave() -> None:
    flask_socketio.disconnect()


@io.on("disconnect")
def note(reason: str) -> None:
    ended.append(reason)


@app.route("/count")
def count() -> Any:
    names = [thread.name for thread in threading.enumerate()]
    return flask.jsonify(ended=len(ended), threads=names)


asgi = WsgiToAsgi(app, websocket=True)
opaque_asgi = opaque(asgi)
