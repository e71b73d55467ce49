"""A flask-sock app that knows nothing of us."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask, jsonify, request
from flask_sock import Sock

from bridge import WsgiToAsgi, await_
from tests.support.validated import opaque

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 25, "subprotocols": ["chat", "superchat"]}
sock = Sock(app)
impatient = Flask("impatient")
impatient.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 0.3}
ended: list[str] = []


def echo(ws: Any) -> None:
    """Echo until the client goes."""
    try:
        while True:
            ws.send(ws.receive())
    finally:
        ended.append("echo")


sock.route("/echo")(echo)
Sock(impatient).route("/echo")(echo)


@sock.route("/close")
def close(ws: Any) -> None:
    """Say a word and close."""
    ws.send("bye")
    ws.close(4001, "because")


@sock.route("/return")
def return_(ws: Any) -> None:
    """Return at once."""


@sock.route("/linger")
def linger(ws: Any) -> None:
    """Close, and go on with something else."""
    ws.close(4003)
    ws.thread.join()
    lingering.wait()
    ended.append("linger")


lingering = threading.Event()


@sock.route("/raise")
def raise_(ws: Any) -> None:
    """Fail."""
    raise ValueError("on purpose")


@sock.route("/told")
def told(ws: Any) -> None:
    """Tell of the handshake."""
    ws.send(
        "|".join(
            [
                ws.subprotocol or "-",
                request.args.get("q", "-"),
                request.headers.get("X-Test", "-"),
                request.scheme,
                threading.current_thread().name,
                await_(_on_the_loop()),
            ]
        )
    )


async def _on_the_loop() -> str:
    return threading.current_thread().name


@app.route("/release")
def release() -> str:
    """Let the lingering go."""
    lingering.set()
    return "released"


@app.route("/count")
def count() -> Any:
    """How many echoes have ended, and how many threads there are."""
    return jsonify(ended=len(ended), threads=threading.active_count())


asgi = WsgiToAsgi(app, threads=2, websocket=True)
opaque_asgi = opaque(asgi)
refusing = WsgiToAsgi(app, threads=2)
opaque_refusing = opaque(refusing)
pinging = WsgiToAsgi(impatient, websocket=True)
opaque_pinging = opaque(pinging)
