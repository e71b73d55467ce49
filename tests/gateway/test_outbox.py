"""What one process writes to others."""

from __future__ import annotations

import asyncio

import pytest

from bridge.channels.redis.connection import Refused
from bridge.channels.redis.link import Link
from bridge.errors import LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.keys import GROUP, Keys
from bridge.gateway.outbox import Outbox
from bridge.gateway.protocol import Frame
from tests.support.gateways import new_prefix
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def _frame(number: int, payload: object = None) -> Frame:
    return Frame("g.1", 1, number, protocol.END if payload is None else protocol.EVENTS, payload)


def test_one_packet_for_each_process_and_turn(redis_server: Host) -> None:
    """L9: frames of one turn leave together."""

    async def main() -> None:
        link, keys = Link(redis_url(redis_server)), Keys(new_prefix())
        await link.open()
        outbox = Outbox(link, keys, "w.1", print)
        outbox.post("g.1", _frame(0))
        outbox.post("g.2", _frame(1))
        outbox.post("g.1", _frame(2))
        await asyncio.sleep(0)
        outbox.post("g.1", _frame(3))
        outbox.flush()
        found = await link.call("LRANGE", keys.inbox("g.1"), 0, -1)
        assert protocol.decode_packet(found[0]) == ("w.1", [_frame(0), _frame(2)])
        assert protocol.decode_packet(found[1]) == ("w.1", [_frame(3)])
        found = await link.call("LRANGE", keys.inbox("g.2"), 0, -1)
        assert [protocol.decode_packet(each) for each in found] == [("w.1", [_frame(1)])]
        await link.close()

    asyncio.run(main())


def test_what_was_claimed_is_acknowledged_behind_the_first_frame(redis_server: Host) -> None:
    """L10: so a request is pending for a worker until its gateway knows who has it."""

    async def main() -> None:
        link, keys = Link(redis_url(redis_server)), Keys(new_prefix())
        await link.open()
        outbox = Outbox(link, keys, "w.1", print)
        await link.call("XGROUP", "CREATE", keys.requests, GROUP, "0", "MKSTREAM")
        entries = [await link.call("XADD", keys.requests, "*", "r", "x") for _ in range(4)]
        await link.call("XREADGROUP", "GROUP", GROUP, "w.1", "STREAMS", keys.requests, ">")

        async def pending() -> list[bytes]:
            found = await link.call("XPENDING", keys.requests, GROUP, "-", "+", 9)
            return [each[0] for each in found]

        for session, entry in enumerate(entries[:3]):
            outbox.note_claim("g.1", session, entry)
        outbox.post("g.1", _frame(0))
        outbox.post("g.2", _frame(0))
        outbox.post("g.1", _frame(1))
        outbox.acknowledge(entries[3])
        assert await pending() == entries
        assert await pending() == [entries[0], entries[2]]
        assert outbox.drop() == [("g.1", 0), ("g.1", 2)]
        outbox.post("g.1", Frame("g.1", 2, 0, protocol.TAKEN, protocol.SESSION))
        await asyncio.sleep(0)
        assert await pending() == [entries[0], entries[2]]
        await link.close()

    asyncio.run(main())


def test_what_cannot_be_written(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: a message that cannot be encoded is told of, and the others leave."""

    async def main() -> None:
        link, keys = Link(redis_url(redis_server)), Keys(new_prefix())
        await link.open()
        outbox = Outbox(link, keys, "w.1", print)
        outbox.post("g.1", _frame(0))
        outbox.post("g.1", _frame(1, [{"type": "x", "of": object()}]))
        outbox.post("g.1", _frame(2))
        await asyncio.sleep(0)
        found = await link.call("LRANGE", keys.inbox("g.1"), 0, -1)
        numbers = [protocol.decode_packet(each).frames[0].number for each in found]
        assert numbers == [0, 2]
        await link.close()

    asyncio.run(main())
    assert "a message to g.1 was left out: it cannot be written" in caplog.text


def test_without_a_connection(redis_server: Host) -> None:
    """L10: a frame that cannot leave is refused at once."""

    async def main() -> None:
        link, keys = Link(redis_url(redis_server)), Keys(new_prefix())
        outbox = Outbox(link, keys, "w.1", print)
        with pytest.raises(LayerUnavailable):
            outbox.post("g.1", _frame(0))
        outbox.flush()
        await link.open()
        outbox.post("g.1", _frame(1))
        outbox.flush()
        assert await link.call("LLEN", keys.inbox("g.1")) == 1
        await link.close()
        with pytest.raises(LayerUnavailable):
            outbox.acknowledge(b"1-1")

    asyncio.run(main())


def test_a_packet_that_redis_refuses(redis_server: Host) -> None:
    """L10: whoever waits for it is told by who has written it."""

    async def main() -> None:
        link, keys = Link(redis_url(redis_server)), Keys(new_prefix())
        await link.open()
        refused: list[Refused] = []
        outbox = Outbox(link, keys, "w.1", refused.append)
        await link.call("SET", keys.inbox("g.1"), "spoilt")
        outbox.post("g.1", _frame(0))
        await asyncio.sleep(0)
        await link.call("PING")
        assert [each.code for each in refused] == ["WRONGTYPE"]
        await link.close()

    asyncio.run(main())
