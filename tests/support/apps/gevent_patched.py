"""A WSGI app that gevent has patched: when it is imported, or at its first request to /patch."""

from __future__ import annotations

import os

from gevent import monkey

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse

if os.environ.get("PATCH") != "late":
    monkey.patch_all()


def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer; at /patch after patching."""
    if environ["PATH_INFO"] == "/patch":
        monkey.patch_all()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


asgi = WsgiToAsgi(app)
