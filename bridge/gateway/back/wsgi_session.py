"""One HTTP request that a WSGI app of this worker answers, without a task if it can (rules L9, W).

The app runs under its runner as behind any ASGI host (`adapters.wsgi_on_asgi`); only the usual case
is short: a request without a body, and a response that is whole at once. Anything else goes on as a
task that sends ASGI messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from bridge.adapters.wsgi_on_asgi.exchange import Exchange, whole_response
from bridge.asgi import messages as grammar
from bridge.gateway.back.app_session import Sessions, TakenRequest
from bridge.gateway.back.http_session import HttpSession
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import Request
from bridge.wsgi_to_asgi import WsgiToAsgi

#: Runs a coroutine of a session in a task, and takes note of its end.
Start: TypeAlias = Callable[[TakenRequest, Coroutine[Any, Any, None]], object]


class WsgiSession(HttpSession):
    """One request for `app`.

    ``start(session, coroutine)`` runs what needs a task; ``ended(session)`` is called if it goes on
    after `begin`, and is over without one.
    """

    def __init__(
        self,
        sessions: Sessions,
        request: Request,
        app: WsgiToAsgi,
        start: Start,
        ended: Callable[[TakenRequest], object],
    ) -> None:
        super().__init__(sessions, request)
        self._app = app
        self._start = start
        self._ended = ended
        #: What runs after `begin`, until there is news.
        self._exchange: Exchange | None = None
        #: Whether there was something to send.
        self._has_news = False

    def begin(self, state: dict[str, Any]) -> bool:
        """Have the app run; True: it is over, or a task has it. `state` is the lifespan's."""
        app = self._app
        self.scope["state"] = state.copy()
        exchange = app.begin(self.scope, self.receive, self.send, self._on_news)
        if exchange is None:
            self._start(self, self.run(app, state))
        elif not self._has_news:
            self._exchange = exchange  # a circle, until there is news
            return False
        return True

    def _on_news(self, exchange: Exchange) -> None:
        """Send the response: as one frame if it is whole, and the gateway was told of nothing."""
        self._has_news = True
        goes_on, self._exchange = self._exchange is not None, None
        answer = whole_response(exchange)
        if answer is None or self._told or len(answer[1]) > WINDOW:
            self._start(self, self._go_on(exchange))
            return
        head, body = answer
        self._phase = grammar.OVER
        self.answer(head.status_code, head.raw_headers, body)
        exchange.leave()
        if exchange.failure is not None:
            self.end(exchange.failure.take())
        if goes_on:
            self._ended(self)

    async def _go_on(self, exchange: Exchange) -> None:
        """Send the response by messages, as the app makes it."""
        error: BaseException | None = None
        try:
            await self._app.finish(exchange)
        except (Exception, asyncio.CancelledError) as caught:
            error = caught
        self.end(error)

    def cut(self, task: asyncio.Task[None] | None) -> None:
        """Give the session up; without a task, what runs is left to its runner."""
        super().cut(task)
        if task is None and self._exchange is not None:
            self._exchange.leave()
            self._phase = grammar.OVER
            self._ended(self)
