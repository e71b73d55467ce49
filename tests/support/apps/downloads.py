"""A WSGI app that streams without end, and tells how many of its streams are still open."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse

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
