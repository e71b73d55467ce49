"""How one of several processes goes without losing a request (P10): before it stops.

Closing an idle keep-alive connection races with the request that its client may be sending. So
nothing is closed early: the next response on each connection says ``Connection: close``, and a
connection whose client has nothing to say lives on to the end of its keep-alive time, as it always
would, at most `RETIRE_GRACE` seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from bridge.server.http1.connection import Http1Connection
from bridge.server.lifecycle.stopping import ARRIVAL_GRACE, unless
from bridge.server.state import RETIRING, ManagedConnection, ServerState

#: Seconds that clients have for one more request; twice, if connections are still accepted.
RETIRE_GRACE: Final = 5.0


async def retire(
    state: ServerState,
    cut: asyncio.Event,
    close_listeners: Callable[[], None],
    *,
    still_accepting: bool,
) -> None:
    """Let each client have one more response, as long as it is worth waiting, or until `cut`.

    `still_accepting`: no other process may be there to take new connections, so take them until
    those are gone that were there before.
    """
    config, connections = state.config, state.connections
    longest = min(config.timeout_keep_alive, config.timeout_graceful_shutdown, RETIRE_GRACE)
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
            await unless(cut, gone, timeout=longest)
        close_listeners()
        await asyncio.sleep(ARRIVAL_GRACE)  # for those that are accepted, and not known yet
        await unless(cut, connections.until(lambda: not connections), timeout=longest)
