"""The commands that are under way on one connection."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.channels.redis import pipeline as pipelines
from bridge.channels.redis.connection import Address, Refused
from bridge.channels.redis.pipeline import Pipeline, Script
from bridge.errors import LayerUnavailable
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url

pytestmark = needs_redis


@asynccontextmanager
async def connected(host: Host) -> AsyncIterator[Pipeline]:
    connection = await Address(redis_url(host), "test").connect()
    pipeline = Pipeline(lambda what: pipeline.fail(f"it {what}"))
    connection.begin(pipeline.take, lambda error: pipeline.fail(str(error)))
    pipeline.begin(connection)
    yield pipeline
    await connection.close()


def test_answers_come_in_order(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L8: many commands are under way at once, and each gets its own answer, or error."""

    async def main() -> None:
        async with connected(redis_server) as pipeline:
            asked = [pipeline.call("ECHO", n) for n in range(100)]
            pipeline.post("SET", "posted", 1)
            wrong, after = pipeline.call("LPOP", "posted"), pipeline.call("GET", "posted")
            assert len(pipeline) == 103
            cancelled = pipeline.call("LPOP", "posted")
            cancelled.cancel()
            pipeline.post("LPOP", "posted")
            assert [await each for each in asked] == [str(n).encode() for n in range(100)]
            with pytest.raises(Refused, match="WRONGTYPE"):
                await wrong
            assert await after == b"1"
            assert await pipeline.call("PING") == b"PONG"
            assert len(pipeline) == 0

    asyncio.run(main())
    assert "Redis refused a command: WRONGTYPE" in caplog.text


def test_commands_before_there_is_a_connection(redis_server: Host) -> None:
    """L8: they leave as soon as there is one, in their order; or fail with it."""

    async def main() -> None:
        early = Pipeline(lambda _: None)
        answers = [early.call("ECHO", n) for n in "ab"]
        await asyncio.sleep(0.01)
        connection = await Address(redis_url(redis_server), "test").connect()
        connection.begin(early.take, lambda _: None)
        early.begin(connection)
        assert [await each for each in answers] == [b"a", b"b"]
        await connection.close()
        never = Pipeline(lambda _: None)
        answer = never.call("PING")
        never.fail("nothing there")
        with pytest.raises(LayerUnavailable, match="nothing there"):
            await answer

    asyncio.run(main())


APPEND = Script("redis.call('APPEND', KEYS[1], ARGV[1]) return ARGV[1]")
OTHER = Script("redis.call('APPEND', KEYS[1], 'o') return redis.call('GET', KEYS[1])")


def test_scripts_that_redis_has_forgotten(redis_server: Host) -> None:
    """L8: they are sent anew, and nothing that was sent later is done before them."""

    async def main() -> None:
        async with connected(redis_server) as pipeline:
            pipeline.post("DEL", "key")
            assert await pipeline.run(APPEND, ["key"], ["0"]) == b"0"
            assert await pipeline.run(OTHER, ["key"], []) == b"0o"
            expected = b"0o"
            for round_ in range(20):
                pipeline.post("SCRIPT", "FLUSH")
                calls: list[asyncio.Future[Any]] = []
                for n in range(10):
                    calls.append(pipeline.run(APPEND, ["key"], [str(n)]))
                    expected += str(n).encode()
                    if n == round_ % 10:
                        calls.append(pipeline.run(OTHER, ["key"], []))
                        expected += b"o"
                    if n % 3 == 0:
                        await asyncio.sleep(0)
                await asyncio.wait(calls[:1])
                calls.append(pipeline.run(APPEND, ["key"], ["x"]))
                expected += b"x"
                await asyncio.gather(*calls)
                assert await pipeline.call("GET", "key") == expected

    asyncio.run(main())


def test_a_script_that_fails(redis_server: Host) -> None:
    """L8: an error in a script is an error of its call, whatever Redis says."""

    async def main() -> None:
        async with connected(redis_server) as pipeline:
            for said in ("NOSCRIPT no", "OOM no"):
                script = Script(f"return redis.error_reply('{said}')")
                with pytest.raises(Refused, match=said):
                    await pipeline.run(script, [], [])

    asyncio.run(main())


def test_what_nobody_waits_for_any_more(redis_server: Host) -> None:
    """L8: the answer to a script whose caller was cancelled is handed over, if there is one."""

    async def main() -> None:
        async with connected(redis_server) as pipeline:
            seen: list[Any] = []
            for script in (Script("return 'a'"), Script("return redis.error_reply('no')")):
                pipeline.run(script, [], [], seen.append).cancel()
                pipeline.run(script, [], []).cancel()
            await pipeline.call("PING")
            assert seen == [b"a"]

    asyncio.run(main())


def test_failing(redis_server: Host) -> None:
    """L8: what is under way fails, and what is held back; not what has ended."""

    async def main() -> None:
        async with connected(redis_server) as pipeline:
            await pipeline.run(APPEND, ["f"], ["0"])
            await pipeline.call("SCRIPT", "FLUSH")
            held = [pipeline.run(APPEND, ["f"], ["0"])]
            pipeline.take(Refused("NOSCRIPT gone"))
            held += [pipeline.call("PING"), pipeline.call("PING")]
            held[2].cancel()
            pipeline.post("PING")
            pipeline.fail("all over")
            for each in held[:2]:
                with pytest.raises(LayerUnavailable, match="all over"):
                    await each

    asyncio.run(main())


def test_a_redis_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: a call waits for a limited time, which its error names; not for a loop that was busy."""
    monkeypatch.setattr(pipelines, "ANSWER_TIMEOUT", 0.5)

    async def main() -> None:
        async with connected(host) as pipeline:
            assert await pipeline.call("PING") == b"PONG"
            await asyncio.sleep(0.3)  # the time is looked at, and nothing is under way
            for _ in range(4):
                assert await pipeline.call("BLPOP", "nothing", 0.2) is None
            host.process.send_signal(signal.SIGSTOP)
            with pytest.raises(LayerUnavailable, match="has not answered for 0 s"):
                await pipeline.call("PING")

    with start(redis()) as host:
        asyncio.run(main())
        host.process.send_signal(signal.SIGCONT)
