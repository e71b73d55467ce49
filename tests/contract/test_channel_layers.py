"""What works with one channel layer works with the other: in the process, and over a real Redis."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bridge.channels import ChannelLayer, MemoryLayer, RedisLayer
from bridge.errors import ChannelFull, MessageTooLarge, WaitNotPossible
from bridge.types import Message
from tests.support import conformance
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url
from tests.support.waiting import eventually

MakeLayer = Callable[..., ChannelLayer]


@pytest.fixture(scope="module")
def server() -> Iterator[Host]:
    with start(redis()) as host:
        yield host


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
def make(request: pytest.FixtureRequest) -> Iterator[MakeLayer]:
    """``make(**settings)``: an empty layer of one kind."""
    with ExitStack() as opened:

        def make(**settings: Any) -> ChannelLayer:
            if request.param == "memory":
                return MemoryLayer(**settings)
            url = redis_url(request.getfixturevalue("server"))
            layer = RedisLayer(url, prefix="contract", **settings)
            opened.callback(layer.close)
            layer.flush()
            return layer

        yield make


def drain(layer: ChannelLayer, *channels: str) -> list[Any]:
    """Everything that waits in these channels."""
    found = []
    while (received := layer.receive(channels))[0] is not None:
        found.append(received)
    return found


def test_conformance_in_memory() -> None:
    """L6: asgiref 1.1.2's own suite passes, with none of its tests left out."""
    outcome = conformance.run("bridge.channels:MemoryLayer")
    assert outcome == (conformance.TESTS, [], [])


@needs_redis
def test_conformance_over_redis(server: Host) -> None:
    """L8: it passes over Redis too, with none of its tests left out."""
    outcome = conformance.run("bridge.channels:RedisLayer", redis_url(server), prefix="suite")
    assert outcome == (conformance.TESTS, [], [])


# ------------------------------------------------------------- messages


class Number(enum.IntEnum):
    TWO = 2


class Text(str):
    def __str__(self) -> str:
        return "something else"


def test_a_message_arrives_as_plain_data(make: MakeLayer) -> None:
    """L6, L8: with the values of ASGI 1, tuples as lists, and subclasses as what they are of."""
    layer = make()
    sent = {
        "none": None,
        "numbers": [True, 0, -(2**63), 2**64 - 1, 0.5],
        "text": "\u00a3\U0001f612\x00\udcff",
        "bytes": b"\xc2\xa3\x00",
        "nested": {"": [{"deep": ()}]},
        Text("like"): (Number.TWO, Text("text"), bytearray(b"a"), memoryview(b"b")),
    }
    layer.send("a", sent)
    expected = dict(sent, nested={"": [{"deep": []}]}, like=[2, "text", b"a", b"b"])
    channel, message = layer.receive(["a"])
    assert (channel, message) == ("a", expected)
    assert message is not None
    assert [type(each) for each in message["like"]] == [int, str, bytes, bytes]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({1: 2}, TypeError),
        ({"a": {b"b": 1}}, TypeError),
        ({"a": {1, 2}}, TypeError),
        ({"a": object()}, TypeError),
        ({"a": 2**64}, TypeError),
        ({"content": b"x" * 2000}, MessageTooLarge),
        ([], AssertionError),
        (None, AssertionError),
    ],
)
def test_what_cannot_be_sent(make: MakeLayer, message: Any, error: type[Exception]) -> None:
    """L6, L8, L13: it is the same error, and nothing arrives."""
    layer = make(max_message_size=1000)
    layer.group_add("g", "a")
    with pytest.raises(error):
        layer.send("a", message)
    with pytest.raises(error):
        layer.send_group("g", message)
    assert drain(layer, "a") == []


def test_a_message_that_is_in_itself(make: MakeLayer) -> None:
    """L6, L8, L13: it is refused, as one that is nested too deeply."""
    message: dict[str, Any] = {}
    message["self"] = [message]
    with pytest.raises(TypeError, match="nested deeper"):
        make().send("a", message)


