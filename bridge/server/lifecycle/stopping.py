"""How a server stops without losing what is in flight (P2): on its own and as a Gunicorn worker.

first      connections are closed if they are idle, the others after their answer; and
           everything that belongs to a request is waited for: WebSockets, work after the
           response, threads and greenlets
then       what is left after the grace, or at an order to cut, is cut: connections are reset,
           tasks are cancelled and awaited
at last    nothing of a request runs any more, and the app's lifespan may shut down
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from bridge.errors import pluralize
from bridge.log import logger
from bridge.server.apps.handlers import runners_of, stop_runners
from bridge.server.http1.connection import Http1Connection
from bridge.server.state import CUTTING, LATE, ManagedConnection, ServerState
from bridge.types import ASGIApp

#: Seconds for connections and requests that came just before the stop, and are not read yet.
ARRIVAL_GRACE = 0.02
#: Seconds that a client has to finish a request head, or a TLS handshake, at the end.
HEAD_GRACE = 2.0
#: Seconds that what is cancelled has to clean up; and so many after an order to cut.
CANCEL_GRACE = 1.0
CUT_GRACE = 0.2


async def unless(
    told: asyncio.Event,
    work: Coroutine[Any, Any, object],
    grace: float = 3 * CANCEL_GRACE,
    timeout: float | None = None,
) -> bool:
    """Do `work`, or give it up when `told`, or after `timeout` seconds; return whether it was done.

    It begins in any case, so that it can clean up, for `grace` seconds at most. Cancelling this
    gives it up, too. Raises what `work` raises.
    """
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(told.wait())
    try:
        await asyncio.wait([task, waiter], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _give_up(task, grace)
        raise
    finally:
        waiter.cancel()
    if task.done():
        task.result()
        return True
    await _give_up(task, grace)
    return False


async def _give_up(task: asyncio.Future[object], grace: float) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=grace)  # it may cancel others, and wait for them


class Draining:
    """The requests of one server, and their end.

    `cut` is set when they are to end at once. `remedy` says how a user can do that, for the log.
    """

    def __init__(
        self, state: ServerState, app: ASGIApp, cut: asyncio.Event, remedy: str = ""
    ) -> None:
        self._state = state
        self._app = app
        self._is_cut = cut
        self._remedy = remedy
        self._has_logged = False

    async def run(self, deadline: float) -> None:
        """Let everything of a request end, until `deadline` (the loop's time); then cut it."""
        state, loop = self._state, self._state.loop
        grace = deadline - loop.time()
        await asyncio.sleep(ARRIVAL_GRACE)
        self._shutdown_connections()
        with state.connections.calling(self._shutdown_soon):
            self._log_busy(grace)
            no_more_heads = loop.call_later(HEAD_GRACE - ARRIVAL_GRACE, self._end_heads, grace)
            timeout = max(deadline - loop.time(), 0)
            try:
                await unless(self._is_cut, self._until_idle(), timeout=timeout)
            finally:
                no_more_heads.cancel()
        await self._cut_handshakes()
        await self._cut()
        await stop_runners(self._app, ARRIVAL_GRACE)

    # --------------------------------------------------------- what may end by itself

    def _shutdown_connections(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown(at_once=False)

    def _shutdown_soon(self, connection: ManagedConnection) -> None:
        """Close one more, which has come after a TLS handshake or that of a WebSocket."""
        self._state.loop.call_later(ARRIVAL_GRACE, partial(connection.shutdown, at_once=False))

    def _end_heads(self, grace: float) -> None:
        """Wait no longer for heads and handshakes that have begun."""
        self._state.enter_stop(LATE)
        self._shutdown_connections()
        for handshake in list(self._state.handshakes):
            handshake.cancel()
        self._log_busy(grace)

    async def _until_idle(self) -> None:
        """Wait until nothing of a request is left: connections, tasks, jobs of runners."""
        state = self._state
        while True:
            await state.connections.until(lambda: not state.connections)
            begun = [task for task, has_begun in state.handshakes.items() if has_begun]
            if not (begun or state.tasks):
                break
            await asyncio.wait([*begun, *state.tasks])
            await asyncio.sleep(0)  # they leave those sets, and connections come
        await stop_runners(self._app, None)

    # --------------------------------------------------------- what is cut

    async def _cut_handshakes(self) -> None:
        """Cut what has no TLS yet: from now on no more requests can come."""
        handshakes = list(self._state.handshakes)
        for handshake in handshakes:
            handshake.cancel()
        if handshakes:
            await asyncio.wait(handshakes, timeout=CUT_GRACE)

    async def _cut(self) -> None:
        """Cut what is left of connections and tasks."""
        state = self._state
        left = count_busy(self._state, self._app)
        if not left:
            return
        logger.warning(
            "cut %s that %s still busy", _list_counts(left), _one_or_several(left, "was", "were")
        )
        state.enter_stop(CUTTING)
        for connection in list(state.connections):
            connection.shutdown(at_once=True)
        await asyncio.sleep(0)  # apps hear of their clients before they are cancelled
        tasks = set(state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_GRACE if self._is_cut.is_set() else CANCEL_GRACE)
        stubborn = sum(not task.done() for task in tasks)
        if stubborn:
            logger.error(
                "%s went on after being cancelled: left behind", pluralize(stubborn, "task")
            )

    # --------------------------------------------------------- the log

    def _log_busy(self, seconds: float) -> None:
        """Log what keeps the server, once; `seconds` is the time that it has."""
        busy = count_busy(self._state, self._app)
        busy.pop("connection", None)  # idle, and about to close
        if not busy or self._has_logged:
            return
        self._has_logged = True
        remedy = f"; {self._remedy} {_one_or_several(busy, 'it', 'them')}" if self._remedy else ""
        logger.info(
            "stopping: %s %s still busy (at most %g s%s)",
            *(_list_counts(busy), _one_or_several(busy, "is", "are"), round(seconds, 1), remedy),
        )


# ------------------------------------------------------------- what is in flight


def count_busy(state: ServerState, app: ASGIApp) -> dict[str, int]:
    """Count what is in flight, by kind; a kind of which there is nothing is left out."""
    requests = sockets = others = calls = 0
    in_flight: set[asyncio.Task[None] | None] = set()
    for connection in state.connections:
        if not isinstance(connection, Http1Connection):
            sockets += 1
            in_flight.add(getattr(connection, "task", None))
        elif connection.exchange is not None:
            requests += 1
            task = connection.exchange.task
            in_flight.add(task)
            calls += task is None
        else:
            others += 1
    found = {
        "request": requests,
        "WebSocket": sockets,
        "connection": others,
        "background task": len(state.tasks - in_flight),  # work after a response
        "call of a WSGI app": max(_count_calls(app) - calls, 0) if not requests else 0,
    }
    return {what: number for what, number in found.items() if number}


def _count_calls(app: ASGIApp) -> int:
    """Count the calls of WSGI apps that run, also those that only close their responses."""
    figures = [runner.stats() for _, runner in runners_of(app)]
    return sum(each.busy + each.streams for each in figures)


def _list_counts(busy: dict[str, int]) -> str:
    """Return text like ``2 requests and 1 WebSocket``."""
    words = [pluralize(number, what) for what, number in busy.items()]
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])


def _one_or_several(busy: dict[str, int], one: str, several: str) -> str:
    return one if sum(busy.values()) == 1 else several
