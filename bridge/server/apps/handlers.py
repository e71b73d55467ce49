"""Make an app's handler; wrappers are taken apart, so that nothing stands in between.

`WsgiToAsgi` and `Dispatcher` are ordinary ASGI apps on every server. On ours they are only looked
at, once, at start: a WSGI app is called straight from the parsed request, and a dispatcher's
table picks a child's handler. So it is with a gateway, whose requests go to workers as they are.
The rules are the same (F1), the way is shorter.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from bridge.adapters.runner_app import RunnerApp
from bridge.caches import Memo, always
from bridge.dispatcher import Dispatcher, MountedApp
from bridge.fallback import Fallback
from bridge.http.paths import strip_prefix
from bridge.runners import Runner
from bridge.server.apps.asgi.exchange import AsgiHandler
from bridge.server.apps.canaries import canary_families
from bridge.server.apps.mounts import cutovers_of, mount_of, mounted_runners, sides_of
from bridge.server.apps.scope import http_scope
from bridge.server.apps.wsgi.exchange import WsgiHandler
from bridge.server.apps.wsgi.in_thread import ThreadExchange
from bridge.server.apps.wsgi.on_loop import LoopExchange
from bridge.server.exchange import Connection, Exchange, Handler
from bridge.server.metrics.figures import NO_MOUNT, ROOT_MOUNT, Figures
from bridge.server.metrics.histogram import Meter
from bridge.server.request import Request
from bridge.server.state import ServerState
from bridge.types import ASGIApp
from bridge.wsgi.environ import environ_from_scope
from bridge.wsgi_to_asgi import WsgiToAsgi


class AppHandler(Handler, Protocol):
    """A handler of an app, which may be made of others."""

    def use_meters(self, meter: Callable[[str], Meter], mount: str) -> None:
        """Count requests with what `meter` returns for their mounts; `mount`: that of the app.

        Behind a `Cutover` it is told of the route and the side, too (`Figures.meter`).
        """

    def use_limit(self, seconds: float, name: str) -> None:
        """End requests of ASGI apps after `seconds`; 0: none; `name` is the app's, for the log."""


def make_handler(
    app: ASGIApp, state: dict[str, Any], prefix: str = "", *, timeout_request: float = 0.0
) -> AppHandler:
    """Make what answers for `app` below `prefix`; `state` is its lifespan's.

    `timeout_request`: seconds that requests of ASGI apps may take, if a mount says nothing (R2).
    """
    handler = _make(app, state, prefix)
    handler.use_limit(timeout_request, "the app")
    return handler


def _make(app: ASGIApp, state: dict[str, Any], prefix: str) -> AppHandler:
    if isinstance(app, WsgiToAsgi):
        wsgi = _wsgi_handler(app, prefix)
        if not _is_loaded(app, "bridge.django.app", "DjangoApp"):
            return wsgi
        module = import_module("bridge.server.apps.django")  # few servers need it
        both: AppHandler = module.DjangoHandler(app, wsgi, state)
        return both
    if isinstance(app, Dispatcher):
        return DispatchHandler(app, state, prefix)
    if isinstance(app, RunnerApp):
        module = import_module("bridge.server.apps.asgi.consumer")  # few servers need it
        handler: AppHandler = module.ConsumerHandler(app, state, prefix)
        return handler
    if sides_of(app):
        module = import_module("bridge.server.apps.cutover")  # few servers need it
        ramp: AppHandler = module.CutoverHandler(app, state, prefix, _make)
        return ramp
    if _is_loaded(app, "bridge.gateway.front.gateway", "Gateway"):
        module = import_module("bridge.server.apps.asgi.gateway")  # it needs a library
        made: AppHandler = module.GatewayHandler(app, state, prefix)
        return made
    return AsgiHandler(app, state, prefix)


def count_requests(state: ServerState, app: ASGIApp, handler: AppHandler) -> None:
    """Begin to count what is asked of `app`, which is answered by `handler` (O2)."""
    figures = Figures(state.connections, state.refusals)
    figures.use_runners(mounted_runners(app))
    if cutovers := [*cutovers_of(app)]:
        figures.more.append(partial(canary_families, cutovers))
    handler.use_meters(figures.meter, ROOT_MOUNT)
    state.use_figures(figures)