@pytest.mark.parametrize("name", ["a b", "a!", "a?", "a!b!c", "x" * 100, None, 7])
def test_names(make: MakeLayer, name: Any) -> None:
    """L6, L8, L13: a wrong name is a TypeError, wherever it is given."""
    layer = make()
    for call in (
        lambda: layer.send(name, {}),
        lambda: layer.group_add("g", name),
        lambda: layer.group_discard("g", name),
        lambda: layer.group_add(name, "a"),
        lambda: layer.group_channels(name),
        lambda: layer.send_group(name, {}),
        lambda: layer.new_channel(name),
    ):
        if name == "a?" and call.__code__.co_names == ("new_channel",):
            continue
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match="cannot be read alone"):
        layer.receive(["a!b"])


def test_full(make: MakeLayer) -> None:
    """L6, L8: a full channel is an error of the sender, and is counted; each read makes room."""
    layer = make(capacity=2, channel_capacity={"more": 3})
    for channel in ("a", "p!1", "more"):
        layer.send(channel, {"n": 1})
        layer.send(channel, {"n": 2})
    layer.send("more", {"n": 3})
    for channel in ("a", "p!2", "more"):
        with pytest.raises(ChannelFull, match="is full"):
            layer.send(channel, {})
        assert layer.channel_statistics(channel)["channel_full_count"] == 1
    assert layer.receive(["a"]) == ("a", {"n": 1})
    layer.send("a", {"n": 3})
    assert drain(layer, "a") == [("a", {"n": 2}), ("a", {"n": 3})]
    assert layer.global_statistics()["channel_full_count"] == 3


def test_statistics(make: MakeLayer) -> None:
    """L6, L8: the figures of the specification, with the same meaning."""
    layer = make()
    layer.send("a", {})
    layer.send("p!x", {})
    layer.receive(["p!"])
    figures = layer.channel_statistics("a")
    assert figures.keys() == layer.global_statistics().keys()
    assert figures.keys() == {
        *("messages_count", "messages_count_per_second", "messages_pending", "messages_max_age"),
        *("channel_full_count", "channel_full_count_per_second"),
    }
    assert (figures["messages_count"], figures["messages_pending"]) == (1, 1)
    assert layer.channel_statistics("p!y")["messages_count"] == 1
    assert layer.channel_statistics("p!y")["messages_pending"] == 0
    assert layer.global_statistics()["messages_pending"] == 1
    assert layer.channel_statistics("none")["messages_max_age"] == 0


# ------------------------------------------------------------- waiting


def test_every_way_to_wait(make: MakeLayer) -> None:
    """L6, L8: in a thread and in a task, for single-reader channels and those of a process."""
    layer = make()
    got: list[Any] = []
    for target in (
        lambda: got.append(layer.receive(["a", "b?x", "p!"], block=True)),
        lambda: got.append(asyncio.run(layer.receive_async(["a", "b?x", "p!"]))),
    ):
        for channel in ("a", "b?x", "p!client"):
            thread = threading.Thread(target=target)
            thread.start()
            layer.send(channel, {"n": 1})
            thread.join(60)
            assert got.pop() == (channel, {"n": 1})


def test_nothing_comes(make: MakeLayer) -> None:
    """L6, L8: after `block_timeout` there is nothing; from no channels at once."""
    layer = make()
    layer.block_timeout = 0.01
    # So often that five seconds each would be more than a test may take.
    for _ in range(30):
        assert layer.receive(["a"], block=True) == (None, None)
        assert asyncio.run(layer.receive_async(["a"])) == (None, None)
    layer.block_timeout = 3600
    assert layer.receive([], block=True) == (None, None)


