"""The handler of a Django project: each request goes straight to one of Django's handlers (M30).

A synchronous view is called as that of any WSGI app; what it costs more is one look at its path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.django.app import DjangoApp
from bridge.http.paths import strip_prefix
from bridge.server.apps.asgi.exchange import AsgiHandler
from bridge.server.apps.wsgi.exchange import WsgiHandler
from bridge.server.exchange import Connection, Exchange
from bridge.server.metrics.histogram import Meter
from bridge.server.request import Request


class DjangoHandler:
    """Opens exchanges of `wsgi`, or of the project's ASGI handler if the view is async."""

    def __init__(self, app: DjangoApp, wsgi: WsgiHandler, state: dict[str, Any]) -> None:
        self.app = app
        self.wsgi = wsgi
        self.prefix = wsgi.prefix
        self.asgi = AsgiHandler(app.serve_async, state, wsgi.prefix)
        self.asgi.max_body_size = app.max_body_size
        self._takes_async = app.takes_async

    def use_meters(self, meter: Callable[[str], Meter], mount: str) -> None:
        """Count requests, which are those of `mount`."""
        self.wsgi.use_meters(meter, mount)
        self.asgi.use_meters(meter, mount)

    def use_limit(self, seconds: float, name: str) -> None:
        """End requests of async views after `seconds`, if the app does not say it itself."""
        own = self.app.timeout_request
        self.asgi.use_limit(seconds if own is None else own, name)

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange of the handler that the view needs."""
        path, root_path = request.path, connection.identity.root_path
        if root_path or self.prefix:
            path = strip_prefix(strip_prefix(path, root_path)[1], self.prefix)[1] or "/"
        if self._takes_async(path):
            return self.asgi.open(connection, request)
        return self.wsgi.open(connection, request)
