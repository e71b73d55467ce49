"""A process's way to the others."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest

from bridge.channels.redis.link import Link
from bridge.errors import LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.bus import Bus
from bridge.gateway.keys import GROUP, Keys
from bridge.gateway.protocol import Frame, Request
from bridge.gateway.scripts import FORGET_AFTER
from bridge.gateway.session import LOST, Session
from tests.support.gateways import new_prefix, until, within
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again

pytestmark = needs_redis

_EVENT = {"type": "http.request", "body": b""}


async def _pair(url: str) -> tuple[Bus, Bus]:
    """A gateway and a worker."""
    prefix = new_prefix()
    gateway, worker = Bus(url, "gateway", prefix=prefix), Bus(url, "worker", prefix=prefix)
    await gateway.open()
    await worker.open()
    return gateway, worker


async def _talk(gateway: Bus, worker: Bus) -> tuple[Session, Session]:
    """Both ends of a session that has begun."""
    asked = gateway.ask([_EVENT])
    taken = worker.accept(Request(gateway.name, asked.number, {}, [_EVENT]))
    worker_says = asyncio.Event()
    asked.on_taken = worker_says.set
    taken.write(protocol.TAKEN, protocol.SESSION)
    await within(worker_says.wait())
    return asked, taken


def test_a_session(redis_server: Host) -> None:
    """L9: frames go to their session, both ways; each process is on the lists while it is there."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        assert gateway.up
        asked, taken = await _talk(gateway, worker)
        assert (asked.peer, asked.runs) == (worker.name, protocol.SESSION)
        await taken.send({"type": "http.response.start", "status": 200})
        assert await within(asked.read()) == {"type": "http.response.start", "status": 200}
        await asked.send({"type": "http.disconnect"})
        assert await within(taken.read()) == _EVENT
        assert await within(taken.read()) == {"type": "http.disconnect"}
        link, keys = gateway.link, gateway.keys
        peers = await link.call("HGETALL", keys.peers)
        about = dict(zip(peers[::2], map(msgpack.unpackb, peers[1::2]), strict=True))
        assert about[worker.name.encode()]["ids"] == list(worker.link.client_ids)
        assert about[gateway.name.encode()]["kind"] == "gateway"
        assert await link.call("ZCARD", keys.seen) == 2
        assert (gateway.sessions, worker.sessions) == (1, 1)
        assert gateway.has(asked.number)
        await worker.close()
        await until(lambda: asked.over)
        assert asked.over is not None
        assert asked.over.how == protocol.CANCEL
        assert await link.call("HKEYS", keys.peers) == [gateway.name.encode()]
        await gateway.close()

    asyncio.run(main())


