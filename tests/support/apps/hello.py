"""The least app of each kind."""

from __future__ import annotations

from bridge.types import Environ, Receive, Scope, Send, StartResponse


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3, HTTP only: ``Hello, world!``."""
    assert scope["type"] == "http"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


def wsgi(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """WSGI: ``Hello, world!``."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]


def undecided(thing: object) -> None:
    """No app of any kind."""
