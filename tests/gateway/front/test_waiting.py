"""The requests that no worker has taken yet."""

from __future__ import annotations

import asyncio

import pytest

from bridge.gateway import protocol
from bridge.gateway.front.waiting import MOST_ASKED
from bridge.gateway.keys import GROUP
from bridge.gateway.protocol import Frame
from tests.support.gateways import (
    Client,
    both,
    gateway_of,
    get,
    http_scope,
    new_prefix,
    piece,
    queued,
    socket_scope,
    until,
    within,
    worker_of,
)
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again

pytestmark = needs_redis


def test_nobody_takes_it(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: when its time is up a request is withdrawn, and its client gets 503."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=0.3) as (gateway, worker):
            client = get(gateway)
            status, fields, _ = await client.response()
            assert (status, fields[b"retry-after"]) == (503, b"1")
            await client.ends()
            link, requests = worker.bus.link, worker.bus.keys.requests
            assert await link.call("XLEN", requests) == 0
            await until(lambda: "1 request got 503: no worker has taken it" in caplog.text)

    asyncio.run(main())


def test_the_queue_is_full(redis_server: Host) -> None:
    """L10: one request more than may wait is told at once, and leaves the others alone."""

    async def main() -> None:
        async with both(redis_url(redis_server), queue_limit=2) as (gateway, worker):
            waiting = [get(gateway, f"/{number}") for number in range(2)]
            await until(lambda: len(gateway.requests._waiting) == 2)
            status, fields, _ = await get(gateway).response()
            assert (status, fields[b"retry-after"]) == (503, b"1")
            for client in waiting:
                request, session = await worker.take()
                assert gateway.requests.has(request.session)
                await worker.answer(session)
                assert (await client.response())[0] == 200

    asyncio.run(main())


def test_a_client_leaves_the_queue(redis_server: Host) -> None:
    """L10: the request of a client that leaves is withdrawn: no worker runs it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for scope, says, end in (
                (http_scope(), piece(b"", more=False), {"type": "http.disconnect"}),
                (
                    socket_scope(),
                    {"type": "websocket.connect"},
                    {"type": "websocket.disconnect", "code": 1006},
                ),
            ):
                client = Client(gateway, scope, says, end)
                await client.ends()
                left = Client(gateway, scope, end)
                await left.ends()
            link, requests = worker.bus.link, worker.bus.keys.requests
            while await link.call("XLEN", requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
            about = await link.call("XINFO", "STREAM", requests)
            assert dict(zip(about[::2], about[1::2], strict=True))[b"entries-added"] == 2
            assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_a_client_leaves_before_redis_has_answered(redis_server: Host) -> None:
    """L10: its request is withdrawn as soon as its number is known."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await asyncio.sleep(0)
            client.task.cancel()
            await asyncio.wait([client.task])
            link, requests = worker.bus.link, worker.bus.keys.requests
            while not await link.call("EXISTS", requests) or await link.call("XLEN", requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
            status = asyncio.ensure_future(get(gateway).response())
            _, session = await worker.take()
            await worker.answer(session)
            assert (await status)[0] == 200

    asyncio.run(main())


def test_a_worker_dies_with_what_it_has_read(redis_server: Host) -> None:
    """L10: a request that a worker has read, or claimed and not told of, is a 502 when it dies."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            clients = [get(gateway, "/read"), get(gateway, "/claimed")]
            await worker.read()
            entry, _ = await worker.read()
            assert await worker.claim(entry)
            waiting = get(gateway)
            await queued(gateway)
            await worker.die()
            for client in clients:
                assert (await client.response())[0] == 502
            async with worker_of(redis_url(redis_server), gateway.bus.keys.prefix) as other:
                request, session = await other.take()
                assert request.scope["path"] == "/"
                await other.answer(session)
                assert (await waiting.response())[2] == b"hello"
                link, requests = other.bus.link, other.bus.keys.requests
                assert (await link.call("XPENDING", requests, GROUP))[0] == 0

    asyncio.run(main())


def test_a_worker_that_is_slow_to_tell(redis_server: Host) -> None:
    """L10: when the time is up and a live worker has claimed the request, it is waited for."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=0.3) as (gateway, worker):
            client = get(gateway)
            entry, request = await worker.read()
            assert await worker.claim(entry)
            (waiting,) = gateway.requests._waiting.values()
            await until(lambda: waiting.claimed)
            session = worker.bus.accept(request)
            session.write(protocol.TAKEN, protocol.SESSION)
            await worker.answer(session)
            assert (await client.response())[0] == 200

    asyncio.run(main())


def test_a_request_that_nobody_has(redis_server: Host) -> None:
    """L10: if Redis was emptied, a request that it has forgotten is a 502, and does not hang."""

    async def main() -> None:
        prefix = new_prefix()
        async with gateway_of(redis_url(redis_server), prefix, timeout_queue=0.3) as gateway:
            client = get(gateway)
            await queued(gateway)
            await gateway.bus.link.call("DEL", gateway.bus.keys.requests)
            assert (await client.response())[0] == 502

    asyncio.run(main())


def test_redis_refuses_it(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: a key that another program uses makes 503, and is told of."""

    async def main() -> None:
        async with gateway_of(redis_url(redis_server), new_prefix()) as gateway:
            await gateway.bus.link.call("SET", gateway.bus.keys.requests, "spoilt")
            assert (await get(gateway).response())[0] == 503

    asyncio.run(main())
    assert "Redis refuses g." in caplog.text


def test_a_scope_that_cannot_be_written(redis_server: Host) -> None:
    """L13: what a middleware has put into a scope is an error there, and nothing is left of it."""

    async def main() -> None:
        async with gateway_of(redis_url(redis_server), new_prefix()) as gateway:
            scope = {**http_scope(), "user": object()}
            client = Client(gateway, scope, piece(b"", more=False))
            with pytest.raises(TypeError):
                await client.ends()
            assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_redis_is_gone_while_they_wait() -> None:
    """L10: those who wait get 503; a Redis that still has their requests gives them to nobody."""

    async def main(first: Host) -> None:
        async with gateway_of(redis_url(first), new_prefix()) as gateway:
            client = get(gateway)
            await queued(gateway)
            back = asyncio.Event()
            gateway.bus.on_back.append(back.set)
            # Only the connection is lost: the request is still there.
            gateway.bus.link.lose("is gone, this test says")
            assert (await client.response())[0] == 503
            await within(back.wait())
            link, requests = gateway.bus.link, gateway.bus.keys.requests
            while await link.call("XLEN", requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
            client = get(gateway)
            await queued(gateway)
            first.kill()
            assert (await client.response())[0] == 503
            assert (await get(gateway).response())[0] == 503
            back.clear()
            with started_again(first):
                await within(back.wait())
                async with worker_of(redis_url(first), gateway.bus.keys.prefix) as worker:
                    client = get(gateway)
                    _, session = await worker.take()
                    await worker.answer(session)
                    assert (await client.response())[0] == 200

    with start(redis()) as host:
        asyncio.run(main(host))


def test_a_worker_dies_and_redis_was_emptied(redis_server: Host) -> None:
    """L10: what a dead worker had read cannot be looked for any more; its clients get a 502."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=3) as (gateway, worker):
            taken, read = get(gateway), get(gateway)
            await worker.take()
            await worker.read()
            await worker.die()
            await gateway.bus.link.call("XGROUP", "DESTROY", gateway.bus.keys.requests, GROUP)
            assert (await taken.response())[0] == 502
            assert (await read.response())[0] == 503  # it is in the queue again

    asyncio.run(main())


def test_redis_refuses_to_withdraw_it(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: its client gets 503 all the same, and the time of later ones is looked at."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=0.3) as (gateway, worker):
            client = get(gateway)
            await queued(gateway)
            link, requests = worker.bus.link, worker.bus.keys.requests
            await link.call("SET", requests, "of another program")
            assert (await client.response())[0] == 503
            assert "does another program use keys of the same prefix?" in caplog.text
            await link.call("DEL", requests)
            assert (await get(gateway).response())[0] == 503
            await until(lambda: "1 request got 503: no worker has taken it" in caplog.text)

    asyncio.run(main())


def test_a_stranger_has_read_it(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: no process has a name like its, so it is a 502; others are not concerned."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=1) as (gateway, worker):
            client = get(gateway)
            await queued(gateway)
            (waiting,) = gateway.requests._waiting.values()
            await worker.bus.link.call(
                *("XREADGROUP", "GROUP", GROUP, b"w.\xff", "COUNT", 1),
                *("STREAMS", worker.bus.keys.requests, ">"),
            )
            assert waiting.entry is not None
            assert await worker.claim(waiting.entry)
            assert (await client.response())[0] == 502
            assert "b'w.\\xff', which was to run it, is gone" in caplog.text
            assert (await get(gateway).response())[0] == 503

    asyncio.run(main())


def test_it_is_taken_while_one_looks_for_it(redis_server: Host) -> None:
    """L10: a request that a worker takes just before it would be given up runs."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await queued(gateway)
            (waiting,) = gateway.requests._waiting.values()
            entry, request = await worker.read()
            assert await worker.claim(entry)
            await worker.bus.link.call("XACK", worker.bus.keys.requests, GROUP, entry)
            waiting.claimed, waiting.deadline = True, 0.0
            looking = asyncio.create_task(gateway.requests.tick())
            await asyncio.sleep(0)
            waiting.session.peer = worker.bus.name
            waiting.session.deliver(
                Frame(gateway.bus.name, request.session, 0, protocol.TAKEN, protocol.SESSION)
            )
            await looking
            assert waiting.session.over is None
            client.task.cancel()
            await asyncio.wait([client.task])

    asyncio.run(main())


def test_many_requests_of_one_turn(redis_server: Host) -> None:
    """L10: they go into the queue together; those for which it has no room are told."""

    async def main() -> None:
        limit = MOST_ASKED + 20
        async with both(redis_url(redis_server), queue_limit=limit) as (gateway, worker):
            clients = [get(gateway, f"/{number}") for number in range(limit + 5)]
            for client in clients[limit:]:
                assert (await client.response())[0] == 503
            for number, client in enumerate(clients[:limit]):
                request, session = await worker.take()
                assert request.scope["path"] == f"/{number}"
                await worker.answer(session)
                assert (await client.response())[0] == 200

    asyncio.run(main())


def test_redis_is_lost_in_the_turn_of_a_request(redis_server: Host) -> None:
    """L10: what had not left is a 503 as well, and is in no queue."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await asyncio.sleep(0)
            gateway.bus.link.lose("is lost by a test")
            assert (await client.response())[0] == 503
            await until(lambda: gateway.bus.up and worker.bus.up)
            link, requests = worker.bus.link, worker.bus.keys.requests
            while await link.call("XLEN", requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it

    asyncio.run(main())
