"""Waiting for messages from Redis."""

from __future__ import annotations

import asyncio
import random
import signal
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.channels.redis import receiver as receivers
from bridge.channels.redis.encoding import START, encode_message, encode_names
from bridge.channels.redis.store import Store
from bridge.errors import LayerUnavailable
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again

pytestmark = needs_redis


@asynccontextmanager
async def opened(host: Host, prefix: str, number: int = 1) -> AsyncIterator[list[Store]]:
    stores = [Store(redis_url(host), prefix=prefix) for _ in range(number)]
    for each in stores:
        await each.open()
    try:
        yield stores
    finally:
        for each in stores:
            await each.close()


def element(channels: list[str], message: dict[str, Any], lives: float = 60) -> bytes:
    """What a process with other settings, or another clock, might have put into Redis."""
    expires = struct.pack(">d", (time.time() + lives) * 1000)
    return expires + START + encode_names(channels) + encode_message(message, 1000)


class Inbox(asyncio.Queue[Any]):
    """A client of a process."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.channel = store.new_reply_channel()
        store.attach(self.channel, self.put_nowait)


# ------------------------------------------------------------- who gets what


def test_many_wait_at_once(redis_server: Host) -> None:
    """L8: one connection waits for all; each message goes to one that waits for its queue."""

    async def main() -> None:
        async with opened(redis_server, "many") as (store,):
            waiting = {
                name: asyncio.create_task(store.receive_waiting([name]))
                for name in [f"c{n}" for n in range(20)]
            }
            await asyncio.sleep(0)
            for n, name in enumerate(waiting):
                await store.send(name, {"n": n})
            for n, (name, task) in enumerate(waiting.items()):
                assert await task == (name, {"n": n})

    asyncio.run(main())


def test_many_wait_for_one_queue(redis_server: Host) -> None:
    """L8: as many messages are fetched at once as there are readers, and they go in order."""

    async def main() -> None:
        async with opened(redis_server, "one", 2) as (store, other):
            for n in range(10):
                await other.send("a", {"n": n})
            readers = [asyncio.create_task(store.receive_waiting(["a", "a"])) for _ in range(5)]
            found = [(await each)[1] for each in readers]
            assert found == [{"n": n} for n in range(5)]
            rest = [await other.receive(["a"]) for _ in range(6)]
            assert rest == [*(("a", {"n": n}) for n in range(5, 10)), (None, None)]

    asyncio.run(main())


def test_none_starves(redis_server: Host) -> None:
    """L8: of several queues that are full, none is left out; nor is one beside clients."""

    async def main() -> None:
        async with opened(redis_server, "fair", 2) as (store, other):
            inbox = Inbox(store)
            Inbox(store)
            for n in range(50):
                for name in ("a", "b", inbox.channel):
                    await other.send(name, {"n": n})
            seen = [(await store.receive_waiting(["a", "b"]))[0] for _ in range(60)]
            assert min(seen.count("a"), seen.count("b")) > 5
            assert [await inbox.get() for _ in range(50)] == [{"n": n} for n in range(50)]

    asyncio.run(main())


def test_a_queue_of_a_process_read_by_name(redis_server: Host) -> None:
    """L8: a message to several channels of a process is read once for each, in order."""

    async def main() -> None:
        async with opened(redis_server, "named", 2) as (store, other):
            for name in ("p!1", "p!2", "p!3"):
                await other.group_add("g", name)
            for n in range(2):
                await other.send_group("g", {"n": n})
            await other.send("p!4", {"n": 2})
            expected = [(f"p!{c}", {"n": n}) for n in range(2) for c in (1, 2, 3)]
            expected.append(("p!4", {"n": 2}))
            found = [await store.receive_waiting(["p!"]) for _ in range(3)]
            found.append(await store.receive(["p!"]))
            readers = [asyncio.create_task(store.receive_waiting(["p!"])) for _ in range(3)]
            found += [await each for each in readers]
            assert found == expected

    asyncio.run(main())


def test_beside_clients(redis_server: Host) -> None:
    """L8: a reader that comes while the process waits for its clients is served, and they are."""

    async def main() -> None:
        async with opened(redis_server, "beside", 2) as (store, other):
            inbox = Inbox(store)
            await other.send(inbox.channel, {"n": 0})
            assert await inbox.get() == {"n": 0}
            await other.send("a", {"n": 1})
            assert await store.receive_waiting(["a"]) == ("a", {"n": 1})
            waiting = asyncio.create_task(store.receive_waiting(["a"]))
            await asyncio.sleep(0.02)
            for n in range(300):
                await other.send(inbox.channel, {"n": n})
            await other.send("a", {"n": 2})
            assert await waiting == ("a", {"n": 2})
            assert [await inbox.get() for _ in range(300)] == [{"n": n} for n in range(300)]

    asyncio.run(main())


def test_large_messages(redis_server: Host) -> None:
    """L8: many large messages arrive, fetched in smaller batches; small ones in larger again."""

    async def main() -> None:
        async with opened(redis_server, "large", 2) as (store, other):
            inbox = Inbox(store)
            for size in (500_000, 10):
                await asyncio.gather(
                    *(other.send(inbox.channel, {"n": n, "d": b"x" * size}) for n in range(60))
                )
                assert [(await inbox.get())["n"] for _ in range(60)] == list(range(60))

    asyncio.run(main())


def test_nothing_is_done_while_nothing_comes(redis_server: Host) -> None:
    """L8: who waits does not ask again and again."""

    async def main() -> None:
        async with opened(redis_server, "idle", 2) as (store, other):
            Inbox(store)
            waiting = asyncio.create_task(store.receive_waiting(["a"]))
            await asyncio.sleep(0.2)

            async def commands() -> int:
                about: bytes = await other.link.call("INFO", "stats")
                return int(about.split(b"total_commands_processed:")[1].split()[0])

            before = await commands()
            await asyncio.sleep(0.5)
            assert await commands() == before + 1
            await other.send("a", {})
            await waiting

    asyncio.run(main())


# ------------------------------------------------------------- readers that go


def test_nothing_in_time(redis_server: Host) -> None:
    """L8: after the time there is nothing, and what comes later is for the next reader."""

    async def main() -> None:
        async with opened(redis_server, "late", 2) as (store, other):
            store.block_timeout = 0.05
            assert await store.receive_waiting(["a"]) == (None, None)
            await other.send("a", {"n": 1})
            assert await store.receive_waiting(["a"]) == ("a", {"n": 1})
            assert await store.receive_waiting(["a"]) == (None, None)
            await asyncio.sleep(0.1)  # Redis is told that nobody waits any more
            await other.send("a", {"n": 2})
            assert await other.receive(["a"]) == ("a", {"n": 2})

    asyncio.run(main())


def test_the_time_is_up_in_the_moment_in_which_a_message_comes() -> None:
    """L8: then the message counts."""

    async def main() -> None:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_result("a message")
        receivers._give_up(future)
        assert await future == "a message"

    asyncio.run(main())


@pytest.mark.parametrize("clients", [False, True])
def test_readers_that_are_cancelled_lose_nothing(redis_server: Host, clients: bool) -> None:
    """L8: in whatever moment: the message goes to the next reader; none comes twice."""

    async def main() -> None:
        async with opened(redis_server, f"cancel{clients}", 3) as (store, other, sender):
            if clients:
                Inbox(store)  # so that a wait is always under way
            chance = random.Random(1)
            got: list[int] = []

            async def read(where: Store) -> None:
                _, message = await (
                    where.receive(["a"])
                    if chance.random() < 0.2
                    else where.receive_waiting(chance.sample(["a", "b", "c"], 3))
                )
                if message is not None:
                    got.append(message["n"])

            async def read_and_cancel(where: Store) -> None:
                while len(got) < 600:
                    task = asyncio.create_task(read(where))
                    for _ in range(chance.randrange(6)):
                        await asyncio.sleep(0)
                    if chance.random() < 0.5:
                        await asyncio.sleep(chance.random() / 500)
                    task.cancel()
                    try:
                        await task
                    except asyncio.CancelledError:
                        pass

            readers = [asyncio.create_task(read_and_cancel(s)) for s in (store, store, other)]
            for n in range(600):
                await sender.send(chance.choice("abc"), {"n": n})
                while n - len(got) > 80:
                    await asyncio.sleep(0.001)
            await asyncio.gather(*readers)
            assert sorted(got) == list(range(600))

    asyncio.run(main())


def test_one_reader_that_is_cancelled_again_and_again_keeps_the_order(redis_server: Host) -> None:
    """L8: what comes back comes back to where it was."""

    async def main() -> None:
        async with opened(redis_server, "order", 2) as (store, sender):
            got: list[Any] = []
            for n in range(400):
                await sender.send("a", {"n": n})
                task = asyncio.create_task(store.receive_waiting(["a"]))
                for _ in range(n % 7):
                    await asyncio.sleep(0)
                if n % 3:
                    await asyncio.sleep(0.0003)
                task.cancel()
                if not isinstance(
                    (await asyncio.gather(task, return_exceptions=True))[0], BaseException
                ):
                    got.append(task.result()[1]["n"])
                if n % 40 == 39:
                    while len(got) <= n:
                        got.append((await store.receive_waiting(["a"]))[1]["n"])
            assert got == list(range(400))

    asyncio.run(main())


def test_given_back(redis_server: Host) -> None:
    """L8: a message that is given back goes to who waits, else to where it was."""

    async def main() -> None:
        async with opened(redis_server, "back") as (store,):
            for n in range(2):
                await store.send("a", {"n": n})
            taken = await store.take(["a"])
            assert taken is not None
            store.give_back(taken)
            assert await store.receive_waiting(["a"]) == ("a", {"n": 0})
            assert await store.receive_waiting(["a"]) == ("a", {"n": 1})
            waiting = asyncio.create_task(store.receive_waiting(["a"]))
            await asyncio.sleep(0.02)
            store.give_back(taken)
            assert await waiting == ("a", {"n": 0})

    asyncio.run(main())


# ------------------------------------------------------------- what is wrong in Redis


def test_messages_by_strangers(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: what is no message is logged and dropped, and what is behind it arrives."""
    wrong = [b"", b"short", b"\xff" * 8 + b"\x07new", element(["a"], {})[:-1], element(["b"], {})]

    async def main() -> None:
        async with opened(redis_server, "strange", 2) as (store, other):
            inbox = Inbox(store)
            keys = ["strange:ch:a", "strange:ch:" + store.reply_queue]
            for key in keys:
                await other.link.call("RPUSH", key, *wrong)
            for name in ("a", inbox.channel, "a"):
                await other.send(name, {"n": 1})
            assert await store.receive_waiting(["a"]) == ("a", {"n": 1})
            assert await store.receive(["a"]) == ("a", {"n": 1})
            assert await inbox.get() == {"n": 1}
            await other.link.call("RPUSH", keys[0], *wrong)
            assert await store.receive(["a"]) == (None, None)

    asyncio.run(main())
    assert caplog.text.count("was dropped: it") >= 3 * (len(wrong) - 1)
    assert "is another release of asgi-bridge" in caplog.text


