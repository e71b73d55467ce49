"""One WebSocket that a worker has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import BridgeError
from bridge.gateway import protocol
from bridge.gateway.credits import WINDOW
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.session import Session
from tests.support.gateways import Client, ScriptedWorker, both, queued, socket_scope, until, within
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis

_CONNECT = {"type": "websocket.connect"}


async def _open(gateway: Gateway, worker: ScriptedWorker) -> tuple[Client, Session]:
    """A WebSocket that the app has accepted."""
    client = Client(gateway, socket_scope(), _CONNECT)
    request, session = await worker.take()
    assert request.scope["subprotocols"] == ["chat"]
    assert await within(session.read()) == _CONNECT
    accept = {"type": "websocket.accept", "subprotocol": "chat", "headers": []}
    await session.send(accept)
    assert await client.hears() == accept
    return client, session


def test_messages_both_ways(redis_server: Host) -> None:
    """L9: a WebSocket of an app on a worker: subprotocol, messages, close and its code."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client, session = await _open(gateway, worker)
            for number in range(20):
                client.say({"type": "websocket.receive", "text": str(number)})
            for number in range(20):
                event = await within(session.read())
                assert event == {"type": "websocket.receive", "text": str(number)}
                await session.send({"type": "websocket.send", "bytes": bytes([number])})
                assert await client.hears() == {"type": "websocket.send", "bytes": bytes([number])}
            close = {"type": "websocket.close", "code": 4000, "reason": "enough"}
            await session.send(close)
            assert await client.hears() == close
            end = {"type": "websocket.disconnect", "code": 4000, "reason": "enough"}
            client.say(end)
            assert await within(session.read()) == end
            await client.ends()

    asyncio.run(main())


def test_the_client_leaves(redis_server: Host) -> None:
    """L9: the app gets the disconnect with its code, after all that came before it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client, session = await _open(gateway, worker)
            large = {"type": "websocket.receive", "bytes": b"x" * WINDOW}
            end = {"type": "websocket.disconnect", "code": 1001, "reason": ""}
            for event in (large, large, end):
                client.say(event)
            assert [await within(session.read()) for _ in range(3)] == [large, large, end]
            session.write(protocol.END, None)
            await client.ends()

    asyncio.run(main())


def test_a_response_instead(redis_server: Host) -> None:
    """L9: an app may refuse by a response of its own."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            _, session = await worker.take()
            denial: dict[str, Any] = {"type": "websocket.http.response.start", "status": 401}
            await session.send({**denial, "headers": [(b"x-why", b"because")]})
            body = {"type": "websocket.http.response.body", "body": b"no"}
            await session.send({**body, "more_body": True})
            await session.send(body)
            session.write(protocol.END, None)
            assert await client.response() == (401, {b"x-why": b"because"}, b"nono")
            await client.ends()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "end", "heard"),
    [
        # The handshake has no answer yet.
        ([], (protocol.END, "it raised"), 500),
        ([], (protocol.END, None), 500),
        ([], (protocol.CANCEL, None), 502),
        # It is open.
        (["accept"], (protocol.END, "it raised"), 1011),
        (["accept"], (protocol.CANCEL, None), 1012),
        # The app has closed it itself.
        (["accept", "close"], (protocol.END, "it raised"), None),
    ],
)
def test_the_end_of_a_session(
    redis_server: Host, sent: list[str], end: tuple[int, Any], heard: int | None
) -> None:
    """L10: what a client gets if the app fails, or its worker has lost the session."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            _, session = await worker.take()
            for kind in sent:
                await session.send({"type": f"websocket.{kind}"})
                await client.hears()
            session.write(*end)
            if not sent:
                assert (await client.response())[0] == heard
            elif heard:
                assert (await client.hears())["code"] == heard
            await client.ends()

    asyncio.run(main())


def test_an_app_that_returns(redis_server: Host) -> None:
    """L9: the host closes the WebSocket of an app that has returned, as without a gateway."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client, session = await _open(gateway, worker)
            session.write(protocol.END, None)
            await client.ends()

    asyncio.run(main())


def test_a_refusal_that_is_not_finished(redis_server: Host) -> None:
    """L10: the host is given an error, so that it cuts the response."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            _, session = await worker.take()
            denial = {"type": "websocket.http.response.start", "status": 401, "headers": []}
            await session.send(denial)
            session.write(protocol.END, None)
            with pytest.raises(BridgeError, match="with its response unfinished"):
                await client.ends()

    asyncio.run(main())


def test_a_host_without_denial_responses(redis_server: Host) -> None:
    """L10: it closes, which hosts make a 403 of."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(extensions=None), _CONNECT)
            _, session = await worker.take()
            session.write(protocol.END, None)
            assert await client.hears() == {"type": "websocket.close"}
            await client.ends()

    asyncio.run(main())


def test_a_client_that_leaves_before_the_answer(redis_server: Host) -> None:
    """L9: the app is told."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            _, session = await worker.take()
            assert await within(session.read()) == _CONNECT
            end = {"type": "websocket.disconnect", "code": 1006}
            client.say(end)
            assert await within(session.read()) == end
            await until(lambda: client.task.done())

    asyncio.run(main())


def test_a_client_that_leaves_the_queue(redis_server: Host) -> None:
    """L10: its request is withdrawn."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            await queued(gateway)
            client.say({"type": "websocket.disconnect", "code": 1006})
            await client.ends()
            link, requests = worker.bus.link, worker.bus.keys.requests
            while await link.call("XLEN", requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it

    asyncio.run(main())
