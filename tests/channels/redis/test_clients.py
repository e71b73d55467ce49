"""The channels of this process, and the order of what they get."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.channels.redis.clients import Clients
from bridge.errors import ChannelFull

ID = "0" * 16
ONE, OTHER = f"a.{ID}!1", f"a.{ID}!2"


def refuse(_: object) -> None:
    raise ChannelFull("no room")


def fail(_: object) -> None:
    raise ValueError("broken")


def test_who_reads_what() -> None:
    """L8: a channel of this process has a reader of its own, or that of its whole queue."""
    clients, seen = Clients(ID), list[Any]()
    clients.attach(ONE, seen.append)
    assert clients.send_now(ONE, {"n": 1})
    assert not clients.send_now(OTHER, {"n": 2})
    assert (clients.is_gone(ONE), clients.is_gone(OTHER), clients.is_gone("a!2")) == (0, 1, 0)
    clients.attach_queue(f"a.{ID}!", lambda *both: seen.append(both))
    assert clients.send_now(OTHER, {"n": 2})
    assert not clients.send_now("b!1", {})
    clients.detach(ONE)
    assert clients.deliver(ONE, {"n": 3}) is None
    assert clients.deliver("b!1", {}) is None
    assert seen == [{"n": 1}, (OTHER, {"n": 2}), (ONE, {"n": 3})]
    with pytest.raises(AssertionError):
        clients.send_now(ONE, [])  # type: ignore[arg-type]
    assert clients.counters.of(f"a.{ID}!").report()["messages_count"] == 3


def test_channels_of_others() -> None:
    """L13: a channel of another process cannot be read here."""
    clients = Clients(ID)
    for name in ("a", "a!1", f"a.{'1' * 16}!1"):
        with pytest.raises(TypeError, match="not of this process"):
            clients.attach(name, fail)
        with pytest.raises(TypeError, match="not of this process"):
            clients.attach_queue(name, fail)  # type: ignore[arg-type]


def test_clients_that_are_full_or_broken(caplog: pytest.LogCaptureFixture) -> None:
    """L8: what a client does not take is told the sender; or logged, if it comes from elsewhere."""
    clients = Clients(ID)
    clients.attach(ONE, refuse)
    clients.attach(OTHER, fail)
    with pytest.raises(ChannelFull):
        clients.send_now(ONE, {})
    with pytest.raises(ValueError, match="broken"):
        clients.send_now(OTHER, {})
    for name in (ONE, OTHER):
        clients.deliver(name, {})
    clients.deliver(ONE, {})
    assert caplog.text.count("was dropped: no room") == 1  # others are counted for the next line
    assert "broken" in caplog.text
    assert clients.counters.of(f"a.{ID}!").report()["channel_full_count"] == 3


def test_the_order() -> None:
    """L8: what is sent after a message to a group comes after it, with its own errors."""

    async def main() -> None:
        clients, seen = Clients(ID), list[Any]()
        clients.attach(ONE, seen.append)
        first, second = clients.take_turn(), clients.take_turn()
        assert not clients.send_now(ONE, {"n": 3})
        message = {"n": [3]}
        sends = [asyncio.create_task(clients.send_in_turn(ONE, message, 1000))]
        await asyncio.sleep(0)
        message["n"].append(4)
        clients.attach(OTHER, refuse)
        for _ in range(2):
            sends.append(asyncio.create_task(clients.send_in_turn(OTHER, {}, 1000)))
        await asyncio.sleep(0)
        sends.pop().cancel()
        clients.end_turn(second, [ONE], {"n": 2})
        assert seen == []
        await asyncio.sleep(0)
        clients.end_turn(first, [ONE, OTHER], {"n": 1})
        assert seen == [{"n": 1}, {"n": 2}, {"n": [3]}]
        await sends[0]
        with pytest.raises(ChannelFull):
            await sends[1]
        clients.attach(OTHER, fail)
        with pytest.raises(ValueError, match="broken"):
            await clients.send_in_turn(OTHER, {}, 1000)
        assert clients.send_now(ONE, {"n": 5})

    asyncio.run(main())