def test_messages_that_come_too_late(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L8: a message that has expired is not delivered, by Redis' clock, whatever ours says."""

    async def main() -> None:
        async with opened(redis_server, "old", 2) as (store, other):
            inbox = Inbox(store)
            for name in ("a", inbox.channel):
                key = "old:ch:" + (name if name == "a" else store.reply_queue)
                late, timely = (element([name], {"n": n}, n) for n in (-1, 60))
                await other.link.call("RPUSH", key, late, late, timely)
            assert await other.receive_waiting(["a"]) == ("a", {"n": 60})
            assert await inbox.get() == {"n": 60}
            # Redis' clock seems to be behind, as if it, or ours, had been set.
            other._receiver._clock._ahead += 1000
            await store.send("a", {"n": 1})
            assert await other.receive_waiting(["a"]) == ("a", {"n": 1})

    asyncio.run(main())
    assert "a message to a was dropped: nothing read it in time" in caplog.text


def test_keys_of_another_type(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: a reader of a queue that is no list gets an error; others, and clients, go on."""

    async def main() -> None:
        async with opened(redis_server, "type", 2) as (store, other):
            inbox = Inbox(store)
            await other.link.call("SET", "type:ch:wrong", 1)
            await other.link.call("SET", "type:ch:" + store.reply_queue, 1)
            right = asyncio.create_task(store.receive_waiting(["right"]))
            for read in (store.receive_waiting, store.receive):
                with pytest.raises(LayerUnavailable, match="WRONGTYPE"):
                    await read(["wrong"])
            with pytest.raises(LayerUnavailable, match="does another program use keys"):
                await other.receive_waiting(["wrong"])
            while await other.link.call("EXISTS", "type:ch:" + store.reply_queue):
                await asyncio.sleep(0.01)
            await other.send("right", {})
            await other.send(inbox.channel, {})
            assert (await right)[0] == "right"
            assert await inbox.get() == {}
            assert await other.link.call("GET", "type:ch:wrong") == b"1"

    asyncio.run(main())
    assert "refuses to give messages of type:ch:bridge." in caplog.text


def test_redis_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """L13: what Redis says is told to who waits; and again, until it gives messages."""
    monkeypatch.setattr(receivers, "_REFUSED_PAUSE", 0.05)

    async def main() -> None:
        async with opened(host, "refuse", 2) as (store, other):
            for command in ("-blmpop", "+blmpop"):
                await other.link.call("ACL", "SETUSER", "default", command)
                if command == "-blmpop":
                    with pytest.raises(LayerUnavailable, match="see ACL"):
                        await store.receive_waiting(["a"])
                    Inbox(store)
                    await asyncio.sleep(0.1)
            await other.send("a", {})
            assert await store.receive_waiting(["a"]) == ("a", {})

    with start(redis()) as host:
        asyncio.run(main())


# ------------------------------------------------------------- the end, and losing Redis


def test_closing(redis_server: Host) -> None:
    """L8: who waits is told; a message that comes in that moment is for others."""

    async def main() -> None:
        async with opened(redis_server, "close") as (sender,):
            for n in range(30):
                store = Store(redis_url(redis_server), prefix="close")
                await store.open()
                waiting = asyncio.create_task(store.receive_waiting(["a"]))
                await asyncio.sleep(0.01)
                send = asyncio.create_task(sender.send("a", {"n": n}))
                for _ in range(n % 5):
                    await asyncio.sleep(0)
                closing = asyncio.create_task(store.close())
                await asyncio.sleep(0)
                with pytest.raises(LayerUnavailable, match="closed"):
                    await store.receive_waiting(["a"])
                await closing
                await send
                (found,) = await asyncio.gather(waiting, return_exceptions=True)
                if isinstance(found, BaseException):
                    assert str(found) == "the channel layer was closed"
                    found = await sender.receive(["a"])
                assert found == ("a", {"n": n})
                with pytest.raises(LayerUnavailable, match="closed"):
                    await store.receive_waiting(["a"])

    asyncio.run(main())


def test_closing_while_redis_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: it ends after a time."""
    monkeypatch.setattr(receivers, "_LAST_WAIT", 0.1)

    async def main() -> None:
        store = Store(redis_url(host))
        await store.open()
        waiting = asyncio.create_task(store.receive_waiting(["a"]))
        await asyncio.sleep(0.05)
        host.process.send_signal(signal.SIGSTOP)
        await store.close()
        with pytest.raises(LayerUnavailable):
            await waiting

    with start(redis()) as host:
        asyncio.run(main())
        host.process.send_signal(signal.SIGCONT)


def test_redis_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """L8: who waits goes on waiting; the log says how many messages may be lost at most."""

    async def main() -> None:
        async with opened(host, "gone", 2) as (store, other):
            inbox = Inbox(store)
            waiting = asyncio.create_task(store.receive_waiting(["a"]))
            back = [asyncio.Event(), asyncio.Event()]
            for each, event in zip((store, other), back, strict=True):
                each.link.on_back.append(event.set)
            await asyncio.sleep(0.05)
            host.kill()
            while store.link.up:
                await asyncio.sleep(0.01)
            with pytest.raises(LayerUnavailable):
                await store.receive_waiting(["b"])
            with started_again(host):
                for event in back:
                    await event.wait()
                await other.send("a", {"n": 1})
                await other.send(inbox.channel, {"n": 2})
                assert await waiting == ("a", {"n": 1})
                assert await inbox.get() == {"n": 2}
                await store.close()
                await other.close()

    with start(redis()) as host:
        asyncio.run(main())
    assert "up to 1 message may be lost" in caplog.text


def test_redis_refuses_what_is_put_back(caplog: pytest.LogCaptureFixture) -> None:
    """L8: that is told of; and a Redis that does not tell its time gives messages all the same."""

    async def main() -> None:
        async with opened(host, "full", 2) as (store, other):
            await store.link.call("RPUSH", "full:ch:a", element(["a"], {"n": 1}))
            await store.link.call("ACL", "SETUSER", "default", "-time")
            taken = await other.take_waiting(["a"])
            assert taken is not None
            assert taken.message == {"n": 1}
            await store.link.call("CONFIG", "SET", "maxmemory", 1)
            other.give_back(taken)
            await other.link.call("PING")
        await Store(redis_url(host)).close()

    with start(redis()) as host:
        asyncio.run(main())
    assert "1 message to a could not be put back, and may be lost: OOM" in caplog.text


def test_nothing_can_be_put_back(caplog: pytest.LogCaptureFixture) -> None:
    """L8: a message that cannot be put back, because Redis has gone, is told of."""

    async def main() -> None:
        async with opened(host, "lost") as (store,):
            await store.send("a", {})
            taken = await store.take(["a"])
            assert taken is not None
            host.kill()
            while store.link.up:
                await asyncio.sleep(0.01)
            store.give_back(taken)

    with start(redis()) as host:
        asyncio.run(main())
    assert "1 message to a could not be put back, and may be lost" in caplog.text
