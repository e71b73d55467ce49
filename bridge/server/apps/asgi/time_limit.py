"""`timeout_request` for ASGI apps: requests that take too long are told, and cancelled (R2).

    over time       log where the app stands; cancel its task: then 504, or the connection is cut
    `GRACE` later   it still runs: answer without it; what it still sends goes nowhere

An app may finish its response when it is cancelled. The time counts until the response begins, and
then from one piece to the next, but not while the client is slow. What an app does after its
response is not limited. An app that blocks the loop cannot be cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bridge.errors import OVER_TIME, RequestTimeout
from bridge.log import logger
from bridge.runners.timeouts.report import Place, calls_of_coroutine
from bridge.server.apps.calling import in_context_of
from bridge.server.exchange import DONE, Exchange
from bridge.server.transport import sendfile

#: Seconds that a cancelled app has to end.
GRACE: Final = 1.0
#: The least and the most time between two looks; while one has to end, that time.
_SHORTEST: Final = 0.01
_LONGEST: Final = 1.0
_URGENT: Final = 0.05


class _Watched:
    """What is known of one request."""

    __slots__ = ("over_at", "sent", "since", "task")

    def __init__(self, task: asyncio.Task[Any], now: float) -> None:
        self.task = task
        self.since = now
        self.sent = 0
        self.over_at = 0.0


class AsgiTimeLimit:
    """Ends the requests of one app that take longer than `seconds`; `mount` is for the log.

    `give_up` answers without the app, or cuts; what it still sends goes nowhere.
    """

    def __init__(
        self, seconds: float, mount: str, give_up: Callable[[Any, RequestTimeout], object]
    ) -> None:
        self._seconds = seconds
        self._give_up = give_up
        #: Those whose app was cancelled, until it has ended.
        self.over: set[Exchange] = set()
        self._mount = mount
        self._watched: dict[Exchange, _Watched] = {}
        self._tick = min(max(seconds / 10, _SHORTEST), _LONGEST)

    def watch(self, exchange: Exchange, task: asyncio.Task[Any]) -> None:
        """Look at this request, whose app has not ended at once."""
        loop = exchange.connection.state.loop
        if not self._watched:
            loop.call_later(self._tick, self._look, loop)
        self._watched[exchange] = _Watched(task, loop.time())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at each request, and come again while there are some."""
        now, urgent = loop.time(), False
        for exchange, watched in tuple(self._watched.items()):
            if watched.task.done() or exchange.response_state >= DONE:
                del self._watched[exchange]
            elif watched.over_at:
                urgent = True
                if now - watched.over_at >= GRACE:
                    del self._watched[exchange]
                    self._tell_stuck(exchange, watched.task)
                    in_context_of(watched.task, self._give_up, exchange, RequestTimeout())
            elif self._is_over(exchange, watched, now):
                urgent |= self._cancel(exchange, watched, now)
        if self._watched:
            loop.call_later(min(self._tick, _URGENT) if urgent else self._tick, self._look, loop)

    def _is_over(self, exchange: Exchange, watched: _Watched, now: float) -> bool:
        if exchange.sent != watched.sent or exchange.connection.output.paused:
            watched.sent, watched.since = exchange.sent, now
        return now - watched.since >= self._seconds

    def _cancel(self, exchange: Exchange, watched: _Watched, now: float) -> bool:
        """Cancel the app, unless it sends a file: how long that takes is the client's affair."""
        task, taken = watched.task, now - watched.since
        calls = calls_of_coroutine(task.get_coro())
        if any(file == sendfile.__file__ for file, _, _ in calls):
            watched.since = now
            return False
        place = Place(calls)
        in_context_of(
            task,
            logger.warning,
            "%s of %s has run for %.1f s, longer than timeout_request (%g s), and is cancelled; "
            "it is at %s\n%s",
            *(exchange.request.shown, self._mount, taken, self._seconds, place.line, place.stack),
        )
        watched.over_at = now
        self.over.add(exchange)
        task.add_done_callback(lambda _: self.over.discard(exchange))  # after `task_ended`
        task.cancel(OVER_TIME)
        return True

    def _tell_stuck(self, exchange: Exchange, task: asyncio.Task[Any]) -> None:
        place = Place(calls_of_coroutine(task.get_coro()))
        in_context_of(
            task,
            logger.warning,
            "%s of %s could not be interrupted within %g s: it is answered without its app; it is "
            "at %s\n%s",
            *(exchange.request.shown, self._mount, GRACE, place.line, place.stack),
        )


def is_over_time(exchange: Exchange) -> bool:
    """Whether the app of `exchange` was cancelled, as its time was over."""
    limit: AsgiTimeLimit | None = exchange.handler.limit
    return limit is not None and exchange in limit.over
