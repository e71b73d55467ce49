"""Django's two handlers, as the bridge runs them: one in threads, one on the loop (M30)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries
from django.utils.module_loading import import_string

from bridge.django.async_views import is_async
from bridge.django.lanes import Lanes, RequestExecutor
from bridge.http.paths import mount_point, strip_prefix
from bridge.types import Receive, Scope, Send


def sync_handler(met: Callable[[Any], None]) -> WSGIHandler:
    """Return Django's WSGI handler; it tells `met` of requests whose view is async after all.

    It is of Django's own class, which is the sender of its signals.
    """
    handler = WSGIHandler()
    find = handler.resolve_request

    def resolve_request(request: Any) -> Any:
        match = find(request)
        if is_async(match.func):
            met(request)
        return match

    handler.resolve_request = resolve_request
    return handler


class AsyncHandler:
    """Django's ASGI handler, as an ASGI app; its synchronous parts run in `lanes`."""

    def __init__(self) -> None:
        self._handler = ASGIHandler()
        #: What of MIDDLEWARE is synchronous only, and so calls each async view from a thread.
        self.sync_middleware = list(_sync_middleware())
        self.lanes = Lanes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if settings.FORCE_SCRIPT_NAME is not None:
            scope = _with_place(scope, settings.FORCE_SCRIPT_NAME)
        elif scope.get("root_path") and not strip_prefix(scope["path"], scope["root_path"])[1]:
            scope = _with_place(scope, mount_point(scope["root_path"]))
        # As `async with ThreadSensitiveContext()`, but with an executor of ours. It is known as
        # long as the context is: a task that the view has started may still run calls in it.
        context = ThreadSensitiveContext()
        executor = RequestExecutor(
            self.lanes, context, asyncio.get_running_loop(), skips_first=_begins_as_usual()
        )
        SyncToAsync.context_to_thread_executor[context] = executor
        token = SyncToAsync.thread_sensitive_context.set(context)
        try:
            await self._handler.handle(scope, receive, send)
        finally:
            SyncToAsync.thread_sensitive_context.reset(token)
            executor.shutdown()


def _begins_as_usual() -> bool:
    """Whether the first synchronous call of a request will be of Django's own receivers only.

    They are those of `request_started`, and look after the connections of the thread that they run
    in. A lane does that itself, so a request needs none before it has something else to do there.
    """
    synchronous, _ = request_started._live_receivers(ASGIHandler)
    return bool(synchronous == [reset_queries, close_old_connections])


def path_info(scope: Scope) -> str:
    """Return the path of a request below the project's own place."""
    return strip_prefix(scope["path"], scope.get("root_path", ""))[1] or "/"


def _with_place(scope: Scope, name: str) -> Scope:
    """Have a request below the place that `name` says, as Django's WSGI handler does.

    That is for ``FORCE_SCRIPT_NAME``, and for a mount point whose slash is missing.
    """
    return {**scope, "root_path": name, "path": name.rstrip("/") + path_info(scope)}


def _sync_middleware() -> Iterator[str]:
    for path in settings.MIDDLEWARE:
        if not getattr(import_string(path), "async_capable", False):
            yield path
