"""`application()`: a Django project as one app, with both of Django's handlers behind it (M30).

A `DjangoApp` is a `WsgiToAsgi` of Django's WSGI handler: a synchronous view runs as any WSGI app
does, in the runner that the settings name. Requests for async views go to Django's ASGI handler
instead, on the event loop. `AsyncViews` tells them apart.

Our server asks `sides` for both handlers at the start, and calls them by the shortest way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import django
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from bridge.adapters.wsgi_on_asgi.exchange import Exchange
from bridge.arguments.kinds import other_kind
from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.django.async_views import AsyncViews
from bridge.django.handlers import AsyncHandler, path_info, sync_handler
from bridge.django.limits import Limits
from bridge.errors import ConfigError, shown
from bridge.log import logger
from bridge.types import ASGIApp, Receive, Scope, Send, WSGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi

__all__ = ["DjangoApp", "application"]


def application(
    *, websocket: ASGIApp | str | None = None, static: bool = False, **settings: Any
) -> DjangoApp:
    """Set Django up, and return the project as one ASGI app, as `get_wsgi_application` does.

    `websocket`: the ASGI app that takes WebSockets, for example Channels' `URLRouter`, or its
    dotted path, which is imported when Django has been set up. None: WebSockets are refused.
    `static`: serve static files by ``django.contrib.staticfiles``, for development.
    `settings` are those of `WsgiToAsgi`: they say how synchronous views run (``threads``, ...).

    Raises `ConfigError` for a value that is not allowed, and what Django and the URLconf raise.
    """
    django.setup(set_prefix=False)
    return DjangoApp(_socket_app(websocket), static=static, **settings)


class DjangoApp(WsgiToAsgi):
    """A Django project, which has been set up; see `application`."""

    interface = "Django both ways"

    def __init__(
        self, websocket_app: ASGIApp | None = None, *, static: bool = False, **settings: Any
    ) -> None:
        self.websocket_app = websocket_app
        self._given = settings
        self.shown_name = getattr(django_settings, "SETTINGS_MODULE", None)
        self.views = AsyncViews()
        if self.views.any:
            self.on_loop  # noqa: B018 - made now, so that its errors stop the start
        wsgi: WSGIApp = sync_handler(self.views.met)
        #: Whether a path is that of a static file; None: they are not served here.
        self._is_static: Callable[[str], bool] | None = None
        if static:
            wsgi, self._is_static = _with_static_files(wsgi)
        super().__init__(wsgi, kind="wsgi", **settings)
        #: What was said in Python, for async views on another server.
        self._limits = Limits(self.max_body_size, self.timeout_request)

    @cached_property
    def on_loop(self) -> AsyncHandler:
        """Django's ASGI handler, with a chain of middleware of its own; made if it is needed."""
        return AsyncHandler()

    @property
    def timeout_request(self) -> float | None:
        """How long a request may take, if that was said in Python."""
        return self._explicit.get("timeout_request")

    def takes_async(self, path: str) -> bool:
        """Whether the request for `path`, below the project's place, is for the ASGI handler."""
        if self._is_static is not None and self._is_static(path):
            return False
        return self.views.takes(path)

    def again(self, *, static: bool, **settings: Any) -> DjangoApp:
        """Make another one of the same project, with these settings beside its own."""
        return DjangoApp(self.websocket_app, static=static, **{**self._given, **settings})

    def announce(self) -> None:
        """Say in the log which middleware makes async views wait in threads, and other risks."""
        if self._is_static is not None and not django_settings.DEBUG:
            logger.warning(
                "static files are served for development, though DEBUG is False: use WhiteNoise or "
                "a proxy in production"
            )
        if self.views.any and (names := self.on_loop.sync_middleware):
            logger.warning(
                "each async view blocks a thread until it has answered, for this middleware is "
                "synchronous: %s",
                ", ".join(names),
            )

    def _run_as(self, values: Mapping[str, Any]) -> None:
        super()._run_as(values)
        self.websocket = self.websocket_app is not None

    def begin(
        self, scope: Scope, receive: Receive, send: Send, news: Callable[[Exchange], object]
    ) -> Exchange | None:
        """For a host of ours: begin a request without a task, if its view is synchronous."""
        if self.takes_async(path_info(scope)):
            return None
        return super().begin(scope, receive, send, news)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        kind = scope["type"]
        if kind == "http" and self.takes_async(path_info(scope)):
            if self._limits.any:
                await self._limits.serve(self.serve_async, scope, receive, send)
            else:
                await self.serve_async(scope, receive, send)
        elif kind == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def serve_async(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request for which `takes_async` is true; our server has limits of its own."""
        await self.on_loop(scope, receive, send)

    def __repr__(self) -> str:
        return "<DjangoApp>"

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.websocket_app is not None:
            await self.websocket_app(scope, receive, send)
            return
        logger.warning(
            "refused a WebSocket at %r: the project has no app for it; "
            'application(websocket="mysite.routing.websocket") names one',
            scope["path"],
        )
        if (await receive())["type"] == "websocket.connect":
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the host's lifespan; the app for WebSockets may have one, too."""
        self.announce()
        if "on_loop" in vars(self):
            self.on_loop.lanes.open()
        try:
            if self.websocket_app is None:
                await super().__call__(scope, receive, send)
                return
            state = scope.get("state", {})
            of_sockets = Lifespan(
                self.websocket_app, startup_timeout=None, shutdown_timeout=None, state=state
            )
            of_views = Lifespan(super().__call__, startup_timeout=None, shutdown_timeout=None)
            children = {"the views": of_views, "the app for WebSockets": of_sockets}
            await answer_for_all(children, receive, send)
        finally:
            if "on_loop" in vars(self):
                self.on_loop.lanes.close()


def _socket_app(given: Any) -> ASGIApp | None:
    """Return the app for WebSockets. Raises `ConfigError`."""
    allowed = "an ASGI app, or its dotted path as in Django's settings"
    app = given
    if isinstance(given, str):
        try:
            app = import_string(given)
        except ImportError as error:
            raise ConfigError(f"websocket is {given!r}: {error}; allowed is {allowed}") from error
    if app is None:
        return None
    if not callable(app):
        raise ConfigError(f"websocket is {shown(given)}; allowed is {allowed}")
    seen = other_kind(app, "asgi3")
    if seen is not None:
        raise ConfigError(f"websocket is {shown(given)}, of kind {seen}; allowed is {allowed}")
    asgi: ASGIApp = app
    return asgi


def _with_static_files(app: WSGIApp) -> tuple[WSGIApp, Callable[[str], bool]]:
    """Return the app with Django's handler of static files around it, and which paths those are."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    try:
        handler = StaticFilesHandler(app)
    except ImproperlyConfigured as error:
        raise ConfigError(f"static is True: {error}") from error
    return handler, handler._should_handle
