"""Apps that stream without end, and tell how many of their streams have been closed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse

_lock = threading.Lock()
_count = {"opened": 0, "closed": 0}


class Endless:
    """64 KiB pieces until somebody closes it."""

    def __init__(self) -> None:
        with _lock:
            _count["opened"] += 1

    def __iter__(self) -> Endless:
        return self

    def __next__(self) -> bytes:
        return b"." * 65536

    def close(self) -> None:
        """Count: it must be called once for each."""
        with _lock:
            _count["closed"] += 1


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """``/endless``, and ``/count`` of the streams opened and closed."""
    start_response("200 OK", [("Content-Type", "application/json")])
    if environ["PATH_INFO"] == "/endless":
        return Endless()
    return [json.dumps(_count).encode()]


asgi = WsgiToAsgi(wsgi, threads=4)


async def native(scope: Scope, receive: Receive, send: Send) -> None:
    """The same as an ASGI app, which ends as `send` tells it that nobody listens."""
    assert scope["type"] == "http"
    fields = [(b"content-type", b"application/json")]
    endless = scope["path"] == "/endless"
    if not endless:
        told = json.dumps(_count).encode()
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": told})
        return
    with _lock:
        _count["opened"] += 1
    try:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        while True:
            piece = b"." * 65536
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        with _lock:
            _count["closed"] += 1


through_wsgi = AsgiToWsgi(native)
