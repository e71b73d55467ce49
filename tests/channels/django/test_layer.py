"""The layer for Django Channels 4, over a real Redis."""

from __future__ import annotations

import asyncio
import functools
import gc
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis as redis_library
from asgiref.sync import async_to_sync
from channels import exceptions
from channels.layers import BaseChannelLayer

from bridge import errors
from bridge.channels.django import RedisChannelLayer
from bridge.channels.redis.layer import RedisLayer
from bridge.loops.thread import lease, release
from tests.support.hosts import ROOT, Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again
from tests.support.waiting import eventually

pytestmark = needs_redis

#: Longer than anything here takes.
LONG = 20


@asynccontextmanager
async def layer_at(server: Host, **config: Any) -> AsyncIterator[RedisChannelLayer]:
    """A layer with an empty Redis, closed at the end."""
    layer = RedisChannelLayer(redis_url(server), **config)
    await layer.flush()
    try:
        yield layer
    finally:
        await layer.close_pools()


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test on a loop of its own."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


@pytest.fixture
def client(redis_server: Host) -> Iterator[redis_library.Redis]:
    """A client that looks into Redis itself."""
    with redis_library.Redis.from_url(redis_url(redis_server)) as found:
        yield found


def connections(client: redis_library.Redis) -> int:
    """How many connections programs of ours have to it."""
    return sum(each["name"].startswith("bridge.") for each in client.client_list())


def waits(client: redis_library.Redis) -> bool:
    """Whether one of them waits for a message."""
    return any(
        each["cmd"] == "blmpop" and "b" in each["flags"]
        for each in client.client_list()
        if each["name"].startswith("bridge.")
    )


async def nothing(layer: RedisChannelLayer, channel: str) -> bool:
    """Whether no message is there: one that is sent now comes first."""
    await layer.send(channel, {"type": "end"})
    return await layer.receive(channel) == {"type": "end"}


async def as_soon_as_possible(operation: Callable[[], Awaitable[None]]) -> None:
    """Try until Redis is there, and has room."""
    while True:
        try:
            return await operation()
        except (errors.LayerUnavailable, errors.ChannelFull):
            await asyncio.sleep(0.02)  # the pace of asking, nothing depends on it


# ------------------------------------------------------------- messages


def test_the_interface(redis_server: Host) -> None:
    """L14: code that looks at a layer finds what Channels' own layers have."""
    patterns = {"http.*": 7, re.compile(r"specific\..*!a"): 8}
    layer = RedisChannelLayer(redis_url(redis_server), channel_capacity=patterns, expiry=5)
    assert isinstance(layer, BaseChannelLayer)
    assert layer.extensions == ["groups", "flush"]
    assert (layer.expiry, layer.group_expiry, layer.capacity, layer.prefix) == (
        *(5, 86400, 100),
        "bridge",
    )
    names = ("http.request", "specific.x!a", "specific.x!b")
    assert [layer.get_capacity(name) for name in names] == [7, 8, 100]
    assert layer.require_valid_channel_name("a!b")


def test_channels_of_both_kinds(redis_server: Host) -> None:
    """L14: messages of a normal channel, and of one of this process, come in order."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            name = await layer.new_channel()
            assert name.startswith("specific.")
            assert (await layer.new_channel("chat")).startswith(f"chat.{layer.client_prefix}!")
            message = {"type": "a.b", "n": 1, "bytes": b"\0\xff", "list": [{"x": None}, 1.5, True]}
            for channel in ("work", name):
                await layer.send(channel, message)
                await layer.send(channel, {"type": "second"})
                assert await layer.receive(channel) == message
                assert await layer.receive(channel) == {"type": "second"}

    run(main)


def test_many_consumers_wait_at_once(redis_server: Host, client: redis_library.Redis) -> None:
    """L14: 300 consumers wait over one connection, and each gets its own messages, in order."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            names = [await layer.new_channel() for _ in range(300)]
            before = connections(client)

            async def consume(name: str) -> list[Any]:
                return [await layer.receive(name) for _ in range(3)]

            tasks = [asyncio.create_task(consume(name)) for name in names]
            for turn in range(3):
                await asyncio.gather(
                    *(layer.send(name, {"to": name, "turn": turn}) for name in names)
                )
            for name, found in zip(names, await asyncio.gather(*tasks), strict=True):
                assert found == [{"to": name, "turn": turn} for turn in range(3)]
            assert connections(client) == before == 2

    run(main)


