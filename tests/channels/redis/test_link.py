"""A process's two connections to Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.channels.redis import pipeline as pipelines
from bridge.channels.redis.connection import Address, Connection, Refused
from bridge.channels.redis.link import Link, Script
from bridge.errors import LayerUnavailable
from tests.support.hosts import Host, free_port, start
from tests.support.redis import needs_redis, redis, redis_url, started_again

pytestmark = needs_redis


@asynccontextmanager
async def opened(host: Host) -> AsyncIterator[Link]:
    link = Link(redis_url(host), name="opened")
    await link.open()
    yield link
    await link.close()


class Events:
    """What becomes of a link."""

    def __init__(self, link: Link) -> None:
        self.lost, self.back = asyncio.Event(), asyncio.Event()
        link.on_lost.append(self.lost.set)
        link.on_back.append(self.back.set)


# ------------------------------------------------------------- commands and waits


def test_calls_scripts_and_waits(redis_server: Host) -> None:
    """L8: answers come in order; a script that Redis forgot is sent again; a wait ends early."""

    async def main() -> None:
        async with opened(redis_server) as link:
            answers = await asyncio.gather(*(link.call("ECHO", str(n)) for n in range(50)))
            assert answers == [str(n).encode() for n in range(50)]
            script = Script("return {KEYS[1], ARGV[1]}")
            for argument in (b"1", b"2"):
                assert await link.run(script, ["k"], [argument]) == [b"k", argument]
                await link.call("SCRIPT", "FLUSH")
            waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "q", "LEFT"))
            await asyncio.sleep(0)
            link.post("RPUSH", "q", "x")
            assert await waiting == [b"q", [b"x"]]
            with pytest.raises(Refused, match="count should be greater than 0"):
                await link.wait("BLMPOP", 0, 1, "q", "LEFT", "COUNT", 0)
        with pytest.raises(LayerUnavailable, match="closed"):
            link.call("PING")
        with pytest.raises(LayerUnavailable, match="closed"):
            link.check()
        with pytest.raises(LayerUnavailable, match="closed"):
            await link.wait("PING")
        link.unblock()
        await link.close()

    asyncio.run(main())


def test_a_wait_is_ended_before_redis_knows_of_it(redis_server: Host) -> None:
    """L8: a wait that is ended at once ends, whichever of the two commands Redis reads first."""

    async def main() -> None:
        async with opened(redis_server) as link:
            for turns in range(100):
                waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "none", "LEFT"))
                for _ in range(1 + turns % 10):
                    await asyncio.sleep(0)
                link.unblock()
                link.unblock()
                assert await waiting is None
                assert await link.wait("PING") == b"PONG"

    asyncio.run(main())


def test_redis_reads_the_end_of_a_wait_first(redis_server: Host) -> None:
    """L8: it is said again, until the wait ends; not after it has ended, or with the connection."""

    async def main() -> None:
        async with opened(redis_server) as link:
            loop, waiter = asyncio.get_running_loop(), link._connections[1]
            write = waiter.write
            waiter.write = lambda data: loop.call_later(0.03, write, data)  # type: ignore[assignment]
            waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "none", "LEFT"))
            await asyncio.sleep(0)
            link.unblock()
            assert await waiting is None
            waiter.write = lambda _: None  # type: ignore[assignment]
            waiting = asyncio.create_task(link.wait("PING"))
            await asyncio.sleep(0)
            link.unblock()
            await asyncio.sleep(0.02)
            link._answered(b"PONG")  # between two attempts
            assert await waiting == b"PONG"
            await asyncio.sleep(0.02)
            events = Events(link)
            waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "none", "LEFT"))
            await asyncio.sleep(0)
            link.unblock()
            link.lose("is cut off")
            link.lose("is cut off twice")
            with pytest.raises(LayerUnavailable, match="cut off"):
                await waiting
            await events.back.wait()
            waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "none", "LEFT"))
            await asyncio.sleep(0)
            waiting.cancel()
            link._answered(None)  # in the moment in which it is cancelled
            await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(main())


def test_two_connections_for_all(redis_server: Host) -> None:
    """L8: one connection sends and one waits; a wait beside another is refused."""

    async def main() -> None:
        async with opened(redis_server) as link:
            waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "none", "LEFT"))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="waits already"):
                await link.wait("PING")
            await asyncio.gather(*(link.call("PING") for _ in range(100)))
            listed = await link.call("CLIENT", "LIST")
            ids = {int(line.split()[0][3:]) for line in listed.splitlines() if b"=opened" in line}
            assert ids == set(link.client_ids)
            link.unblock()
            await waiting

    asyncio.run(main())


def test_a_wait_that_is_cancelled(redis_server: Host) -> None:
    """L8: its answer may come later, so the connections are made anew."""

    async def main() -> None:
        async with opened(redis_server) as link:
            events, ids = Events(link), link.client_ids
            waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "none", "LEFT"))
            await asyncio.sleep(0)
            waiting.cancel()
            await events.back.wait()
            assert await link.call("CLIENT", "ID") == link.client_ids[0] not in ids
            assert waiting.cancelled()

    asyncio.run(main())


# ------------------------------------------------------------- opening and closing


def test_commands_while_it_connects(redis_server: Host) -> None:
    """L8: commands that come before the first connection wait for it; in their order."""

    async def main() -> None:
        link = Link(redis_url(redis_server))
        with pytest.raises(LayerUnavailable, match="not open"):
            link.call("PING")
        opening = asyncio.create_task(link.open())
        await asyncio.sleep(0)
        assert not link.up
        assert await asyncio.gather(link.call("ECHO", 1), link.call("ECHO", 2)) == [b"1", b"2"]
        await opening
        await link.close()

    asyncio.run(main())


def test_nothing_there() -> None:
    """L13: if nothing answers, opening says so, and so do the commands that have waited for it."""

    async def main() -> None:
        link = Link(f"redis://127.0.0.1:{free_port()}")
        opening = asyncio.create_task(link.open())
        await asyncio.sleep(0)
        call = link.call("PING")
        for each in (opening, call):
            with pytest.raises(LayerUnavailable, match="is it running there"):
                await each
        with pytest.raises(LayerUnavailable, match="is it running there"):
            link.call("PING")
        await link.close()

    asyncio.run(main())


def test_insisting(caplog: pytest.LogCaptureFixture) -> None:
    """L8: one that insists connects later, when there is a Redis."""

    async def main() -> None:
        link = Link(redis_url(host))
        events = Events(link)
        host.kill()
        with pytest.raises(LayerUnavailable, match="is it running there"):
            await link.open(insist=True)
        with started_again(host):
            await events.back.wait()
            assert await link.call("PING") == b"PONG"
            await link.close()
        assert not events.lost.is_set()

    with start(redis()) as host:
        asyncio.run(main())
    assert "trying again until it answers" in caplog.text
    assert caplog.text.count("connected to Redis at 127.0.0.1") == 1


def test_closing_while_it_connects_again() -> None:
    """L8: it ends then, too."""

    async def main() -> None:
        link = Link(f"redis://127.0.0.1:{free_port()}")
        with pytest.raises(LayerUnavailable):
            await link.open(insist=True)
        await link.close()

    asyncio.run(main())


def test_closing_with_calls_under_way(redis_server: Host) -> None:
    """L8: what is under way fails, and says that it was closed; a wait, too."""

    async def main() -> None:
        link = Link(redis_url(redis_server))
        await link.open()
        call = link.call("BLPOP", "none", 0)
        waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "none", "LEFT"))
        await asyncio.sleep(0)
        await link.close()
        for each in (call, waiting):
            with pytest.raises(LayerUnavailable, match="was closed"):
                await each

    asyncio.run(main())


def test_of_two_connections_only_one_can_be_made() -> None:
    """L13: the first is closed if the second cannot be made."""

    async def main() -> None:
        link = Link(redis_url(host))
        with pytest.raises(LayerUnavailable, match="max number of clients"):
            await link.open()
        await link.close()

    with start(redis("--maxclients", "1")) as host:
        asyncio.run(main())


# ------------------------------------------------------------- losing Redis


def test_redis_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """L8: what is under way fails and says so; when Redis is back, everything goes on."""

    async def main(first: Host) -> None:
        link = Link(redis_url(first))
        events = Events(link)
        link.on_lost.insert(0, lambda: 1 // 0)
        await link.open()
        waiting = asyncio.create_task(link.wait("BLMPOP", 0, 1, "q", "LEFT"))
        call = link.call("BLPOP", "none", 0)
        await asyncio.sleep(0.05)
        first.kill()
        for each in (waiting, call):
            with pytest.raises(LayerUnavailable, match="broke"):
                await each
        with pytest.raises(LayerUnavailable, match="may or may not have been done"):
            await call
        await events.lost.wait()
        while "is it running there" not in link._why:
            await asyncio.sleep(0.02)
        with pytest.raises(LayerUnavailable, match="is it running there"):
            link.call("PING")
        with started_again(first):
            await events.back.wait()
            assert await link.call("PING") == b"PONG"
            await link.close()

    with start(redis()) as host:
        asyncio.run(main(host))
    assert "1 command without an answer may or may not have been done" in caplog.text
    assert "groups that it had not saved are lost" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_redis_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: one that does not answer is given up after a time; when it goes on, all goes on."""
    monkeypatch.setattr(pipelines, "ANSWER_TIMEOUT", 0.5)

    async def main() -> None:
        async with opened(host) as link:
            events = Events(link)
            host.process.send_signal(signal.SIGSTOP)
            with pytest.raises(LayerUnavailable, match="has not answered for"):
                await link.call("PING")
            assert events.lost.is_set()
            host.process.send_signal(signal.SIGCONT)
            await events.back.wait()
            assert await link.call("PING") == b"PONG"

    with start(redis()) as host:
        asyncio.run(main())


