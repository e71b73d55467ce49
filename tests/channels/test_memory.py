"""The channel layer within one process."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bridge import channels
from bridge.channels import MemoryLayer, get_channel_layer, set_channel_layer
from bridge.errors import ChannelFull


def test_receive_waits_for_a_message() -> None:
    """L6: with `block`, and as a coroutine, it returns when a message comes from another thread."""
    layer = MemoryLayer()
    threading.Timer(0.05, layer.send, ("a", {"n": 1})).start()
    assert layer.receive(["b", "a"], block=True) == ("a", {"n": 1})

    async def main() -> None:
        waiting = asyncio.create_task(layer.receive_async(["a"]))
        await asyncio.sleep(0)
        await asyncio.to_thread(layer.send, "a", {"n": 2})
        assert await waiting == ("a", {"n": 2})

    asyncio.run(main())


def test_receive_gives_up() -> None:
    """L6: after its time it returns nothing."""
    layer = MemoryLayer()
    layer.block_timeout = 0.01
    assert layer.receive(["a"], block=True) == (None, None)
    assert asyncio.run(layer.receive_async(["a"])) == (None, None)


def test_clients_of_this_process() -> None:
    """L6: a message to an attached channel is passed on; after its client has gone, dropped."""
    layer, seen = MemoryLayer(), []
    channel = layer.new_reply_channel()
    layer.attach(channel, seen.append)
    layer.send(channel, {"n": 1})
    layer.group_add("g", channel)
    layer.send_group("g", {"n": 2})
    layer.detach(channel)
    layer.send(channel, {"n": 3})
    assert seen == [{"n": 1}, {"n": 2}]


def test_a_client_that_is_full() -> None:
    """L6: what a client cannot take is ChannelFull, and counted."""
    layer = MemoryLayer()

    def refuse(message: object) -> None:
        raise ChannelFull("the client is slow")

    channel = layer.new_reply_channel()
    layer.attach(channel, refuse)
    with pytest.raises(ChannelFull):
        layer.send(channel, {})
    assert layer.global_statistics()["channel_full_count"] == 1


def test_statistics() -> None:
    """L6: messages that were sent, and that wait."""
    layer = MemoryLayer()
    assert layer.channel_statistics("a")["messages_pending"] == 0
    layer.send("a", {})
    layer.send("p!x", {})
    assert layer.channel_statistics("a")["messages_pending"] == 1
    assert layer.channel_statistics("p!y")["messages_count"] == 1
    found = layer.global_statistics()
    assert (found["messages_count"], found["messages_pending"]) == (2, 2)
    assert found["messages_max_age"] >= 0


def test_the_layer_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: every part of a program gets the same layer."""
    monkeypatch.setattr(channels.current, "_current", None)
    assert get_channel_layer() is get_channel_layer()
    other = MemoryLayer()
    set_channel_layer(other)
    assert get_channel_layer() is other
