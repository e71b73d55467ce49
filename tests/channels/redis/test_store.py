"""A channel layer over Redis, as coroutines."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.channels.base import Capacities
from bridge.channels.redis import store as stores
from bridge.channels.redis.store import Store
from bridge.errors import ChannelFull, LayerUnavailable, MessageTooLarge
from tests.support.hosts import Host, free_port, start
from tests.support.redis import needs_redis, redis, redis_url

pytestmark = needs_redis


@asynccontextmanager
async def opened(
    host: Host, prefix: str, number: int = 2, **settings: Any
) -> AsyncIterator[list[Store]]:
    made = [Store(redis_url(host), prefix=prefix, **settings) for _ in range(number)]
    for each in made:
        await each.open()
    try:
        yield made
    finally:
        for each in made:
            await each.close()


class Inbox(asyncio.Queue[Any]):
    """A client of a process."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.channel = store.new_reply_channel()
        store.attach(self.channel, self.put_nowait)


# ------------------------------------------------------------- messages


def test_messages(redis_server: Host) -> None:
    """L8: they go from process to process, in order, each once."""

    async def main() -> None:
        async with opened(redis_server, "messages") as (one, other):
            message = {"n": [1]}
            sent = asyncio.create_task(one.send("a", message))
            await asyncio.sleep(0)
            message["n"].append(2)
            await sent
            await one.send("a?b", {"m": b"x"})
            assert await other.receive(["a", "a?b", "c"]) != (None, None)
            assert await other.receive_waiting(["a", "a?b", "c"]) != (None, None)
            assert await other.receive(["a", "a?b"]) == (None, None)
            assert await other.receive([]) == await other.receive_waiting([]) == (None, None)
            await one.send("a", message)
            taken = await other.take(["a"])
            for each in (taken, None):
                other.give_back(each)
            assert await other.receive(["a"]) == ("a", {"n": [1, 2]})

    asyncio.run(main())


def test_names_and_messages_that_are_wrong(redis_server: Host) -> None:
    """L13: they are refused before anything is sent."""

    async def main() -> None:
        async with opened(redis_server, "wrong", max_message_size=100) as (store, _):
            for call in (
                store.send("a b", {}),
                store.send("a!", {}),
                store.send("a", {"x": object()}),
                store.receive("a"),
                store.receive_waiting(["a!b"]),
                store.group_add("a!b", "a"),
                store.group_add("a", "a b"),
                store.group_discard("a", "a b"),
                store.group_channels("?"),
                store.send_group("?", {}),
            ):
                with pytest.raises(TypeError):
                    await call
            for send in (store.send, store.send_group):
                with pytest.raises(MessageTooLarge):
                    await send("a", {"x": b"x" * 101})
            assert (await store.statistics(None))["messages_pending"] == 0

    asyncio.run(main())


def test_capacity(redis_server: Host) -> None:
    """L8: a channel that is full says so, and that is counted; own queues have more room."""

    async def main() -> None:
        capacities = Capacities(2, {"wide.*": 3})
        async with opened(redis_server, "capacity", capacities=capacities) as (one, other):
            for name, room in (("a", 2), ("wide.a", 3), ("p!1", 2), (one.new_reply_channel(), 200)):
                for _ in range(room):
                    await other.send(name, {})
                with pytest.raises(ChannelFull, match=f"full: {room} messages wait"):
                    await other.send(name, {})
            figures = await other.statistics("a")
            assert (figures["messages_count"], figures["channel_full_count"]) == (2, 1)
            assert (figures["messages_pending"], figures["messages_max_age"] >= 0) == (2, True)
            figures = await other.statistics(None)
            assert (figures["messages_pending"], figures["channel_full_count"]) == (207, 4)
            await one.flush()
            assert (await other.statistics(None))["messages_pending"] == 0

    asyncio.run(main())


def test_expiry(redis_server: Host) -> None:
    """L8: what nobody has read in time is gone, with its key."""

    async def main() -> None:
        async with opened(redis_server, "expiry", expiry=0.1) as (one, other):
            await one.send("a", {})
            while await other.link.call("EXISTS", "expiry:ch:a"):
                await asyncio.sleep(0.02)
            assert await other.receive(["a"]) == (None, None)

    asyncio.run(main())


