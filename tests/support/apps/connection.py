"""Apps that answer with what they were told of their connection, as JSON."""

from __future__ import annotations

import json
from typing import Any

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


async def _send(send: Send, answer: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"x-note", b"noted")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
