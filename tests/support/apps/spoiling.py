"""Apps that tell what they were given, and then spoil as much of it as they can."""

from __future__ import annotations

from typing import Any

from bridge import WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse

#: What differs from one request to the next by right.
_OWN = {"client", "bridge.disconnected", "wsgi.early_hints", "wsgi.input", "asgi.scope"}


def _told(given: dict[str, Any]) -> bytes:
    """Everything that was given, ports of clients and objects apart."""
    own = {*_OWN, "REMOTE_PORT", "bridge.stats", "wsgi.errors", "wsgi.file_wrapper"}
    return repr(sorted((key, value) for key, value in given.items() if key not in own)).encode()


def _spoil(given: dict[str, Any]) -> None:
    for key, value in list(given.items()):
        if isinstance(value, (dict, list)) and key != "asgi":
            value.clear()
        given[key] = f"spoilt {key}"
    given["new"] = "spoilt"


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    body = _told(scope)
    _spoil(scope)
    fields = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    fields.clear()
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: Environ, start_response: StartResponse) -> list[bytes]:
    body = _told(environ) + environ["wsgi.input"].read()
    scope = environ["asgi.scope"]
    body += _told(scope)
    _spoil(scope)
    _spoil(environ)
    environ["REQUEST_METHOD"] = "GET"  # which the bridge looks at afterwards
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", fields)
    fields.clear()
    return [body]


inline = WsgiToAsgi(wsgi, runner="inline")
greenlet = WsgiToAsgi(wsgi, runner="greenlet")