def test_a_cancelled_task_loses_nothing(make: MakeLayer) -> None:
    """L6, L8: what comes in the moment of its end is there for the next."""
    layer = make(capacity=1000)

    async def main() -> None:
        got = []
        for number in range(50):
            task = asyncio.create_task(layer.receive_async(["a"]))
            await asyncio.sleep(0)
            layer.send("a", {"n": number})
            await asyncio.sleep(0.0005 * (number % 3))
            task.cancel()
            try:
                got.append((await task)[1])
            except asyncio.CancelledError:
                pass
        while len(got) < 50:
            got.append((await asyncio.wait_for(layer.receive_async(["a"]), 30))[1])
        assert sorted(each["n"] for each in got if each) == list(range(50))

    asyncio.run(main())


def test_a_coroutine_cannot_block(make: MakeLayer) -> None:
    """L6, L8: that would stop its loop, and is an error."""
    layer = make()

    async def main() -> None:
        with pytest.raises(WaitNotPossible, match="receive_async"):
            layer.receive(["a"], block=True)

    asyncio.run(main())


def test_bodies(make: MakeLayer) -> None:
    """L4, L6, L8: a source of this process is read by name, and does not go through a broker."""
    layer = make()

    async def main() -> None:
        calls = 0

        async def take() -> Message:
            nonlocal calls
            calls += 1
            return {"content": b"%d" % calls}

        name = layer.new_channel("http.request.body?")
        source = layer.attach_source(name, take)
        assert await layer.receive_async([name]) == (name, {"content": b"1"})
        received = await asyncio.to_thread(layer.receive, [name], True)
        assert received == (name, {"content": b"2"})
        source.close({"closed": True})
        assert await layer.receive_async([name]) == (name, {"closed": True})
        assert calls == 2

    asyncio.run(main())


# ------------------------------------------------------------- groups and clients


def test_groups(make: MakeLayer, caplog: pytest.LogCaptureFixture) -> None:
    """L6, L8: each member gets a message of its own; what full ones miss is counted and logged."""
    layer = make(capacity=1)
    for channel in ("a", "b", "p!1", "q!1", "c"):
        layer.group_add("g", channel)
    layer.group_discard("g", "c")
    assert sorted(layer.group_channels("g")) == ["a", "b", "p!1", "q!1"]
    layer.send("b", {"n": 0})
    with caplog.at_level(logging.WARNING):
        layer.send_group("g", {"n": [1]})
    got = drain(layer, "a", "b", "c", "p!", "q!")
    assert sorted(got, key=str) == [
        ("a", {"n": [1]}),
        ("b", {"n": 0}),
        ("p!1", {"n": [1]}),
        ("q!1", {"n": [1]}),
    ]
    assert layer.channel_statistics("b")["channel_full_count"] == 1
    assert "a message to the group g did not reach 1" in caplog.text
    layer.flush()
    assert list(layer.group_channels("g")) == []


def test_clients(make: MakeLayer) -> None:
    """L6, L8: a client of this process gets its messages until it has gone, then nobody does."""
    layer = make()
    got: list[Message] = []
    channel = layer.new_reply_channel()
    layer.attach(channel, got.append)
    layer.group_add("g", channel)
    layer.send(channel, {"n": 1})
    layer.flush()
    layer.group_add("g", channel)
    layer.send_group("g", {"n": 2})
    eventually(lambda: len(got) == 2)
    layer.detach(channel)
    layer.detach(channel)
    layer.send(channel, {"n": 3})
    layer.send_group("g", {"n": 4})
    assert got == [{"n": 1}, {"n": 2}]


def test_a_client_that_is_full(make: MakeLayer) -> None:
    """L6, L8: what it cannot take is `ChannelFull` for a sender here, and counted."""
    layer = make()

    def deliver(message: Message) -> None:
        raise ChannelFull("the client is slow")

    channel = layer.new_reply_channel()
    layer.attach(channel, deliver)
    with pytest.raises(ChannelFull, match="the client is slow"):
        layer.send(channel, {})
    assert layer.channel_statistics(channel)["channel_full_count"] == 1
