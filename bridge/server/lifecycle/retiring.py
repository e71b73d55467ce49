"""How one of several processes goes without losing a request (P10): it retires, then it stops.

So goes a worker of Gunicorn, and one of our own supervisor.

Closing an idle keep-alive connection races with the request that its client may be sending. So
nothing is closed early: the next response on each connection says ``Connection: close``, and a
connection whose client has nothing to say lives on to the end of its keep-alive time, as it always
would, at most `RETIRE_GRACE` seconds. A response that had begun before may have said nothing of a
close, and may last for longer (a stream): its client has as much time after its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from bridge.log import logger
from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.timeouts import IDLE, LEAVING
from bridge.server.lifecycle.stopping import ARRIVAL_GRACE, unless
from bridge.server.state import RETIRING, ManagedConnection, ServerState

#: Seconds that clients have for one more request; twice, if connections are still accepted.
RETIRE_GRACE: Final = 5.0
#: Seconds between two looks whether clients are silent; a connection that goes is noticed at once.
LOOK_AGAIN: Final = 0.5


async def retire_and_stop(
    state: ServerState,
    told: asyncio.Event,
    close_listeners: Callable[[], None],
    stop: Callable[[float], Awaitable[None]],
    *,
    still_accepting: bool,
) -> None:
    """Retire, until that is done or `told`; then `stop`, in what is left of the graceful time."""
    deadline = state.loop.time() + state.config.timeout_graceful_shutdown
    await retire(state, told, close_listeners, still_accepting=still_accepting)
    await stop(deadline - state.loop.time())


async def retire(
    state: ServerState,
    told: asyncio.Event,
    close_listeners: Callable[[], None],
    *,
    still_accepting: bool,
) -> None:
    """Let each client have one more response, as long as it is worth waiting, or until `told`.

    `still_accepting`: no other process may be there to take new connections, so take them until
    those are gone that were there before.
    """
    config, connections = state.config, state.connections
    longest = min(config.timeout_keep_alive, config.timeout_graceful_shutdown, RETIRE_GRACE)
    deadline = state.loop.time() + config.timeout_graceful_shutdown
    state.enter_stop(RETIRING)

    def close_websocket(connection: ManagedConnection) -> None:
        if not isinstance(connection, Http1Connection):  # a WebSocket: its client is to come back
            state.loop.call_later(ARRIVAL_GRACE, partial(connection.shutdown, at_once=False))

    for connection in connections:
        close_websocket(connection)
    with connections.calling(close_websocket):
        if still_accepting:
            before = list(connections)
            gone = connections.until(lambda: connections.isdisjoint(before))
            await unless(told, gone, timeout=longest)
        close_listeners()
        await asyncio.sleep(ARRIVAL_GRACE)  # for those that are accepted, and not known yet
        gone = connections.until(lambda: not (connections or state.handshakes))
        await unless(told, gone, timeout=longest)
        await _wait_for_streams(state, told, longest, deadline)


async def _wait_for_streams(
    state: ServerState, told: asyncio.Event, longest: float, deadline: float
) -> None:
    """Wait for responses that go on, and for `longest` seconds more; until `deadline` at most."""
    connections, loop = state.connections, state.loop
    if not told.is_set() and _may_ask_again(state, longest):
        logger.info(
            "retiring: %s still in use (at most %g s)",
            "a connection is" if (number := _count(state)) == 1 else f"{number} connections are",
            round(max(deadline - loop.time(), 0), 1),
        )
    while loop.time() < deadline and not told.is_set() and _may_ask_again(state, longest):
        gone = connections.until(lambda: not _may_ask_again(state, longest))
        await unless(told, gone, timeout=min(LOOK_AGAIN, deadline - loop.time()))


def _count(state: ServerState) -> int:
    return len(state.connections) + len(state.handshakes)


def _may_ask_again(state: ServerState, longest: float) -> bool:
    """Return whether a client has a response, or had one less than `longest` seconds ago.

    One that is about to have TLS has not asked yet.
    """
    since = state.clock() - longest
    return any(state.handshakes.values()) or any(
        isinstance(each, Http1Connection)
        and (
            each.exchange is not None
            or each.phase == LEAVING
            or (each.phase == IDLE and each.phase_since > since)
        )
        for each in state.connections
    )
