"""Apps that answer with what they were told of their connection, as JSON."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from bridge.types import Environ, Receive, Scope, Send, StartResponse


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3: client, scheme, server and the TLS extension."""
    assert scope["type"] == "http"
    await _send(
        send,
        {
            "client": scope["client"],
            "scheme": scope["scheme"],
            "server": scope["server"],
            "tls": scope["extensions"].get("tls"),
        },
    )


def wsgi(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """WSGI: the same, as an environ has it."""
    names = (
        *("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT"),
        *("SCRIPT_NAME", "PATH_INFO"),
    )
    body = json.dumps({name: environ.get(name) for name in names}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Note", "noted")])
    return [body]


#: The clients of every request to `blocking`, but for those of its own two paths.
_seen: list[Any] = []


async def blocking(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3: ``/block?FIFO`` holds the loop while the FIFO is open; ``/seen`` lists clients."""
    assert scope["type"] == "http"
    if scope["path"] == "/block":
        with open(unquote(scope["query_string"].decode())) as fifo:
            fifo.read()
    elif scope["path"] != "/seen":
        _seen.append([scope["client"], scope["scheme"]])
    await _send(send, {"seen": _seen})


async def _send(send: Send, answer: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"x-note", b"noted")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
