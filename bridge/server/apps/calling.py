"""Call an ASGI app so that all of its code runs in the request's task, and in its context."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from contextvars import Context
from types import FunctionType, MethodType
from typing import Any, Protocol, TypeAlias, cast

from bridge.server.exchange import DONE, Unfinished, give_up
from bridge.server.state import CUTTING
from bridge.types import ASGIApp, Receive, Scope, Send

#: An app whose call runs nothing yet.
CoroutineApp: TypeAlias = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]


def in_own_task(app: ASGIApp) -> CoroutineApp:
    """Return `app`, wrapped if a call of it would run any of its code before its task runs.

    A coroutine function is like that by nature. A plain callable that returns an awaitable (a
    middleware whose ``__call__`` is a plain method, a class) runs code at once: called outside the
    request's task, it would set context variables for the requests of other clients.
    """
    if _is_coroutine_function(app):
        return cast(CoroutineApp, app)

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return call


def _is_coroutine_function(app: object) -> bool:
    """Return whether `app` runs an ``async def``; that it is marked as one is no proof."""
    while type(app) is functools.partial:
        app = app.func
    if not isinstance(app, FunctionType | MethodType):
        app = inspect.getattr_static(type(app), "__call__", None)
    if isinstance(app, MethodType):
        app = app.__func__
    return isinstance(app, FunctionType) and bool(app.__code__.co_flags & inspect.CO_COROUTINE)


def in_context_of(
    task: asyncio.Task[Any], function: Callable[..., object], *arguments: object
) -> None:
    """Call `function` in the context of `task`: what it logs is the request's."""
    context: Context = task.get_context()  # type: ignore[attr-defined]  # not in asyncio's of 3.11
    context.run(function, *arguments)


class AppExchange(Unfinished, Protocol):
    """An exchange whose app runs in a task."""

    task: asyncio.Task[None] | None

    def app_ended(self, error: BaseException | None) -> None:
        """Note that the app has returned or raised."""


def run_app(exchange: AppExchange, work: Coroutine[Any, Any, None]) -> None:
    """Run what answers for `exchange` in a task, from somewhere else than its `start_app`."""
    state = exchange.connection.state
    task = state.new_task(work)
    if not task.done():
        # As in `AsgiExchange.start_app`: it must be kept, and waited for.
        exchange.task = task
        state.tasks.add(task)
        task.add_done_callback(functools.partial(task_ended, exchange))
    elif exchange.response_state < DONE or task.cancelled() or task.exception() is not None:
        task_ended(exchange, task)


def task_ended(exchange: AppExchange, task: asyncio.Task[None]) -> None:
    """Tell `exchange` what has become of its app, in the app's own context."""
    state = exchange.connection.state
    state.tasks.discard(task)
    error: BaseException | None
    if not task.cancelled():
        error = task.exception()
    elif state.stop_phase == CUTTING:
        if exchange.response_state < DONE:  # the server cancels what is left at its end
            give_up(exchange)
        return
    else:
        error = asyncio.CancelledError("the app was cancelled")
    in_context_of(task, exchange.app_ended, error)
