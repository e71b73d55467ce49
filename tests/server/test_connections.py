"""The set of open connections: who waits for it hears of each change, and misses none (P2)."""

from __future__ import annotations

import asyncio

from bridge.server.connections import ConnectionSet


def test_a_wait_ends_when_the_last_one_goes() -> None:
    """P2: not before, and at once if there is none."""

    async def main() -> None:
        connections: ConnectionSet[str] = ConnectionSet()
        await connections.until(lambda: not connections)
        connections.add("a")
        connections.add("b")
        waiting = [
            asyncio.ensure_future(connections.until(lambda: not connections)),
            asyncio.ensure_future(connections.until(lambda: "a" not in connections)),
        ]
        await asyncio.sleep(0)
        connections.discard("a")
        await waiting[1]
        assert not waiting[0].done()
        connections.discard("b")
        await waiting[0]

    asyncio.run(main())


def test_one_that_takes_the_place_of_another() -> None:
    """P2: a WebSocket that comes as its connection goes keeps the set from being empty."""

    async def main() -> None:
        connections: ConnectionSet[str] = ConnectionSet()
        connections.add("http")
        waiting = asyncio.ensure_future(connections.until(lambda: not connections))
        await asyncio.sleep(0)
        connections.discard("http")
        connections.add("websocket")
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        connections.discard("websocket")
        await waiting

    asyncio.run(main())


def test_who_comes_is_told_of() -> None:
    """P2: a server that stops closes those that come meanwhile."""
    came: list[str] = []
    connections: ConnectionSet[str] = ConnectionSet()
    connections.add("before")
    with connections.calling(came.append):
        connections.add("meanwhile")
        connections.discard("never there")
    connections.add("after")
    assert (came, connections) == (["meanwhile"], {"before", "meanwhile", "after"})


def test_who_goes_is_told_of() -> None:
    """P8: a worker beside others says how many connections it has, whenever one has closed."""
    left: list[int] = []
    connections: ConnectionSet[str] = ConnectionSet()
    connections.add("before")
    connections.discard("before")
    connections.watch(lambda: left.append(len(connections)))
    connections.add("a")
    connections.add("b")
    connections.discard("a")
    assert left == [1]
    connections.note_gone()  # one whose handshake has failed, for instance
    assert left == [1, 1]
