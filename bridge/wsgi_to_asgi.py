"""`WsgiToAsgi`: a WSGI app as an ASGI 3 app (W).

The rules of the environ and of the response are in `wsgi`, how the app runs is in `runners`. What
lies between those and ASGI's messages is in `adapters.wsgi_on_asgi`: an HTTP request goes through
its `handler`, a WebSocket through its `websocket`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from copy import copy
from importlib import import_module
from typing import Any

from bridge.adapters.runner_app import RunnerApp, cannot_start
from bridge.adapters.wsgi_on_asgi.exchange import Exchange
from bridge.adapters.wsgi_on_asgi.handler import WsgiHandler
from bridge.adapters.wsgi_on_asgi.settings import OF_THREADS, read_settings
from bridge.arguments.app_kind import check_app
from bridge.arguments.checks import WSGI_DEFAULTS, WSGI_SETTINGS
from bridge.errors import AppLoadError, NotOnAsyncio, UnsupportedScope
from bridge.http.leniency import Leniency
from bridge.log import logger
from bridge.runners import Runner, make_runner
from bridge.runners.completions import CompletionQueue
from bridge.types import Receive, Scope, Send, WSGIApp
from bridge.wsgi.environ import (
    base_environ,
    environ_from_scope,
    error_stream,
    with_placeholders,
)

__all__ = ["WsgiToAsgi"]


class WsgiToAsgi(RunnerApp):
    """A WSGI app as an ASGI 3 app: ``asgi_app = WsgiToAsgi(wsgi_app)``.

    An app that plainly is of another kind is refused, with the name of what serves it; `kind`
    (``"wsgi"``) says that it is a WSGI app all the same.

    `runner`: ``"thread"``, ``"greenlet"``, ``"inline"``, or a `Runner`.
    `threads`: the most threads that run the app at once. `queue_limit`: the most requests that
    wait for one; those beyond get a 503 with Retry-After, and so do those that wait for longer than
    `queue_timeout` seconds (0: they wait for any time, in their turn).
    `stream_after`: seconds after which a response that streams leaves the pool; its thread goes on,
    and another may start in its place. `stream_limit`: the most that are beside the pool; if
    streams hold all other threads too, the answer is 503. 0: none leaves.
    `timeout_request`: seconds until the app begins its response, and from one piece of it to the
    next, after which it is ended: `RequestTimeout` is raised in it, and the answer is a 504, or the
    response is cut. 0: it may take any time.
    None, for these, for `websocket` and for `strict`: as our server is told (``--threads`` and so
    on); elsewhere ``"thread"``, 8, 1024, 0, 1, 256, 0, False and False.
    `max_body_size`: bytes of a request body; more is a 413. None: no limit.
    `spool_body`: take the whole body before the app runs, this many bytes of it in memory and
    more in a temporary file, so that slow clients hold no thread. None: the app reads it as it
    comes. (Some frameworks, Django and Bottle among them, see no body whose length they are not
    told: if one of these is loaded, bodies without a length are taken whole in any case.)
    `propagate_context`: hand changes that the app makes to context variables back to the ASGI
    middleware around it; the call then ends when the app's ``close()`` has returned.
    `pathsend`: leave files of ``wsgi.file_wrapper`` to a server that offers to send them by itself
    (``http.response.pathsend``). Not with a middleware around that looks at bodies. On our server
    files go by the kernel in any case.
    `websocket`: give WebSockets to the app, as ``werkzeug.socket`` in its environ.
    `strict`: what PEP 3333 does not allow in a response is an error; else what most servers take
    is taken, with a warning.
    `multiprocess`: what ``wsgi.multiprocess`` says: whether other processes serve the app, too.
    None: what our server knows; elsewhere True, for it may be so.

    Lifespan is answered: the pool starts and stops with it. Other scopes raise
    `UnsupportedScope`. Raises `ConfigError` for a value that is not allowed.
    """

    #: What the log calls it at the start.
    interface = "WSGI"
    #: What the app in it is called there; None: by its function, or its class.
    shown_name: str | None = None
    #: Whether a server has called `adopt`.
    _adopted = False
    #: How it runs now: each of `checks.WSGI_SETTINGS`.
    _how: Mapping[str, Any] | None = None

    def __init__(
        self,
        app: WSGIApp,
        *,
        kind: str | None = None,
        runner: str | Runner | None = None,
        threads: int | None = None,
        queue_limit: int | None = None,
        queue_timeout: float | None = None,
        stream_after: float | None = None,
        stream_limit: int | None = None,
        max_body_size: int | None = None,
        spool_body: int | None = None,
        propagate_context: bool = False,
        pathsend: bool = False,
        websocket: bool | None = None,
        strict: bool | None = None,
        multiprocess: bool | None = None,
        **of_threads: Any,
    ) -> None:
        check_app(app, kind, "wsgi")
        self.app: WSGIApp = app
        given = {
            "runner": runner,
            "threads": threads,
            "queue_limit": queue_limit,
            "queue_timeout": queue_timeout,
            "stream_after": stream_after,
            "stream_limit": stream_limit,
            "max_body_size": max_body_size,
            "spool_body": spool_body,
            "propagate_context": propagate_context,
            "pathsend": pathsend,
            "websocket": websocket,
            "strict": strict,
            "multiprocess": multiprocess,
        }
        self._explicit = explicit = read_settings({**given, **of_threads})
        self.max_body_size: int | None = explicit.get("max_body_size")
        self.spool_body: int | None = explicit.get("spool_body")
        self._completions: CompletionQueue | None = None
        self._run_as(WSGI_DEFAULTS)

    def _run_as(self, values: Mapping[str, Any]) -> None:
        """Run the app with the settings given when this was made, and `values` for the others."""
        explicit = self._explicit
        how = {name: explicit.get(name, values[name]) for name in WSGI_SETTINGS}
        if how == self._how:  # a second server of this process serves it, too
            return
        self._how = how.copy()
        self.multiprocess: bool = explicit.get("multiprocess", True)
        self.websocket: bool = how.pop("websocket")
        #: How far responses that break PEP 3333 are taken as they are meant (W34).
        self.leniency = Leniency(self.app, strict=how.pop("strict"))
        seconds = how.pop("timeout_request")
        of_threads = {name: explicit[name] for name in OF_THREADS if name in explicit}
        self.runner = make_runner(how.pop("runner"), **how, **of_threads)
        self.use_limit(seconds)
        base = with_placeholders(
            base_environ(multithread=self.runner.multithread, multiprocess=self.multiprocess),
            *("SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT", "wsgi.errors"),
        )
        base["bridge.stats"] = self.runner.stats
        self._handler = WsgiHandler(
            self.app,
            self.runner,
            base,
            self.leniency,
            max_body_size=self.max_body_size,
            spool_body=self.spool_body,
            propagate_context=explicit["propagate_context"],
            pathsend=explicit["pathsend"],
            limit=self.limit,
        )

    def adopt(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """For a server, before it starts the app: how to run it, if that was not given here.

        `values`: each of `checks.WSGI_SETTINGS`. Returns the settings given here that differ.
        """
        own = {name: self._explicit[name] for name in WSGI_SETTINGS if name in self._explicit}
        self._adopted = True
        self._run_as(values)
        self.adopt_processes(several=False)
        return {name: value for name, value in own.items() if value != values[name]}

    def adopt_processes(self, *, several: bool) -> None:
        """For a server: whether several processes serve the app, if that was not given here."""
        self.multiprocess = self._explicit.get("multiprocess", several)
        self._handler.set_multiprocess(self.multiprocess)

    def around(self, wrap: Callable[[WSGIApp], WSGIApp]) -> WsgiToAsgi:
        """For a server: return the same, with the app as `wrap` returns it, in the same runner."""
        other = copy(self)
        other.app = wrap(self.app)
        return other

    def with_own_threads(self, threads: int) -> WsgiToAsgi:
        """Return the same app as it runs now, but with so many threads of its own."""
        other = copy(self)
        other._explicit = {**self._explicit, "runner": "thread", "stream_limit": 0}
        other._explicit["threads"] = threads
        other._completions = None
        other._run_as({**WSGI_DEFAULTS, **(self._how or {})})
        other.adopt_processes(several=self.multiprocess)
        return other

    def __repr__(self) -> str:
        return f"<WsgiToAsgi {self.app!r}>"

    def begin(
        self, scope: Scope, receive: Receive, send: Send, news: Callable[[Exchange], object]
    ) -> Exchange | None:
        """For a host of ours: begin a request without a task, as `WsgiHandler.begin` says.

        None: not possible, call the app as usual.
        """
        completions = self._completions
        if completions is None or completions.loop is not asyncio.get_running_loop():
            return None
        return self._handler.begin(completions, scope, receive, send, news)

    async def finish(self, exchange: Exchange) -> None:
        """Go on with what `begin` has begun, to its end. Raises what the app raised."""
        await self._handler.finish(exchange)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        kind = scope["type"]
        try:
            completions, loop = self._completions, asyncio.get_running_loop()
        except RuntimeError:
            await cannot_start(NotOnAsyncio("WsgiToAsgi"), kind, receive, send)
            return
        if completions is None or completions.loop is not loop:
            try:
                self.runner.start(loop)
            except AppLoadError as error:
                await cannot_start(error, kind, receive, send)
                return
            completions = self._completions = CompletionQueue(loop)
        if kind == "http":
            await self._handler.handle(completions, scope, receive, send)
        elif kind == "lifespan":
            await self.answer_lifespan(receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            raise UnsupportedScope(
                f"a WSGI app cannot take the ASGI scope type {kind!r}; it takes 'http'"
                " and 'lifespan'"
            )

    # --------------------------------------------------------- websocket

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the WebSocket to the app, or refuse its handshake (W60)."""
        if not self.websocket:
            ours = self._adopted and "websocket" not in self._explicit
            logger.warning(
                "refused a WebSocket at %r: the WSGI app takes none; %s gives them to it",
                scope["path"],
                ("--websocket, or " if ours else "") + "WsgiToAsgi(app, websocket=True)",
            )
            if (await receive())["type"] == "websocket.connect":
                await send({"type": "websocket.close", "code": 1000})
            return
        environ = environ_from_scope(scope, self._handler.base)
        environ["wsgi.errors"] = error_stream()
        del environ["bridge.disconnected"]  # a place that only HTTP fills
        # Loaded when it is used: plain HTTP apps do without the library.
        module = import_module("bridge.adapters.wsgi_on_asgi.websocket")
        await module.SocketRelay(scope, receive, send).run(self.app, environ)
