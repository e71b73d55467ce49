"""Django's two handlers, as the bridge runs them: one in threads, one on the loop (M30)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.utils.module_loading import import_string

from bridge.django.async_views import is_async
from bridge.django.lanes import Lanes, RequestExecutor
from bridge.http.paths import strip_prefix
from bridge.types import Receive, Scope, Send


class SyncHandler(WSGIHandler):  # type: ignore[misc]
    """Django's WSGI handler; it tells `met` of the URLconf if a view was async after all."""

    def __init__(self, met: Callable[[Any], None]) -> None:
        super().__init__()
        self._met = met

    def resolve_request(self, request: Any) -> Any:
        """Find the view, as Django does."""
        match = super().resolve_request(request)
        if is_async(match.func):
            self._met(getattr(request, "urlconf", None))
        return match


class AsyncHandler(ASGIHandler):  # type: ignore[misc]
    """Django's ASGI handler, as an ASGI app; its synchronous parts run in `lanes`."""

    def __init__(self) -> None:
        super().__init__()
        #: What of MIDDLEWARE is synchronous only, and so calls each async view from a thread.
        self.sync_middleware = list(_sync_middleware())
        self.lanes = Lanes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if settings.FORCE_SCRIPT_NAME is not None:
            scope = _with_forced_name(scope, settings.FORCE_SCRIPT_NAME)
        # As `async with ThreadSensitiveContext()`, but with an executor of ours. It is known as
        # long as the context is: a task that the view has started may still run calls in it.
        context, executor = ThreadSensitiveContext(), RequestExecutor(self.lanes)
        SyncToAsync.context_to_thread_executor[context] = executor
        token = SyncToAsync.thread_sensitive_context.set(context)
        try:
            await self.handle(scope, receive, send)
        finally:
            SyncToAsync.thread_sensitive_context.reset(token)
            executor.shutdown()


def path_info(scope: Scope) -> str:
    """Return the path of a request below the project's own place."""
    return strip_prefix(scope["path"], scope.get("root_path", ""))[1] or "/"


def _with_forced_name(scope: Scope, name: str) -> Scope:
    """Put ``FORCE_SCRIPT_NAME`` into the place of the root path, as Django's WSGI handler does."""
    return {**scope, "root_path": name, "path": name.rstrip("/") + path_info(scope)}


def _sync_middleware() -> Iterator[str]:
    for path in settings.MIDDLEWARE:
        if not getattr(import_string(path), "async_capable", False):
            yield path
