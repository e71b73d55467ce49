"""One WSGI app below each adapter that makes it an ASGI app: what differs between them is asked.

``/NAME/...`` is the app below the adapter NAME, ``/NAME-flask/`` a Flask app, and ``/NAME-one/...``
the app in a pool of one thread.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import a2wsgi
import asgiref.wsgi
from flask import Flask, request
from starlette.applications import Starlette
from starlette.routing import Mount

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.middleware.wsgi import WSGIMiddleware

CLOSED: set[str] = set()
MEETINGS: defaultdict[str, threading.Barrier] = defaultdict(lambda: threading.Barrier(2))

flask = Flask(__name__)


@flask.post("/")
def upload() -> str:
    """What Flask has of a body."""
    return str(len(request.get_data()))


class Body:
    """A body that notes its close."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __iter__(self) -> Iterator[bytes]:
        yield b"body"

    def close(self) -> None:
        CLOSED.add(self.name)


def probe(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer what the path asks."""
    name = environ["SCRIPT_NAME"]
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    match environ["PATH_INFO"]:
        case "/cookie":
            return [environ["HTTP_COOKIE"].encode()]
        case "/role":
            return [environ.get("HTTP_X_ROLE", "none").encode()]
        case "/late":
            try:
                raise ValueError("after start_response")
            except ValueError:
                start_response("404 Not Found", [], sys.exc_info())  # type: ignore[arg-type]
            return [b"late"]
        case "/write":
            write(b"written")
            return []
        case "/close":
            return Body(name)
        case "/closed":
            return [str(name in CLOSED).encode()]
        case "/meet":
            try:
                MEETINGS[name].wait(float(environ["QUERY_STRING"]))
            except threading.BrokenBarrierError:
                return [b"alone"]
            return [b"met"]
        case "/stream":
            return iter(lambda: b"x" * 65_536, b"")
    return [b"hello"]


def below(name: str, wrap: Any, **one: int) -> list[Mount]:
    """What is mounted for an adapter."""
    mounts = [Mount(f"/{name}-flask", wrap(flask)), Mount(f"/{name}", wrap(probe))]
    return [Mount(f"/{name}-one", wrap(probe, **one)), *mounts] if one else mounts


app = Starlette(
    routes=[
        *below("a2wsgi", a2wsgi.WSGIMiddleware, workers=1),
        *below("asgiref", asgiref.wsgi.WsgiToAsgi),
        *below("starlette", WSGIMiddleware),
        *below("bridge", WsgiToAsgi, threads=1),
    ]
)