def _wsgi_handler(app: WsgiToAsgi, prefix: str) -> WsgiHandler:
    return WsgiHandler(
        app.app,
        app.runner,
        max_body_size=app.max_body_size,
        spool_body=app.spool_body,
        multiprocess=app.multiprocess,
        prefix=prefix,
        leniency=app.leniency,
        limit=app.limit,
        exchange=ThreadExchange if app.runner.threaded else LoopExchange,
    )


def _is_loaded(app: ASGIApp, module_name: str, name: str) -> bool:
    """Whether it is of that class; if its module was not loaded, nothing is."""
    module = sys.modules.get(module_name)
    return module is not None and isinstance(app, getattr(module, name))


def runner_apps(app: ASGIApp, name: str = "the app") -> Iterator[tuple[str, RunnerApp]]:
    """Yield the WSGI apps and ASGI 1 consumers in `app` that can be seen, each with a name.

    Some may come twice.
    """
    if isinstance(app, RunnerApp):
        yield name, app
    elif isinstance(app, Dispatcher):
        for route in app.routes:
            yield from runner_apps(route.asgi, route.name)
    elif isinstance(app, Fallback):
        for each in app.apps:
            yield from runner_apps(each, f"a fallback of {name}")
    else:
        for side in sides_of(app):
            yield from runner_apps(side.asgi, side.name)


def runners_of(app: ASGIApp, name: str = "the app") -> Iterator[tuple[str, Runner]]:
    """Yield the runners of all these apps, with the app's name, each runner once."""
    seen: set[int] = set()
    for app_name, found in runner_apps(app, name):
        if id(found.runner) not in seen:
            seen.add(id(found.runner))
            yield app_name, found.runner


class DispatchHandler:
    """Hands each request to the handler of the app that is mounted at its path (D1, D6)."""

    def __init__(self, dispatcher: Dispatcher, state: dict[str, Any], prefix: str = "") -> None:
        self.dispatcher = dispatcher
        self.prefix = prefix
        self._handlers: dict[MountedApp | None, AppHandler] = {
            route: _make(
                route.served,
                {**state, **route.state},
                prefix if route.keep_prefix else prefix + route.prefix,
            )
            for route in dispatcher.routes
        }
        #: Answers 404 if nothing is mounted at a path, as the dispatcher does.
        self._handlers[None] = AsgiHandler(dispatcher, state, prefix)
        #: Only the path tells which route a request takes, and only its start.
        self._path_only = not dispatcher.uses_host and not dispatcher.uses_request
        self._deciding = dispatcher.deciding
        self._by_start: Memo[str, Handler] = Memo(
            lambda start: self._handlers[dispatcher.match(start)], always
        )

    def use_meters(self, meter: Callable[[str], Meter], mount: str) -> None:
        """Count the requests of each child."""
        for route, handler in self._handlers.items():
            handler.use_meters(meter, NO_MOUNT if route is None else mount_of(route, mount))

    def use_limit(self, seconds: float, name: str) -> None:
        """End requests of each child: a mount may have a time of its own."""
        for route, handler in self._handlers.items():
            if route is not None:
                own = route.timeout_request
                handler.use_limit(seconds if own is None else own, route.name)

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange of the child's handler."""
        if self._path_only and not (self.prefix or connection.identity.root_path):
            handler = self._by_start[request.path[: self._deciding]]
        else:
            handler = self.handler_for(connection, request)
        return handler.open(connection, request)

    def handler_for(self, connection: Connection, request: Request) -> Handler:
        """Return the child's handler, or the one that answers 404."""
        path, root_path = request.path, connection.identity.root_path
        if root_path or self.prefix:
            path = strip_prefix(strip_prefix(path, root_path)[1], self.prefix)[1]
        if self._path_only:
            route = self.dispatcher.match(path)
        else:
            host = next((value for name, value in request.headers if name == b"host"), b"")
            # Predicates are code of the app's: no other request may see what they set.
            route = copy_context().run(
                self.dispatcher.match,
                path,
                host.decode("latin-1"),
                lambda: environ_from_scope(http_scope(connection, request, {}, self.prefix)),
            )
        return self._handlers[route]


async def stop_runners(app: ASGIApp, timeout: float | None) -> None:
    """Wait for the jobs that still run, at most `timeout` seconds; None: as long as it takes."""
    await asyncio.gather(*(runner.stop(timeout) for _, runner in runners_of(app)))