@pytest.mark.parametrize("kind", ["own", "shared"])
@pytest.mark.parametrize("sent", ["here", "elsewhere"])
def test_cancelled_receives_lose_nothing(redis_server: Host, kind: str, sent: str) -> None:
    """L14: a consumer cancels its receive all the time, and gets every message, once."""

    async def main() -> None:
        settings = {"capacity": 1000}
        async with layer_at(redis_server, **settings) as layer, layer_at(redis_server) as other:
            name = await layer.new_channel() if kind == "own" else "work"
            sending = layer if sent == "here" else other
            found: list[int] = []

            async def send() -> None:
                for number in range(200):
                    await as_soon_as_possible(functools.partial(sending.send, name, {"n": number}))

            sender = asyncio.create_task(send())
            turn = 0
            while len(found) < 200:
                receiving = asyncio.create_task(layer.receive(name))
                turn += 1
                for _ in range(turn % 7):
                    await asyncio.sleep(0)
                if turn % 3 == 0:
                    await asyncio.wait([receiving], timeout=0.002)
                receiving.cancel()
                await asyncio.wait([receiving])
                if not receiving.cancelled():
                    found.append(receiving.result()["n"])
            await sender
            assert sorted(found) == [*range(200)]
            if kind == "own":
                assert found == sorted(found)
            assert await nothing(layer, name)

    run(main)


def test_a_reader_is_cancelled_when_its_message_is_there(
    redis_server: Host, client: redis_library.Redis
) -> None:
    """L14: the message was handed over, and its reader never woke: it stays in its channel."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            receiving = asyncio.create_task(layer.receive("work"))
            while not waits(client):
                await asyncio.sleep(0.01)
            sending = threading.Thread(target=async_to_sync(layer.send), args=("work", {"n": 1}))
            sending.start()
            sending.join()  # this loop stands still: the reader cannot wake
            eventually(lambda: not waits(client))
            eventually(lambda: not receiving._fut_waiter.done())  # type: ignore[attr-defined]
            receiving.cancel()
            await asyncio.wait([receiving])
            assert receiving.cancelled()
            assert await layer.receive("work") == {"n": 1}

    run(main)


def test_capacity(redis_server: Host) -> None:
    """L14: a full channel is told to the sender, as Channels' own error and as ours."""

    async def main() -> None:
        async with layer_at(redis_server, capacity=2, channel_capacity={"on*": 1}) as layer:
            for _ in range(2):
                await layer.send("two", {})
            await layer.send("one", {})
            for name in ("one", "two"):
                for kind in (exceptions.ChannelFull, errors.ChannelFull):
                    with pytest.raises(kind, match=f"'{name}' is full"):
                        await layer.send(name, {})
            await layer.receive("two")
            await layer.send("two", {})

    run(main)


