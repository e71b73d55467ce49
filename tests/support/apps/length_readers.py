"""Apps of frameworks that read as much of a body as Content-Length says, and nothing without."""

from __future__ import annotations

from typing import Any

import bottle
import falcon

from bridge import WsgiToAsgi
from tests.support.validated import opaque

by_bottle = bottle.Bottle()


@by_bottle.post("/")
def size() -> dict[str, int]:
    return {"size": len(bottle.request.body.read())}


class _Size:
    def on_post(self, request: Any, response: Any) -> None:
        response.media = {"size": len(request.bounded_stream.read())}


by_falcon = falcon.App()
by_falcon.add_route("/", _Size())

asgi_by_bottle = opaque(WsgiToAsgi(by_bottle))
asgi_by_falcon = opaque(WsgiToAsgi(by_falcon))
