"""The handler of ASGI 1 consumers: what `asgi1.http` does, in fewer steps.

A consumer that answers at once, or soon from a thread, as most do, needs no task, no scope and no
ASGI messages: its whole response goes to the connection (`first_call.py`). All else goes on
as under any ASGI host.
"""

from __future__ import annotations

from typing import Any, Final

from bridge.asgi1.app import ConsumerApp
from bridge.asgi1.http import HttpExchange
from bridge.errors import BridgeError
from bridge.limits import HIGH_WATER
from bridge.server.apps.asgi.consumer_content import Contents
from bridge.server.apps.asgi.exchange import AsgiExchange, AsgiHandler
from bridge.server.apps.asgi.first_call import FRESH, FirstCall
from bridge.server.apps.asgi.response import OVER
from bridge.server.apps.calling import run_app
from bridge.server.apps.scope import http_scope
from bridge.server.exchange import Connection
from bridge.server.request import Request
from bridge.server.request_body import WHOLE
from bridge.server.state import ServerState

#: Seconds that a thread has before a task waits for it; then it has had twice this at most.
_SOON: Final = 0.05


class ConsumerHandler(AsgiHandler):
    """Answers requests with an ASGI 1 consumer."""

    def __init__(self, app: ConsumerApp, lifespan_state: dict[str, Any], prefix: str = "") -> None:
        super().__init__(app, lifespan_state, prefix)
        self.consumer = app
        self.contents = Contents(prefix)
        self.in_threads = CallsInThreads()

    def open(self, connection: Connection, request: Request) -> ConsumerExchange:
        """Make an exchange for this request."""
        return ConsumerExchange(self, connection, request)

    def look(self, call: FirstCall) -> None:
        """Send the response if it is whole, else go on: a job has ended, or a thread has news."""
        exchange = call.exchange
        connection = exchange.connection
        whole = None if connection.client_left else call.take_whole()
        if whole is not None:
            if call.caller.threaded:
                self.in_threads.discard(call)
            exchange._phase = OVER
            connection.send_whole(exchange, *whole)
        elif call.waits_for_end:  # it ends just now, as a rule
            connection.state.loop.call_soon(self._look_again, call)
        else:
            self.take_over(call)

    def _look_again(self, call: FirstCall) -> None:
        if call.phase == FRESH:
            if call.has_ended:
                self.look(call)
            else:
                self.take_over(call)

    def take_over(self, call: FirstCall) -> None:
        """Go on as under any ASGI host."""
        exchange = call.exchange
        self.in_threads.discard(call)
        run_app(exchange, _http_exchange(exchange, call).finish())


class ConsumerExchange(AsgiExchange):
    """One request answered by a consumer."""

    handler: ConsumerHandler

    def start_app(self) -> None:
        """Call the consumer. If it has answered in full when it returns, send that."""
        handler, request = self.handler, self.request
        consumer, state = handler.consumer, self.connection.state
        try:
            consumer.serve(state.loop)
            caller = consumer.caller
            if not caller.may_be_quick or (request.length and not _is_small(self)):
                _start_slow(self)
                return
            body = b""
            if request.length:
                self._body_given = True
                body = self.body.take()
            content = handler.contents.make(self.connection, request, body)
            call = FirstCall(caller, consumer.layer, content, self)
            try:
                caller.runner.submit(call)
            except BridgeError as error:
                call.refuse(error)
                return
        except Exception as error:  # the channel layer's, or the runner's
            self.app_ended(error)
            return
        if caller.threaded:
            handler.in_threads.add(call, state)
        else:
            handler.look(call)


def _is_small(request: ConsumerExchange) -> bool:
    """Whether the body of a request belongs in the message, and is here."""
    return request.body.state == WHOLE and 0 < request.request.length <= HIGH_WATER


def _start_slow(request: ConsumerExchange) -> None:
    """Call the consumer as under any ASGI host. If it has answered in full, send that."""
    exchange = _http_exchange(request)
    if not exchange.begin():
        run_app(request, exchange.run())
        return
    whole = None if request.connection.client_left else exchange.whole()
    if whole is None:
        run_app(request, exchange.finish())
    else:
        request._phase = OVER
        request.connection.send_whole(request, *whole)


def _http_exchange(request: ConsumerExchange, first: FirstCall | None = None) -> HttpExchange:
    handler = request.handler
    state = handler.lifespan_state
    scope = http_scope(request.connection, request.request, state, handler.prefix)
    return handler.consumer.exchange(scope, request.receive, request.send, first)


class CallsInThreads:
    """The calls in threads that have not answered yet, the oldest first.

    One timer for all of them has those taken over that have taken their time: from then on there is
    a task that sends what comes, and listens for the client.
    """

    __slots__ = ("_calls", "_is_timed")

    def __init__(self) -> None:
        self._calls: dict[FirstCall, None] = {}
        self._is_timed = False

    def add(self, call: FirstCall, state: ServerState) -> None:
        """Note that `call` was given to the runner."""
        self._calls[call] = None
        if not self._is_timed:
            self._start_timer(state)

    def discard(self, call: FirstCall) -> None:
        """Forget `call`."""
        self._calls.pop(call, None)

    def _start_timer(self, state: ServerState) -> None:
        self._is_timed = True
        state.loop.call_later(_SOON, self._check, state, context=state.context)

    def _check(self, state: ServerState) -> None:
        self._is_timed = False
        began = state.loop.time() - _SOON
        for call in [*self._calls]:
            if call.queued_at > began:
                break
            call.exchange.handler.take_over(call)
        if self._calls:
            self._start_timer(state)