def test_flushing_touches_nothing_of_others(redis_server: Host) -> None:
    """L8: only what has this prefix is forgotten, whatever characters are in it."""

    async def main() -> None:
        async with (
            opened(redis_server, "a*[b]?") as (one, _),
            opened(redis_server, "abb") as others,
        ):
            many = "for i = 1, 5000 do redis.call('SET', 'key' .. i, '') end"
            await one.link.call("EVAL", many, 0)
            for store in (one, others[0]):
                await store.send("x", {})
                await store.group_add("g", "x")
            await one.flush()
            assert await one.receive(["x"]) == (None, None)
            assert await one.group_channels("g") == []
            assert await others[0].receive(["x"]) == ("x", {})
            assert await others[0].group_channels("g") == ["x"]

    asyncio.run(main())


# ------------------------------------------------------------- groups


def test_groups(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L8: they are the same in all processes; what is full is counted and told, never raised."""

    async def main() -> None:
        capacities = Capacities(2, {"narrow": 1})
        async with opened(redis_server, "groups", capacities=capacities) as (one, other):
            for name in ("a", "narrow", "p!1", "p!2"):
                await one.group_add("g", name)
            await one.group_add("g", "gone")
            await other.group_discard("g", "gone")
            assert set(await other.group_channels("g")) == {"a", "narrow", "p!1", "p!2"}
            for n in range(3):
                await other.send_group("g", {"n": n})
            figures = await other.statistics("p!")
            assert (figures["messages_count"], figures["channel_full_count"]) == (4, 2)
            assert (await other.statistics("narrow"))["channel_full_count"] == 2
            assert [await one.receive(["narrow"]) for _ in range(2)] == [
                ("narrow", {"n": 0}),
                (None, None),
            ]

    asyncio.run(main())
    assert (
        "a message to the group g did not reach 1 channel whose capacity is used up" in caplog.text
    )


def test_clients_of_another_process(redis_server: Host) -> None:
    """L8: a message to a group reaches the clients of every process, once."""

    async def main() -> None:
        async with opened(redis_server, "clients") as (one, other):
            seen = Inbox(one)
            for _ in range(3):
                channel = one.new_reply_channel()
                one.attach(channel, seen.put_nowait)
                await other.group_add("g", channel)
            await other.send_group("g", {"n": 1})
            assert [await seen.get() for _ in range(3)] == [{"n": 1}] * 3
            await one.send_group("g", {"n": 2})
            assert [seen.get_nowait() for _ in range(3)] == [{"n": 2}] * 3
            assert seen.empty()

    asyncio.run(main())


# ------------------------------------------------------------- channels of this process


def test_own_queues(redis_server: Host) -> None:
    """L8: a store knows its queues; a reader has one channel, or all of a queue."""

    async def main() -> None:
        async with opened(redis_server, "own") as (one, other):
            seen: asyncio.Queue[Any] = asyncio.Queue()
            queue = one.own_queue("specific")
            assert queue == f"specific.{one.id}!"
            one.attach_queue(queue, lambda *both: seen.put_nowait(both))
            inbox = Inbox(one)
            for store in (one, other):
                for name in (queue + "a", inbox.channel, queue + "b"):
                    await store.send(name, {"by": store.id})
                assert [await seen.get(), await seen.get()] == [
                    (queue + "a", {"by": store.id}),
                    (queue + "b", {"by": store.id}),
                ]
                assert await inbox.get() == {"by": store.id}
            with pytest.raises(TypeError, match="not of this process"):
                other.attach_queue(queue, print)

    asyncio.run(main())


def test_clients_that_have_gone(redis_server: Host) -> None:
    """L8: what is sent to them is dropped without an error, and they leave their groups."""

    async def main() -> None:
        async with opened(redis_server, "left") as (one, other):
            inbox, witness = Inbox(one), Inbox(one)
            await one.group_add("g", inbox.channel)
            await one.group_add("g", witness.channel)
            one.detach(inbox.channel)
            for store in (one, other):
                await store.send(inbox.channel, {"n": 1})
                await store.send_group("g", {"n": 2})
                assert await witness.get() == {"n": 2}
            assert await one.group_channels("g") == [witness.channel]
            await one.group_add("g", inbox.channel)
            assert await one.group_channels("g") == [witness.channel]
            assert inbox.empty()

    asyncio.run(main())


def test_the_order_of_messages_to_a_group_and_to_its_members(redis_server: Host) -> None:
    """L8: what one sends, to a group or to a channel, arrives in its order, if it waits or not."""

    async def main() -> None:
        async with opened(redis_server, "order") as (one, other):
            inbox = Inbox(one)
            await one.group_add("g", inbox.channel)
            for store in (one, other):
                sends = []
                for n in range(60):
                    send = store.send_group if n % 3 == 0 else store.send
                    name = "g" if n % 3 == 0 else inbox.channel
                    sends.append(asyncio.create_task(send(name, {"n": n})))
                    if n % 7 == 0:
                        await asyncio.sleep(0)
                await asyncio.gather(*sends)
                assert [(await inbox.get())["n"] for _ in range(60)] == list(range(60))

    asyncio.run(main())


def test_a_group_that_cannot_be_reached(redis_server: Host) -> None:
    """L8: a message to a group that fails does not hold back what comes after it."""

    async def main() -> None:
        async with opened(redis_server, "fails") as (one, _):
            inbox = Inbox(one)
            await one.link.call("SET", "fails:group:g", 1)
            sends = [
                asyncio.create_task(one.send_group("g", {})),
                asyncio.create_task(one.send(inbox.channel, {"n": 1})),
            ]
            with pytest.raises(LayerUnavailable, match="WRONGTYPE"):
                await sends[0]
            await sends[1]
            assert inbox.get_nowait() == {"n": 1}

    asyncio.run(main())


# ------------------------------------------------------------- a Redis that cannot be used


def test_nothing_there() -> None:
    """L13: opening says so."""

    async def main() -> None:
        store = Store(f"redis://127.0.0.1:{free_port()}")
        with pytest.raises(LayerUnavailable, match="is it running there"):
            await store.open()
        await store.close()

    asyncio.run(main())


def test_redis_refuses() -> None:
    """L13: without memory, or as a replica, it takes nothing; the error says what to do."""

    async def main() -> None:
        async with opened(host, "refuse") as (store, _):
            await store.link.call("CONFIG", "SET", "maxmemory", 1)
            for call in (store.send("a", {}), store.group_add("g", "a")):
                with pytest.raises(LayerUnavailable, match="give it more"):
                    await call
            await store.link.call("CONFIG", "SET", "maxmemory", 0)
            await store.send("a", {})
            await store.link.call("REPLICAOF", "127.0.0.1", free_port())
            with pytest.raises(LayerUnavailable, match="address of its primary"):
                await store.send("a", {})

    with start(redis()) as host:
        asyncio.run(main())


def test_closing_leaves_nothing_of_this_process(redis_server: Host) -> None:
    """L8: what waits for its clients is dropped with them; one without any leaves nothing."""

    async def main() -> None:
        async with opened(redis_server, "closed") as (one, other):
            inbox = Inbox(one)
            queue = one.reply_queue
            await one.close()
            await other.send(inbox.channel, {})
            again = Store(redis_url(redis_server), prefix="closed", id=one.id)
            await again.open()
            assert again.reply_queue == queue
            await again.close()

    asyncio.run(main())


def test_closing_while_redis_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: it ends after a time."""
    monkeypatch.setattr(stores, "_LAST_ANSWER", 0.05)

    async def main() -> None:
        store = Store(redis_url(host))
        await store.open()
        host.process.send_signal(signal.SIGSTOP)
        await store.close()
        never_opened = Store(redis_url(host))
        await never_opened.close()

    with start(redis()) as host:
        asyncio.run(main())
        host.process.send_signal(signal.SIGCONT)
