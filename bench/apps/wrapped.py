"""The app that BENCH_APP names ("module:attr"), behind an adapter: one attribute for each.

An attribute is made when a server asks for it, so that no peer is imported that is not measured.
The ASGI callables that stand before our adapters keep our server from taking them apart: what is
measured is the adapter, not the server's own way.
"""

from __future__ import annotations

import importlib
import os

THREADS = 8


def _a2wsgi_asgi(app):
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(app, workers=THREADS)


def _a2wsgi_wsgi(app):
    from a2wsgi import ASGIMiddleware

    return ASGIMiddleware(app)


def _bridge_asgi(app):
    from bridge import WsgiToAsgi

    adapter = WsgiToAsgi(app, threads=THREADS)

    async def kept_whole(scope, receive, send):
        await adapter(scope, receive, send)

    return kept_whole


def _bridge_wsgi(app):
    from bridge import AsgiToWsgi

    adapter = AsgiToWsgi(app)

    def kept_whole(environ, start_response):
        return adapter(environ, start_response)

    return kept_whole


def _mounted_asgi(app):
    """At /api, beside a WSGI app at /."""
    from bench.apps import plain
    from bridge import Dispatcher

    return Dispatcher({"/api": app, "/": plain.wsgi})


def _mounted_wsgi(app):
    """At /, beside an ASGI app at /api."""
    from bench.apps import plain
    from bridge import Dispatcher

    return Dispatcher({"/api": plain.asgi, "/": app})


def _routed(old, new):
    """A cutover with 20 routes, one of which takes what is asked: /api."""
    from bridge import Cutover, Route

    others = [Route(f"r{n}", [f"/r{n}", f"/r{n}/{{id}}"], mode="new") for n in range(19)]
    return Cutover(old, new, [*others, Route("api", "/api/{rest:path}", mode="new")])


def _routed_asgi(app):
    """The new app, by its route."""
    from bench.apps import plain

    return _routed(plain.wsgi, app)


def _routed_wsgi(app):
    """The old app, which no route names."""
    from bench.apps import plain

    return _routed(app, plain.asgi)


MAKERS = {
    "a2wsgi_asgi": _a2wsgi_asgi,
    "a2wsgi_wsgi": _a2wsgi_wsgi,
    "bridge_asgi": _bridge_asgi,
    "bridge_wsgi": _bridge_wsgi,
    "mounted_asgi": _mounted_asgi,
    "mounted_wsgi": _mounted_wsgi,
    "routed_asgi": _routed_asgi,
    "routed_wsgi": _routed_wsgi,
}


def __getattr__(name):
    if name not in MAKERS:
        raise AttributeError(name)
    module, _, attribute = os.environ["BENCH_APP"].partition(":")
    app = MAKERS[name](getattr(importlib.import_module(module), attribute))
    globals()[name] = app
    return app