def test_a_connection_that_redis_takes_for_alive(redis_server: Host) -> None:
    """L8: the one that waited before is ended by the new one: nothing is given to it any more."""

    async def main() -> None:
        link = Link(redis_url(redis_server))
        await link.open()
        events, before = Events(link), link.client_ids[1]
        ended = asyncio.Event()
        old, close = link._connections[1], link._connections[1].close
        # As after a line that is cut without a word: the socket stays open at both ends.
        old.drop = lambda: None  # type: ignore[method-assign]
        old.begin(lambda _: None, lambda _: ended.set())
        old.close = events.lost.wait  # type: ignore[assignment]
        link.lose("is cut off")
        await events.back.wait()
        await ended.wait()
        assert await link.call("CLIENT", "LIST", "ID", before) == b""
        await close()
        await link.close()

    asyncio.run(main())


def test_no_descriptor_is_left(redis_server: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: a shortage of the system's is passed over like a Redis that is not there."""

    async def main() -> None:
        async with opened(redis_server) as link:
            events, connect, failures = Events(link), Address.connect, [OSError("none is left")]

            async def scarce(address: Address) -> Connection:
                if failures:
                    raise failures.pop()
                return await connect(address)

            monkeypatch.setattr(Address, "connect", scarce)
            link.lose("is cut off")
            await events.back.wait()
            assert not failures

    asyncio.run(main())
