"""The handler of ASGI 1 consumers: what `asgi1.http` does, in fewer steps.

A consumer that answers at once, or soon from a thread, as most do, needs no task and no ASGI
messages: its whole response goes to the connection. All else goes on as under any ASGI host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from bridge.asgi1.app import ConsumerApp
from bridge.asgi1.http import HttpExchange
from bridge.server.apps.asgi.exchange import AsgiExchange, AsgiHandler
from bridge.server.apps.asgi.response import OVER
from bridge.server.apps.calling import task_ended
from bridge.server.apps.scope import complete_scope
from bridge.server.exchange import DONE, Connection
from bridge.server.request import Request

#: Seconds that a thread has before a task waits for it.
_SOON: Final = 0.05


class ConsumerHandler(AsgiHandler):
    """Answers requests with an ASGI 1 consumer."""

    def __init__(self, app: ConsumerApp, lifespan_state: dict[str, Any], prefix: str = "") -> None:
        super().__init__(app, lifespan_state, prefix)
        self.consumer = app

    def open(self, connection: Connection, request: Request) -> ConsumerExchange:
        """Make an exchange for this request."""
        return ConsumerExchange(self, connection, request)


class ConsumerExchange(AsgiExchange):
    """One request answered by a consumer."""

    handler: ConsumerHandler

    def start_app(self) -> None:
        """Call the consumer. If it has answered in full when it returns, send that."""
        connection, handler = self.connection, self.handler
        scope = handler.new_scope(connection, self.request)
        complete_scope(scope, connection, self.request, handler.lifespan_state)
        try:
            handler.consumer.serve(connection.state.loop)
            exchange = handler.consumer.exchange(scope, self.receive, self.send)
            begun = exchange.begin()
        except Exception as error:  # the channel layer's, or the runner's
            self.app_ended(error)
            return
        if not begun:
            _run_task(self, exchange.run())
        elif _send_whole(self, exchange):
            return
        elif handler.consumer.runner.threaded:
            _Moment(self, exchange)
        else:
            _run_task(self, exchange.finish())


def _send_whole(request: ConsumerExchange, exchange: HttpExchange) -> bool:
    """Send the response if that is all that is left to be done; else False."""
    whole = None if request.connection.client_left else exchange.whole()
    if whole is None:
        return False
    request._phase = OVER
    request.connection.send_whole(request, *whole)
    return True


def _run_task(request: ConsumerExchange, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run the rest of a request in a task, as `AsgiExchange` runs an app."""
    state = request.connection.state
    task = state.new_task(coroutine)
    if not task.done():
        request.task = task
        state.tasks.add(task)
        task.add_done_callback(partial(task_ended, request))
    elif request.response_state < DONE or task.cancelled() or task.exception() is not None:
        task_ended(request, task)


class _Moment:
    """The moment that a consumer's thread has to answer in full; a task does all else."""

    __slots__ = ("_exchange", "_request", "_timer")

    def __init__(self, request: ConsumerExchange, exchange: HttpExchange) -> None:
        self._request = request
        self._exchange = exchange
        loop = request.connection.state.loop
        #: None when the moment is over.
        self._timer: asyncio.TimerHandle | None = loop.call_later(_SOON, self._go_on)
        if not exchange.call_when_news(self._look):
            self._look()

    def _look(self) -> None:
        """Send what the thread has made, if it is whole."""
        exchange = self._exchange
        if self._timer is None or _send_whole(self._request, exchange):
            self._end()
        elif exchange.waits_for_call:  # it ends just now, as a rule
            exchange.call_when_news(self._look)
            self._request.connection.state.loop.call_soon(self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Wait for the rest in a task, unless that is done or was begun."""
        if self._end():
            _run_task(self._request, self._exchange.finish())

    def _end(self) -> bool:
        """Stop the timer; whether it ran."""
        timer, self._timer = self._timer, None
        if timer is None:
            return False
        timer.cancel()
        return True
