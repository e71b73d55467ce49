"""A request that a worker may answer by one frame."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import BridgeError, LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.front.asked import Asked
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.front.waiting import QueueFull, Unanswered
from bridge.gateway.protocol import Frame
from bridge.gateway.session import Session
from bridge.types import Message
from tests.support.gateways import both, http_scope, until, within
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis

BODY = {"type": "http.request", "body": b"body", "more_body": False}


class Question(Asked):
    """Keeps what becomes of it."""

    def __init__(self, gateway: Gateway) -> None:
        begin = gateway.begin(http_scope("POST"))
        super().__init__(gateway.requests, gateway.bus, begin, b"body")
        self.told: list[Any] = []

    def answered(self, status: Any, headers: tuple[Any, ...], body: bytes) -> None:
        """Note it."""
        self.told.append((status, headers, body))

    def begun(self, session: Session, events: list[Message]) -> None:
        """Note it."""
        self.told.append((session, events))

    def failed(self, error: BridgeError) -> None:
        """Note it."""
        self.told.append(error)


def test_a_whole_response(redis_server: Host) -> None:
    """L9: one frame, and nothing is left of the request."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            asked = Question(gateway)
            request, session = await worker.read_and_claim()
            assert (request.scope["method"], request.events) == ("POST", [BODY])
            assert (asked.peer, asked.is_over, gateway.bus.sessions) == ("", False, 1)
            assert gateway.requests.has(asked.number)
            session.write(protocol.ANSWER, [200, [(b"a", b"b")], b"hello"])
            await until(lambda: asked.told)
            assert asked.told == [(200, ((b"a", b"b"),), b"hello")]
            assert (asked.peer, asked.is_over) == (worker.bus.name, True)
            assert (gateway.bus.sessions, gateway.requests._waiting) == (0, {})

    asyncio.run(main())


def test_a_worker_that_takes_its_time(redis_server: Host) -> None:
    """L9: a session goes on from there, in which all is as if it had been there before."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            asked = Question(gateway)
            _, taken = await worker.take()
            await until(lambda: asked.told)
            ((session, events),) = asked.told
            assert (events, session.peer, session.runs) == (
                [BODY],
                worker.bus.name,
                protocol.SESSION,
            )
            assert (asked.is_over, gateway.bus.sessions) == (True, 1)
            assert gateway.requests._waiting == {}
            await taken.send({"type": "any"})
            assert await within(session.read()) == {"type": "any"}
            session.write(protocol.CANCEL, None)
            await until(lambda: taken.over)

    asyncio.run(main())


def test_a_gap(redis_server: Host) -> None:
    """L13: an answer that is not the first frame shows that Redis has lost one."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            asked = Question(gateway)
            answer = [200, [], b""]
            frame = Frame(gateway.bus.name, asked.number, 1, protocol.ANSWER, answer)
            worker.bus.post(gateway.bus.name, frame)
            await until(lambda: asked.told)
            (error,) = asked.told
            assert (error.status, asked.is_over) == (502, True)
            assert "frame 1 came, and 0 was due" in str(error)

    asyncio.run(main())


def test_a_worker_that_does_not_have_it(redis_server: Host) -> None:
    """L10: one that has lost what it wrote says so: 502."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            asked = Question(gateway)
            frame = Frame(gateway.bus.name, asked.number, 0, protocol.CANCEL, None)
            worker.bus.post(gateway.bus.name, frame)
            await until(lambda: asked.told)
            assert asked.told[0].status == 502

    asyncio.run(main())


def test_nothing_comes(redis_server: Host) -> None:
    """L10: when Redis is lost, or nobody takes it; and while Redis is lost nothing is asked."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=0.3) as (gateway, worker):
            asked = Question(gateway)
            await until(lambda: asked.told)
            assert asked.told[0].status == 503
            assert await worker.bus.link.call("XLEN", worker.bus.keys.requests) == 0
            asked = Question(gateway)
            gateway.bus.link.lose("is gone, this test says")
            assert isinstance(asked.told[0], LayerUnavailable)
            with pytest.raises(LayerUnavailable):
                Question(gateway)
            assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_its_client_leaves(redis_server: Host) -> None:
    """L10: it is withdrawn, before and after Redis has it; an answer that comes yet is dropped."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            at_once, later = Question(gateway), Question(gateway)
            at_once.leave()
            await until(lambda: later.entry)
            later.leave()
            claimed = Question(gateway)
            request, session = await worker.read_and_claim()
            assert request.session == claimed.number
            claimed.leave()
            session.write(protocol.ANSWER, [200, [], b""])
            link, requests = worker.bus.link, worker.bus.keys.requests
            while await link.call("XLEN", requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
            other = Question(gateway)
            _, session = await worker.read_and_claim()
            session.write(protocol.ANSWER, [201, [], b""])
            await until(lambda: other.told)
            assert other.told == [(201, (), b"")]
            assert at_once.told == later.told == claimed.told == []
            assert all(each.is_over for each in (at_once, later, claimed))
            assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_its_client_has_left_when_it_fails(redis_server: Host) -> None:
    """L10: it hears nothing more, and the others of its turn hear what has become of theirs."""

    async def main() -> None:
        async with both(redis_url(redis_server), queue_limit=1) as (gateway, _):
            first, left, other = (Question(gateway) for _ in range(3))
            left.leave()
            await until(lambda: other.told)
            assert (type(other.told[0]), left.told) == (QueueFull, [])
            first.leave()

    asyncio.run(main())


def test_its_client_leaves_while_its_time_is_up(redis_server: Host) -> None:
    """L10: it hears nothing more, and the time of the others is looked at as ever."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=0.3) as (gateway, _):
            left, other = Question(gateway), Question(gateway)
            await until(lambda: other.entry)
            left.deadline = 0.0
            looking = asyncio.create_task(gateway.requests.tick())
            await asyncio.sleep(0)  # now Redis is asked to withdraw it
            left.leave()
            await looking
            await until(lambda: other.told)
            assert [type(error) for error in other.told] == [Unanswered]
            assert left.told == []

    asyncio.run(main())
