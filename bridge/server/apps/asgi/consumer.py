"""The handler of ASGI 1 consumers: what `asgi1.http` does, in fewer steps.

A consumer that answers at once, as most do, needs no task and no ASGI messages in between: its
whole response goes to the connection. All else goes on as under any ASGI host.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from bridge.asgi1.app import ConsumerApp
from bridge.server.apps.asgi.exchange import AsgiExchange, AsgiHandler
from bridge.server.apps.asgi.response import OVER
from bridge.server.apps.calling import task_ended
from bridge.server.apps.scope import complete_scope
from bridge.server.exchange import DONE, Connection
from bridge.server.request import Request


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
        state = connection.state
        try:
            handler.consumer.serve(state.loop)
            exchange = handler.consumer.exchange(scope, self.receive, self.send)
            begun = exchange.begin()
        except Exception as error:  # the channel layer's, or the runner's
            self.app_ended(error)
            return
        whole = exchange.whole() if begun and not connection.client_left else None
        if whole is not None:
            self._phase = OVER
            connection.send_whole(self, *whole)
            return
        task = state.new_task(exchange.finish() if begun else exchange.run())
        if not task.done():
            self.task = task
            state.tasks.add(task)
            task.add_done_callback(partial(task_ended, self))
        elif self.response_state < DONE or task.cancelled() or task.exception() is not None:
            task_ended(self, task)
