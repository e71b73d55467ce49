"""What HTTP requests and WebSockets on a gateway have in common."""

from __future__ import annotations

import asyncio

import pytest

from bridge.gateway import protocol
from bridge.gateway.credits import WINDOW
from tests.support.gateways import (
    Client,
    both,
    get,
    http_scope,
    piece,
    socket_scope,
    start,
    until,
    within,
)
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_only_what_a_worker_can_do_is_offered(redis_server: Host) -> None:
    """L9: files by their path are not: they are on the worker's machine."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for offered, found in (
                (
                    {"http.response.pathsend": {}, "tls": {"tls_version": 772}},
                    {"tls": {"tls_version": 772}},
                ),
                ({"http.response.early_hint": {}}, {"http.response.early_hint": {}}),
                (None, None),
            ):
                scope = {**http_scope(), "extensions": offered}
                client = Client(gateway, scope, piece(b"", more=False))
                request, session = await worker.take()
                assert request.scope["extensions"] == found
                await worker.answer(session)
                await client.response()

    asyncio.run(main())


def test_the_host_cancels(redis_server: Host) -> None:
    """L10: a host that cancels a request has it cancelled on the worker."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, http_scope("POST"), piece(b"a"))
            _, session = await worker.take()
            client.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client.ends()
            await until(lambda: session.over)
            assert session.over is not None
            assert session.over.how == protocol.CANCEL

    asyncio.run(main())


def test_the_end_of_the_session_ends_the_upload(redis_server: Host) -> None:
    """L9: a client whose upload waits for room is let go when the app has answered."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, http_scope("POST"), piece(b"x" * WINDOW))
            _, session = await worker.take()
            client.say(piece(b"y"))
            await session.send(start())
            assert (await client.hears())["status"] == 200
            session.write(protocol.END, "no more")
            await asyncio.wait([client.task])
            assert client.task.exception() is not None

    asyncio.run(main())


def test_redis_is_lost(redis_server: Host) -> None:
    """L10: 503 before a response starts, also for what is asked meanwhile."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.take()
            gateway.bus.link.lose("is gone, this test says")
            late = get(gateway)
            status, fields, _ = await client.response()
            assert (status, fields[b"retry-after"]) == (503, b"1")
            assert (await late.response())[0] == 503
            await until(lambda: session.over)

    asyncio.run(main())


def test_the_log_names_what_was_asked(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: with the worker that had it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), {"type": "websocket.connect"})
            _, session = await worker.take()
            session.write(protocol.END, "it raised")
            assert (await client.response())[0] == 500
            await within(client.ends())
            assert f"WebSocket / on {worker.bus.name}: it raised" in caplog.text

    asyncio.run(main())
