"""The WSGI app behind each adapter, made when it is asked for: others need not be installed."""

from __future__ import annotations

import warnings
from typing import Any

from bench.compared.wsgi_app import app


def __getattr__(name: str) -> Any:
    if name == "bridge_app":
        from bridge import WsgiToAsgi

        return WsgiToAsgi(app)
    if name == "a2wsgi_app":
        from a2wsgi import WSGIMiddleware as A2wsgi

        return A2wsgi(app)
    if name == "asgiref_app":
        from asgiref.wsgi import WsgiToAsgi as Asgiref

        return Asgiref(app)
    if name == "starlette_app":
        warnings.simplefilter("ignore")
        from starlette.middleware.wsgi import WSGIMiddleware

        return WSGIMiddleware(app)
    raise AttributeError(name)
