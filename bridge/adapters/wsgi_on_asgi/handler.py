"""The way of an HTTP request through `WsgiToAsgi`: environ, body, call, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from io import BytesIO

from bridge.adapters.wsgi_on_asgi.exchange import (
    BROKEN,
    Exchange,
    Extensions,
    early_hints,
    response_messages,
)
from bridge.adapters.wsgi_on_asgi.in_thread import ThreadExchange, wait_until_closed
from bridge.adapters.wsgi_on_asgi.on_loop import GreenletExchange, InlineExchange
from bridge.errors import AppError, ClientDisconnected, RequestError
from bridge.http.error_response import error_response
from bridge.http.leniency import Leniency
from bridge.limits import HIGH_WATER
from bridge.log import logger
from bridge.runners import Runner
from bridge.runners.base import occupied_runners
from bridge.runners.completions import CompletionQueue
from bridge.types import Environ, Receive, Scope, Send, WSGIApp
from bridge.wsgi.environ import NULL_STREAM, environ_from_scope, pop_transfer_encoding
from bridge.wsgi.input import WsgiInput, spool_limit, spool_limit_without_length
from bridge.wsgi.watched import Limit, new_watched_call

# A request has no body if it announces none (RFC 9112 §6.3). HTTP/2 announces none, and some
# gateways that speak ASGI forget it; both are safe for methods that have none anyway.
_MOSTLY_BODILESS = frozenset({"GET", "HEAD"})
_BODY_IS_ANNOUNCED = frozenset({"HTTP/1.0", "HTTP/1.1"})


class WsgiHandler:
    """Answers ASGI ``http`` scopes with a WSGI app, under one runner.

    `base`: the environ's keys that are the same for every request. The others are settings of
    `WsgiToAsgi`; `limit` is the time that requests have.
    """

    def __init__(
        self,
        app: WSGIApp,
        runner: Runner,
        base: Environ,
        leniency: Leniency,
        *,
        max_body_size: int | None = None,
        spool_body: int | None = None,
        propagate_context: bool = False,
        pathsend: bool = False,
        limit: Limit | None = None,
    ) -> None:
        self._app = app
        self._limit = limit
        self._runner = runner
        self.base = base
        self._leniency = leniency
        self._max_body_size = max_body_size
        self.spool_limit = spool_limit(spool_body, can_wait=runner.can_wait)
        self._propagate_context = propagate_context
        self._pathsend = pathsend
        self._exchange: type[Exchange] = (
            ThreadExchange
            if runner.threaded
            else (GreenletExchange if runner.can_wait else InlineExchange)
        )
        self._begins_alone = self._exchange is not GreenletExchange

    def set_multiprocess(self, several: bool) -> None:
        """Say in the environs from now on whether several processes serve the app."""
        self.base["wsgi.multiprocess"] = several

    async def handle(
        self, completions: CompletionQueue, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one request. Raises what the app raised, so that the host logs it (W38)."""
        extensions = scope.get("extensions")
        exchange = self._exchange(
            self._runner, completions, receive, send, extensions if self._pathsend else None
        )
        try:
            environ = environ_from_scope(scope, self.base)
            coded = pop_transfer_encoding(environ)
            if self._fill(environ, exchange, extensions, coded):
                await self._receive_body(environ, exchange, coded)
        except RequestError as error:
            await _refuse(error, scope, send)
            return
        except ClientDisconnected as error:
            logger.debug("client gone: %s", error)
            return
        call = new_watched_call(self._limit, self._app, environ, exchange, self._leniency)
        exchange.begin(call, copy_context())
        await self.finish(exchange)

    def begin(
        self,
        completions: CompletionQueue,
        scope: Scope,
        receive: Receive,
        send: Send,
        news: Callable[[Exchange], object],
    ) -> Exchange | None:
        """Begin a request without a task; None: that is not possible, `handle` has to do it.

        ``news(exchange)`` is called once there is something to send, maybe at once. It is for the
        caller then to send `whole_response`, if there is one, and `leave`; or to `finish` it.
        """
        if self._propagate_context or not self._begins_alone:
            return None
        extensions = scope.get("extensions")
        exchange = self._exchange(
            self._runner, completions, receive, send, extensions if self._pathsend else None
        )
        try:
            environ = environ_from_scope(scope, self.base)
        except RequestError:
            return None
        coded = pop_transfer_encoding(environ)
        if self._fill(environ, exchange, extensions, coded):
            return None
        call = new_watched_call(self._limit, self._app, environ, exchange, self._leniency)
        exchange.begin(call, copy_context(), partial(news, exchange))
        return exchange

    async def finish(self, exchange: Exchange) -> None:
        """Send the response of an exchange that has begun, to its end. Raises as `handle` does."""
        try:
            await exchange.go_on()
        except BaseException:  # some hosts cancel the request of a client that leaves
            exchange.leave()
            if exchange.failure is not None:
                exchange.failure.log()
            raise
        client_left = exchange.gone
        exchange.leave()
        if self._propagate_context:
            await wait_until_closed(exchange)
            _publish(exchange.context)
        if exchange.failure is not None or exchange.phase == BROKEN:
            _raise_failure(exchange, client_left=client_left)

    def _fill(
        self, environ: Environ, exchange: Exchange, extensions: Extensions | None, coded: bool
    ) -> bool:
        """Set what comes of this host, not of the scope; whether the request may have a body."""
        environ["wsgi.errors"] = sys.stderr or NULL_STREAM  # `error_stream`, without its call
        environ["bridge.disconnected"] = exchange.is_disconnected
        environ["wsgi.input"] = BytesIO()
        if extensions and "http.response.early_hint" in extensions:
            environ["wsgi.early_hints"] = early_hints(exchange)
        return (
            "CONTENT_LENGTH" in environ
            or coded
            or environ["REQUEST_METHOD"] not in _MOSTLY_BODILESS
            or environ["SERVER_PROTOCOL"] not in _BODY_IS_ANNOUNCED
        )

    async def _receive_body(self, environ: Environ, exchange: Exchange, coded: bool) -> None:
        """Set ``wsgi.input``: as much of the body as has to be here before the app runs (W25).

        Raises `RequestError` (413), and `ClientDisconnected`.
        """
        body = exchange.expect_body(environ.get("CONTENT_LENGTH"), self._max_body_size)
        memory, file = self.spool_limit, None
        if memory is None and self._has_no_length(environ, coded):
            memory = spool_limit_without_length(None)
            if memory is None and "HTTP_EXPECT" not in environ:
                file = await body.take_small(HIGH_WATER)  # so that the app gets its length (W8)
        if memory is not None:
            file = await body.take(memory)
        if file is not None:
            environ["CONTENT_LENGTH"] = str(body.received)
        # A client that waits for 100 Continue is asked for its body when the app reads (W21).
        environ["wsgi.input"] = WsgiInput(exchange.pull) if file is None else file

    @staticmethod
    def _has_no_length(environ: Environ, coded: bool) -> bool:
        announced = environ["SERVER_PROTOCOL"] in _BODY_IS_ANNOUNCED
        return "CONTENT_LENGTH" not in environ and (coded or not announced)


async def _refuse(error: RequestError, scope: Scope, send: Send) -> None:
    """Answer a request that is not for the app."""
    logger.info("refused a request: %s", error)
    try:
        is_head = scope["method"] == "HEAD"
        for message in response_messages(*error_response(error, is_head=is_head)):
            await send(message)
    except OSError:
        pass  # the client is gone


def _publish(context: Context) -> None:
    """Hand what the app has set in `context` to the middleware around it."""
    for variable, value in context.items():
        if variable is not occupied_runners and variable.get(None) is not value:
            variable.set(value)


def _raise_failure(exchange: Exchange, *, client_left: bool) -> None:
    """Raise what the app raised; the host cuts a response that broke off (W38)."""
    error = None if exchange.failure is None else exchange.failure.take()
    if error is not None:
        raise error
    if exchange.phase == BROKEN and not client_left:
        raise AppError(
            "the WSGI app failed after its response had started; the log of bridge.error says "
            "how, and the response must be cut off"
        )