def test_an_answer(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L9: a whole response is taken from whichever worker is the first to say anything."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        asked = gateway.ask([_EVENT])
        taken = worker.accept(Request(gateway.name, asked.number, {}, [_EVENT]))
        taken.write(protocol.ANSWER, [200, [], b"hello"])
        event = await within(asked.read())
        assert event == {"type": "http.response.start", "status": 200, "headers": []}
        assert (asked.peer, gateway.sessions, worker.sessions) == (worker.name, 0, 0)
        # It is not for the next one, and for nobody who is gone.
        other, _ = await _talk(gateway, worker)
        answer = [200, [], b"not yours"]
        for number in (asked.number, 10**6):
            frame = Frame(gateway.name, number, 0, protocol.ANSWER, answer)
            worker.post(gateway.name, frame)
        worker.accept(Request(gateway.name, other.number, {}, [])).write(protocol.ANSWER, answer)
        await until(lambda: other.over)
        assert (other.take(), asked.take(), asked.take()) == (
            None,
            {"type": "http.response.body", "body": b"hello"},
            None,
        )
        await gateway.close()
        await worker.close()

    asyncio.run(main())


def test_packets_that_are_none(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: what is no packet is told of and dropped, and the next ones are read."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        asked, taken = await _talk(gateway, worker)
        for garbage in (b"", b"garbage", msgpack.packb([9, "w.1", []])):
            await worker.link.call("RPUSH", gateway.keys.inbox(gateway.name), garbage)
        await taken.send(_EVENT)
        assert await within(asked.read()) == _EVENT
        await gateway.close()
        await worker.close()

    asyncio.run(main())
    assert caplog.text.count("was dropped: it") == 3
    assert "it has version 9, and this release reads 1" in caplog.text


def test_a_session_that_fails(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: what goes wrong with one does not keep others from their frames."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        failing, taken = await _talk(gateway, worker)
        asked, _ = await _talk(gateway, worker)

        def fail(frame: Frame) -> None:
            raise LookupError(f"mine {frame.kind}")

        failing.deliver = fail  # type: ignore[method-assign]
        await taken.send(_EVENT)
        frame = Frame(gateway.name, asked.number, 1, protocol.EVENTS, [_EVENT])
        worker.post(gateway.name, frame)
        assert await within(asked.read()) == _EVENT
        assert f"what {worker.name} has sent for a session could not be used" in caplog.text
        assert "mine 0" in caplog.text
        await gateway.close()
        await worker.close()

    asyncio.run(main())


def test_frames_of_strangers(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: only the worker that has a session writes to it; another is told to end it."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        other = Bus(redis_url(redis_server), "worker", prefix=gateway.keys.prefix)
        await other.open()
        asked, taken = await _talk(gateway, worker)
        untaken = gateway.ask([_EVENT])

        async def intrude(number: int, kind: int, payload: Any) -> Session:
            intruder = other.accept(Request(gateway.name, number, {}, []))
            intruder.write(kind, payload)
            await until(lambda: intruder.over)
            return intruder

        await intrude(asked.number, protocol.TAKEN, protocol.SESSION)
        await intrude(asked.number, protocol.EVENTS, [{"type": "http.response.start"}])
        await intrude(untaken.number, protocol.EVENTS, [{"type": "http.response.start"}])
        await intrude(10**6, protocol.EVENTS, [_EVENT])
        # To a session that nobody has, an end is nothing to answer.
        other.post(gateway.name, Frame(gateway.name, 10**6, 0, protocol.END, None))
        await taken.send(_EVENT)
        assert await within(asked.read()) == _EVENT
        assert untaken.take() is None
        for bus in (gateway, worker, other):
            await bus.close()

    asyncio.run(main())
    assert caplog.text.count(" for a session that ") == 3


def test_a_process_dies(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: the sessions of a process that is gone are lost; it is told of once."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        asked, _ = await _talk(gateway, worker)
        dead: list[str] = []
        gateway.on_dead.append(dead.append)
        gateway.also_watched = lambda: [worker.name]
        for task in worker._tasks:
            task.cancel()
        await worker.link.close()
        await until(lambda: len(dead) >= 2)
        assert asked.over is not None
        assert asked.over.how == LOST
        assert "is not connected to Redis any more" in str(asked.over.error)
        assert set(dead) == {worker.name}
        await gateway.close()

    asyncio.run(main())
    assert caplog.text.count("it had 1 session of this process") == 1


def test_the_connection_is_lost(redis_server: Host) -> None:
    """L10: all sessions are lost with it, also at their other ends; then everything goes on."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        asked, taken = await _talk(gateway, worker)
        lost, back = asyncio.Event(), asyncio.Event()
        gateway.on_lost.append(lost.set)
        gateway.on_back.append(back.set)
        await worker.link.call("CLIENT", "KILL", "ID", gateway.link.client_ids[0])
        await within(lost.wait())
        assert asked.over is not None
        assert isinstance(asked.over.error, LayerUnavailable)
        late = gateway.accept(Request(worker.name, 0, {}, []))  # it was claimed before
        assert late.over is not None
        assert isinstance(late.over.error, LayerUnavailable)
        await within(back.wait())
        await until(lambda: taken.over)
        asked, taken = await _talk(gateway, worker)
        await taken.send(_EVENT)
        assert await within(asked.read()) == _EVENT
        await gateway.close()
        await worker.close()

    asyncio.run(main())


def test_what_was_written_last_is_lost(redis_server: Host) -> None:
    """L10: an end that may be lost is told again, and so is that of what was only claimed."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        ended, left = await _talk(gateway, worker), await _talk(gateway, worker)
        claimed, answered = gateway.ask([_EVENT]), gateway.ask([_EVENT])
        await worker.link.call("HSET", worker.keys.peers, b"w.\xff", b"of a stranger")
        worker.outbox.note_claim(gateway.name, claimed.number, b"0-1")
        ended[1].write(protocol.END, None)
        answer = Frame(gateway.name, answered.number, 0, protocol.ANSWER, [200, [], b"hello"])
        worker.post(gateway.name, answer)
        worker.link.lose("is gone, this test says")
        for asked in (ended[0], claimed, answered):
            await until(lambda asked=asked: asked.over)
            assert asked.over.how == protocol.CANCEL
            assert asked.take() is None
        left[1].leave()
        gateway.link.lose("is gone, this test says")
        await until(lambda: left[1].over)
        await until(lambda: gateway.up and worker.up)
        asked, taken = await _talk(gateway, worker)
        await taken.send(_EVENT)
        assert await within(asked.read()) == _EVENT
        await gateway.close()
        await worker.close()

    asyncio.run(main())


def test_redis_has_no_memory_left(caplog: pytest.LogCaptureFixture) -> None:
    """L10: it is as good as gone: all sessions are lost, until it takes data again."""

    async def main(url: str) -> None:
        gateway, worker = await _pair(url)
        asked, taken = await _talk(gateway, worker)
        await worker.link.call("CONFIG", "SET", "maxmemory", "1")
        await taken.send(_EVENT)
        await until(lambda: asked.over and taken.over)
        for each in (asked, taken):
            assert each.over is not None
            assert isinstance(each.over.error, LayerUnavailable)
        with pytest.raises(LayerUnavailable):
            gateway.ask([_EVENT])
        await worker.link.call("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: gateway.up and worker.up)
        asked, taken = await _talk(gateway, worker)
        await taken.send(_EVENT)
        assert await within(asked.read()) == _EVENT
        await gateway.close()
        await worker.close()

    with start(redis()) as host:
        asyncio.run(main(redis_url(host)))
    assert "it has no memory left; give it more (maxmemory)" in caplog.text


def test_redis_goes_and_comes_back() -> None:
    """L10: after a new, empty Redis has come, the processes register, and go on."""

    async def main(first: Host) -> None:
        gateway, worker = await _pair(redis_url(first))
        back = [asyncio.Event(), asyncio.Event()]
        gateway.on_back.append(back[0].set)
        worker.on_back.append(back[1].set)
        first.kill()
        await until(lambda: not gateway.up and not worker.up)
        with started_again(first):
            await within(asyncio.gather(*(each.wait() for each in back)))
            asked, taken = await _talk(gateway, worker)
            await taken.send(_EVENT)
            assert await within(asked.read()) == _EVENT
            await gateway.close()
            assert await worker.link.call("HLEN", worker.keys.peers) == 1
        await until(lambda: not worker.up)
        await worker.close()

    with start(redis()) as host:
        asyncio.run(main(host))


def test_what_the_dead_have_left(redis_server: Host) -> None:
    """L10: long after its last heartbeat, nothing in Redis is left of a process."""

    async def main() -> None:
        link, keys = Link(redis_url(redis_server)), Keys(new_prefix())
        await link.open()
        seconds, _ = await link.call("TIME")
        for name in ("g.dead", "w.dead"):
            await link.call("ZADD", keys.seen, (int(seconds) - FORGET_AFTER - 5) * 1000, name)
            await link.call("HSET", keys.peers, name, "")
            await link.call("RPUSH", keys.inbox(name), "")
        await link.call("XGROUP", "CREATE", keys.requests, GROUP, "0", "MKSTREAM")
        for gateway in ("g.live", "g.dead", "g.live"):
            await link.call("XADD", keys.requests, "*", "g", gateway, "r", "")
            if gateway == "g.dead":
                await link.call(
                    "XREADGROUP",
                    "GROUP",
                    GROUP,
                    "w.dead",
                    "COUNT",
                    1,
                    "STREAMS",
                    keys.requests,
                    ">",
                )
        await link.call("XADD", keys.requests, "*", "g", "g.dead", "r", "")
        bus = Bus(redis_url(redis_server), "worker", prefix=keys.prefix)
        await bus.open()
        # Not at the first sight: Redis' clock may have been set.
        assert await link.call("HLEN", keys.peers) == 3
        while await link.call("HKEYS", keys.peers) != [bus.name.encode()]:
            await asyncio.sleep(0.1)  # the pace of asking
        assert await link.call("EXISTS", keys.inbox("g.dead"), keys.inbox("w.dead")) == 0
        left = await link.call("XRANGE", keys.requests, "-", "+")
        # The first was pending for a worker that is dead, and is its gateway's to give up.
        assert [fields[1] for _, fields in left] == [b"g.live"]
        assert (await link.call("XPENDING", keys.requests, GROUP))[0] == 0
        await bus.close()
        await link.close()

    asyncio.run(main())


def test_the_clock_of_redis_is_set(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: all that live seem to be gone for long, until their next heartbeats: nothing is lost."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        asked, taken = await _talk(gateway, worker)
        link, keys = Link(redis_url(redis_server)), gateway.keys
        await link.open()
        for bus in (gateway, worker):  # as if it were later by some minutes
            await link.call("ZINCRBY", keys.seen, -5 * FORGET_AFTER * 1000, bus.name)
        for bus in 2 * (gateway, worker):
            before = await link.call("ZSCORE", keys.seen, bus.name)
            while await link.call("ZSCORE", keys.seen, bus.name) == before:
                await asyncio.sleep(0.05)  # the pace of asking
        assert await link.call("HLEN", keys.peers) == 2
        await taken.send(_EVENT)
        assert await within(asked.read()) == _EVENT
        for each in (link, gateway, worker):
            await each.close()

    asyncio.run(main())
    assert " is gone" not in caplog.text


def test_redis_refuses(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: a user who may not do what is needed is told so at the start."""

    async def main() -> None:
        url, link = redis_url(redis_server), Link(redis_url(redis_server))
        await link.open()
        await link.call("ACL", "SETUSER", "weak", "on", ">secret", "~*", "+@all", "-@scripting")
        bus = Bus(url.replace("redis://", "redis://weak:secret@"), "worker")
        with pytest.raises(LayerUnavailable, match="does not do what gateways and workers need"):
            await bus.open()
        with pytest.raises(LayerUnavailable):
            await Bus("redis://127.0.0.1:1", "worker").open()
        await link.close()

    asyncio.run(main())


def test_the_lists_are_spoilt(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: a key that another program uses is told of, and everything goes on when it is gone."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        inbox = gateway.keys.inbox(gateway.name)
        link = worker.link
        await link.call("SET", gateway.keys.seen, "spoilt")
        await until(lambda: f"Redis refuses {gateway.name}: WRONGTYPE" in caplog.text)
        await link.call("DEL", gateway.keys.seen)
        gateway.link.unblock()
        await link.call("SET", inbox, "spoilt")
        while "refuses to give" not in caplog.text:
            gateway.link.unblock()
            await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
        await link.call("DEL", inbox)
        asked, taken = await _talk(gateway, worker)
        assert asked.peer == worker.name
        taken.leave()
        await link.call("SET", gateway.keys.seen, "spoilt")
        await gateway.close()
        assert f"Redis refuses to take {gateway.name} off its lists" in caplog.text
        await link.call("DEL", gateway.keys.seen)
        await worker.close()

    asyncio.run(main())


def test_redis_is_back_and_refuses(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: a process goes on when it could register; until then no session begins."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        back = asyncio.Event()
        gateway.on_back.append(back.set)
        await worker.link.call("SET", gateway.keys.seen, "spoilt")
        await worker.link.call("CLIENT", "KILL", "ID", gateway.link.client_ids[0])
        await until(lambda: not gateway.up)
        await until(lambda: f"Redis refuses {gateway.name}" in caplog.text)
        with pytest.raises(LayerUnavailable):
            gateway.ask([_EVENT])
        assert not back.is_set()
        await worker.link.call("DEL", gateway.keys.seen)
        await within(back.wait())
        await _talk(gateway, worker)
        await gateway.close()
        await worker.close()

    asyncio.run(main())


def test_redis_goes_while_something_is_asked(redis_server: Host) -> None:
    """L10: what a process does again and again goes on, and is not told of twice."""

    async def main() -> None:
        gateway, worker = await _pair(redis_url(redis_server))
        beat = asyncio.create_task(gateway._try(gateway._beat))
        await asyncio.sleep(0)
        gateway.link.lose("is gone, this test says")
        assert await beat is False
        await until(lambda: gateway.up)
        assert await gateway._try(gateway._beat)
        await gateway.close()
        await worker.close()

    asyncio.run(main())