def test_a_consumer_that_does_not_read(
    redis_server: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """L14: its channel is full, for senders here and elsewhere; others go on; drops are told."""

    async def main() -> None:
        async with layer_at(redis_server, capacity=3) as layer, layer_at(redis_server) as other:
            slow, quick = await layer.new_channel(), await layer.new_channel()
            for name in (slow, quick):
                await layer.group_add("all", name)
            await other.send(slow, {"n": 0})
            assert await layer.receive(slow) == {"n": 0}
            for number in range(1, 6):
                await other.group_send("all", {"n": number})
                assert await layer.receive(quick) == {"n": number}
            with pytest.raises(exceptions.ChannelFull, match="3 messages, the most"):
                await layer.send(slow, {})
            await layer.group_send("all", {"n": 6})
            assert await layer.receive(quick) == {"n": 6}
            assert [await layer.receive(slow) for _ in range(3)] == [{"n": n} for n in (1, 2, 3)]
            await layer.send(slow, {"n": 7})
            assert await layer.receive(slow) == {"n": 7}

    run(main)
    assert "is full: 3 messages" in caplog.text


def test_message_sizes(redis_server: Host) -> None:
    """L14: a message of a megabyte passes; one above the limit is told to its sender."""

    async def main() -> None:
        async with layer_at(redis_server, max_message_size=1_100_000) as layer:
            name = await layer.new_channel()
            await layer.group_add("all", name)
            await layer.send(name, {"text": "x" * 1_000_000})
            assert len((await layer.receive(name))["text"]) == 1_000_000
            for kind in (exceptions.MessageTooLarge, errors.MessageTooLarge):
                with pytest.raises(kind):
                    await layer.send(name, {"text": "x" * 1_200_000})
                with pytest.raises(kind):
                    await layer.group_send("all", {"text": "x" * 1_200_000})
            assert await nothing(layer, name)

    run(main)


def test_bad_names_and_messages(redis_server: Host) -> None:
    """L14: names and values that are wrong are told at once, also by `receive`."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            name = await layer.new_channel()
            for bad in ("=+135!", "a b", "", "a!b!c", "ü", "x" * 100, 7, None):
                with pytest.raises(TypeError):
                    await layer.send(bad, {})  # type: ignore[arg-type]
                with pytest.raises(TypeError):
                    await layer.receive(bad)  # type: ignore[arg-type]
                with pytest.raises(TypeError):
                    await layer.group_add(bad, name)  # type: ignore[arg-type]
                with pytest.raises(TypeError):
                    await layer.group_add("g", bad)  # type: ignore[arg-type]
                with pytest.raises(TypeError):
                    await layer.group_discard("g", bad)  # type: ignore[arg-type]
                with pytest.raises(TypeError):
                    await layer.group_send(bad, {})  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="has no name after its !"):
                await layer.receive(name[: name.index("!") + 1])
            for foreign in ("specific.other!1", "not-client-prefix!local_part"):
                with pytest.raises(AssertionError, match="is not of this process"):
                    await layer.receive(foreign)
            with pytest.raises(TypeError):
                await layer.new_channel("ü")
            with pytest.raises(AssertionError):
                await layer.send("work", [])  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="object at"):
                await layer.send("work", {"value": object()})
            with pytest.raises(TypeError, match="object at"):
                await layer.group_send("g", {"value": object()})

    run(main)


def test_expiry(redis_server: Host) -> None:
    """L14: a message that nobody has read in time is dropped, in Redis and in the process."""

    async def main() -> None:
        async with layer_at(redis_server, expiry=0.05) as layer:
            name = await layer.new_channel()
            await layer.send("work", {"n": 1})
            await layer.send(name, {"n": 1})
            await asyncio.sleep(0.1)
            for channel in ("work", name):
                receiving = asyncio.create_task(layer.receive(channel))
                await asyncio.sleep(0)
                while not receiving.done():
                    await layer.send(channel, {"n": 2})
                    await asyncio.wait([receiving], timeout=0.02)
                assert receiving.result() == {"n": 2}

    run(main)


# ------------------------------------------------------------- groups


def test_a_group_of_a_thousand(redis_server: Host, client: redis_library.Redis) -> None:
    """L14: a message to 1,000 consumers stands once in Redis, and each gets a copy of its own."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            names = [await layer.new_channel() for _ in range(1000)]
            await asyncio.gather(*(layer.group_add("all", name) for name in names))
            tasks = [asyncio.create_task(layer.receive(name)) for name in names]
            await layer.group_discard("all", names[0])
            await layer.group_discard("all", "never.there")
            await layer.group_send("all", {"type": "news", "list": []})
            found = await asyncio.gather(*tasks[1:])
            assert found == [{"type": "news", "list": []}] * 999
            assert len({id(each["list"]) for each in found}) == 999
            assert not tasks[0].done()
            await layer.send(names[0], {"n": 1})
            assert await tasks[0] == {"n": 1}
            await layer.group_send("all", {"n": 2})
            assert await layer.receive(names[1]) == {"n": 2}
            await layer.group_send("empty", {"n": 3})

    run(main)


def test_a_group_with_full_channels(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L14: `group_send` passes full channels over, tells it, and reaches all others."""

    async def main() -> None:
        async with layer_at(redis_server, capacity=1) as layer:
            for name in ("full", "free"):
                await layer.group_add("all", name)
            await layer.send("full", {"n": 0})
            await layer.group_send("all", {"n": 1})
            assert await layer.receive("free") == {"n": 1}
            assert await layer.receive("full") == {"n": 0}
            assert await nothing(layer, "full")

    run(main)
    assert "full" in caplog.text


def test_memberships_end(redis_server: Host) -> None:
    """L14: a membership lasts for `group_expiry` seconds, and no longer."""

    async def main() -> None:
        async with layer_at(redis_server, group_expiry=0.05) as layer:
            await layer.group_add("all", "work")
            await asyncio.sleep(0.1)
            await layer.group_send("all", {"n": 1})
            assert await nothing(layer, "work")

    run(main)


def test_other_programs_reach_consumers(redis_server: Host) -> None:
    """L14: what any program publishes by `RedisLayer` comes to Channels' consumers."""

    async def main() -> None:
        async with layer_at(redis_server, prefix="same") as layer:
            name = await layer.new_channel()
            await layer.group_add("news", name)
            published = RedisLayer(redis_url(redis_server), prefix="same")
            await asyncio.to_thread(published.send_group, "news", {"type": "news.flash"})
            assert await layer.receive(name) == {"type": "news.flash"}
            await asyncio.to_thread(published.close)

    run(main)


# ------------------------------------------------------------- loops, threads, processes


def test_new_loops_and_threads(redis_server: Host, client: redis_library.Redis) -> None:
    """L14: `async_to_sync` makes a loop for each call; all share two connections."""
    layer = RedisChannelLayer(redis_url(redis_server))
    async_to_sync(layer.flush)()
    names = [async_to_sync(layer.new_channel)() for _ in range(3)]
    for number, name in enumerate(names):
        async_to_sync(layer.send)(name, {"n": number})
    found: list[Any] = []

    def read(name: str) -> None:
        found.append(async_to_sync(layer.receive)(name))

    threads = [threading.Thread(target=read, args=(name,)) for name in reversed(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted(each["n"] for each in found) == [0, 1, 2]
    assert connections(client) == 2
    async_to_sync(layer.close)()
    eventually(lambda: connections(client) == 0)


def test_readers_in_many_threads(redis_server: Host) -> None:
    """L14: readers of one channel, each on a loop of its own, get each message once."""
    layer = RedisChannelLayer(redis_url(redis_server), capacity=1000)
    async_to_sync(layer.flush)()
    found: list[int] = []

    def read() -> None:
        while (message := async_to_sync(layer.receive)("work"))["n"] >= 0:
            found.append(message["n"])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in [*range(100), *(-1 for _ in threads)]:
        async_to_sync(layer.send)("work", {"n": number})
    for thread in threads:
        thread.join(LONG)
    assert sorted(found) == [*range(100)]
    async_to_sync(layer.close_pools)()


def test_on_the_loop_thread_itself(redis_server: Host) -> None:
    """L14: an app that `AsgiToWsgi` runs shares its loop with the layer."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            name = await layer.new_channel()
            for channel in ("work", name):
                receiving = asyncio.create_task(layer.receive(channel))
                await asyncio.sleep(0)
                await layer.send(channel, {"n": 1})
                assert await receiving == {"n": 1}

    thread = lease()
    try:
        asyncio.run_coroutine_threadsafe(main(), thread.loop).result(LONG)
    finally:
        release(thread)


def test_a_layer_that_nobody_has_any_more_is_closed(
    redis_server: Host, client: redis_library.Redis
) -> None:
    """L14: Django drops its layers when settings change; their connections end with them."""
    layer = RedisChannelLayer(redis_url(redis_server))
    async_to_sync(layer.send)("work", {})
    unused = RedisChannelLayer(redis_url(redis_server))
    idle = RedisChannelLayer(redis_url(redis_server))
    assert async_to_sync(idle.new_channel)()
    assert connections(client) == 2
    del layer, unused, idle
    gc.collect()
    eventually(lambda: connections(client) == 0)


def test_close_pools(redis_server: Host, client: redis_library.Redis) -> None:
    """L14: connections are given back, and opened again by what comes next, or who waits."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            name = await layer.new_channel()
            waiting = asyncio.create_task(layer.receive(name))
            shared = asyncio.create_task(layer.receive("work"))
            while not waits(client):
                await asyncio.sleep(0.01)
            await layer.close_pools()
            for channel, task in ((name, waiting), ("work", shared)):
                await layer.send(channel, {"n": 1})
                assert await task == {"n": 1}
            await layer.wait_received()
            await layer.close_pools()
            await layer.close_pools()
            assert connections(client) == 0

    run(main)


def test_flush(redis_server: Host) -> None:
    """L14: all messages and groups are forgotten, in Redis and in the process."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            name = await layer.new_channel()
            await layer.send(name, {"n": 0})
            await layer.receive(name)
            await layer.group_add("all", name)
            for channel in (name, "work"):
                await layer.send(channel, {"n": 1})
            await layer.send(name, {"n": 2})
            await layer.flush()
            await layer.group_send("all", {"n": 3})
            assert await nothing(layer, "work")
            assert await nothing(layer, name)

    run(main)


FORK = """
import asyncio, logging, os, sys, warnings
from bridge.channels.django import RedisChannelLayer
warnings.simplefilter("ignore")
logging.getLogger("asyncio").setLevel("ERROR")  # in -X dev it warns of a slow machine
layer = RedisChannelLayer(sys.argv[1], prefix="fork")

async def parent():
    await layer.flush()
    name = await layer.new_channel()
    await layer.group_add("all", name)
    return name

async def child():
    try:
        await layer.receive(name)
    except AssertionError:
        own = await layer.new_channel()
        await layer.group_add("all", own)
        await layer.group_send("all", {"n": 1})
        assert await layer.receive(own) == {"n": 1}
        os._exit(7)

name = asyncio.run(parent())
pid = os.fork()
if not pid:
    asyncio.run(child())
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert asyncio.run(layer.receive(name)) == {"n": 1}
print("ok")
"""


def test_after_a_fork(redis_server: Host) -> None:
    """L14: a child has connections and names of its own; and the process ends by itself."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", FORK, redis_url(redis_server)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("ok\n", "", 0)


# ------------------------------------------------------------- Redis that is not there


async def send_until_it_fails(layer: RedisChannelLayer) -> None:
    """Send until Redis has gone."""
    while True:
        await layer.send("other", {})


def test_redis_that_does_not_answer() -> None:
    """L14 L13: an error tells the address; the next call finds the Redis that was started since."""
    with start(redis()) as server:
        pass

    async def main() -> None:
        layer = RedisChannelLayer(redis_url(server).replace("//", "//:secret@"))
        assert str(layer) == f"RedisChannelLayer(127.0.0.1:{server.port}, database 0)"
        name = await layer.new_channel()
        for attempt in (
            lambda: layer.send("work", {}),
            lambda: layer.receive("work"),
            lambda: layer.receive(name),
            lambda: layer.group_send("all", {}),
        ):
            with pytest.raises(errors.LayerUnavailable, match=f"127.0.0.1:{server.port}"):
                await attempt()
        await layer.close()

        layer = RedisChannelLayer(redis_url(server))
        name = await layer.new_channel()
        with pytest.raises(errors.LayerUnavailable):
            await layer.receive(name)
        with started_again(server):
            await as_soon_as_possible(lambda: layer.group_add("all", name))
            await layer.group_send("all", {"n": 1})
            assert await layer.receive(name) == {"n": 1}
            await layer.close_pools()

    run(main)


def test_redis_that_is_restarted() -> None:
    """L14 L8: consumers that wait survive it, and get what is sent when it is back."""

    async def main() -> None:
        with start(redis()) as server:
            layer = RedisChannelLayer(redis_url(server))
            name = await layer.new_channel()
            await layer.send("work", {"n": 1})
            assert await layer.receive("work") == {"n": 1}
            tasks = [asyncio.create_task(layer.receive(each)) for each in (name, "work")]
            await asyncio.sleep(0)
            server.kill()
        with pytest.raises(errors.LayerUnavailable):
            await send_until_it_fails(layer)
        assert not any(task.done() for task in tasks)
        with started_again(server):
            for channel, task in zip((name, "work"), tasks, strict=True):
                await as_soon_as_possible(functools.partial(layer.send, channel, {"n": 2}))
                assert await task == {"n": 2}
            await layer.close_pools()

    run(main)


def test_redis_that_refuses(redis_server: Host, client: redis_library.Redis) -> None:
    """L14 L13: a key of another program where a channel should be is told to its reader."""

    async def main() -> None:
        async with layer_at(redis_server) as layer:
            client.set("bridge:ch:work", "of another program")
            with pytest.raises(errors.LayerUnavailable, match="refuses"):
                await layer.receive("work")
            client.delete("bridge:ch:work")

    run(main)


def test_wrong_settings() -> None:
    """L14: they are told when the layer is made, not when it is used."""
    for config in ({"expiry": 0}, {"capacity": "many"}, {"group_expiry": -1}, {"colour": "red"}):
        with pytest.raises(errors.ConfigError, match=next(iter(config))):
            RedisChannelLayer(**config)
    with pytest.raises(errors.ConfigError):
        RedisChannelLayer("http://a")
