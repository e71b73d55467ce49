"""One WebSocket that a worker has."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from bridge.errors import BridgeError
from bridge.gateway import protocol
from bridge.gateway.credits import WINDOW
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.session import Session
from tests.support.gateways import (
    Client,
    ScriptedWorker,
    both,
    queued,
    socket_scope,
    until,
    within,
    worker_of,
)
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


# ------------------------------------------------------------- consumers of ASGI 1


async def _open_consumers(worker: ScriptedWorker, client: Client) -> str:
    """Have a consumer accept; return its reply channel."""
    request, session = await worker.take_consumers()
    content = request.scope["content"]
    assert (request.scope["channel"], content["order"]) == ("websocket.connect", 0)
    channel: str = content["reply_channel"]
    await worker.layer.send(channel, {"accept": True})
    session.write(protocol.END, None)
    accept = await client.hears()
    assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", "chat")
    return channel


def test_messages_of_consumers(redis_server: Host) -> None:
    """L9: one call for each message, one after the other, on whichever worker is there."""

    async def main() -> None:
        url = redis_url(redis_server)
        async with both(url) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            channel = await _open_consumers(worker, client)
            for text in ("a", "b"):
                client.say({"type": "websocket.receive", "text": text})
            request, session = await worker.take_message()
            assert request.scope["content"]["text"] == "a"
            assert await worker.bus.link.call("XLEN", worker.bus.keys.requests) == 0
            session.write(protocol.END, None)
            async with worker_of(url, gateway.bus.keys.prefix) as other:
                request, session = await other.take_message()
                content = request.scope["content"]
                assert (content["text"], content["order"]) == ("b", 2)
                await other.layer.send(channel, {"text": "B"})
                session.write(protocol.END, None)
                assert (await client.hears())["text"] == "B"
                client.say({"type": "websocket.disconnect", "code": 1001})
                request, session = await other.take_message()
                assert request.scope["channel"] == "websocket.disconnect"
                assert request.scope["content"]["code"] == 1001
                session.write(protocol.END, None)
                await client.ends()

    asyncio.run(main())


def test_a_consumer_that_fails(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: its WebSocket is closed with 1011, and the reason is logged."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            await _open_consumers(worker, client)
            client.say({"type": "websocket.receive", "text": "a"})
            _, session = await worker.take_message()
            session.write(protocol.END, "it raised")
            assert (await client.hears())["code"] == 1011
            request, session = await worker.take_message()
            assert request.scope["channel"] == "websocket.disconnect"
            session.write(protocol.END, None)
            await client.ends()

    asyncio.run(main())
    assert "WebSocket /: it raised" in caplog.text


def test_a_worker_that_dies_in_a_call(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: the client is to come back, 1012, and the consumer is told so elsewhere."""

    async def main() -> None:
        url = redis_url(redis_server)
        async with both(url) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            await _open_consumers(worker, client)
            client.say({"type": "websocket.receive", "text": "a"})
            await worker.take_message()
            await worker.die()
            assert (await client.hears())["code"] == 1012
            async with worker_of(url, gateway.bus.keys.prefix) as other:
                request, session = await other.take_message()
                assert request.scope["channel"] == "websocket.disconnect"
                assert request.scope["content"]["code"] == 1012
                session.write(protocol.END, None)
                await client.ends()

    asyncio.run(main())
    assert "WebSocket /: w." in caplog.text


def test_a_handshake_of_consumers_is_lost(redis_server: Host) -> None:
    """L10: what the worker that dies had, and what none has taken, has the response of that."""

    async def main() -> None:
        url = redis_url(redis_server)
        async with both(url, timeout_queue=0.5) as (gateway, worker):
            taken = Client(gateway, socket_scope(), _CONNECT)
            await worker.take_consumers()
            waits = Client(gateway, socket_scope(), _CONNECT)
            await worker.hand_back()
            while not await worker.bus.link.call("XLEN", worker.bus.keys.requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
            await worker.die()
            assert (await taken.response())[0] == 502
            assert (await waits.response())[0] == 503

    asyncio.run(main())


def test_redis_is_lost_for_consumers(redis_server: Host) -> None:
    """L10: replies may be lost, so the client is to come back: 1012."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            await _open_consumers(worker, client)
            gateway.bus.link.lose("is gone, this test says")
            gateway._consumers._store.link.lose("is gone, this test says")
            assert (await client.hears())["code"] == 1012
            await client.ends()

    asyncio.run(main())


def test_redis_is_lost_in_a_call(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: the call fails, and replies may be lost: it is one end, and nothing else is logged."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            await _open_consumers(worker, client)
            client.say({"type": "websocket.receive", "text": "a"})
            await worker.take_message()
            gateway.bus.link.lose("is gone, this test says")
            await asyncio.sleep(0)  # the call has failed, and nothing has noticed that yet
            await asyncio.sleep(0)
            gateway._consumers._store.link.lose("is gone, this test says")
            assert (await client.hears())["code"] == 1012
            await client.ends()

    asyncio.run(main())
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_host_that_fails(redis_server: Host) -> None:
    """L10: what the host raises is the host's to tell."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            await _open_consumers(worker, client)
            client.fail(ValueError("of the host"))
            request, session = await worker.take_message()
            assert request.scope["channel"] == "websocket.disconnect"
            session.write(protocol.END, None)
            with pytest.raises(ValueError, match="of the host"):
                await client.ends()

    asyncio.run(main())


def test_a_reply_that_is_wrong(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: 1011 at once, a 500 for a handshake; the log says what it was, and whose fault."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, socket_scope(), _CONNECT)
            channel = await _open_consumers(worker, client)
            await worker.layer.send(channel, {"text": 3})
            assert (await client.hears())["code"] == 1011
            request, session = await worker.take_message()
            content = request.scope["content"]
            assert (request.scope["channel"], content["code"]) == ("websocket.disconnect", 1011)
            session.write(protocol.END, None)
            await client.ends()
            client = Client(gateway, socket_scope(), _CONNECT)
            request, session = await worker.take_consumers()
            await worker.layer.send(request.scope["content"]["reply_channel"], {"accept": "yes"})
            assert (await client.response())[0] == 500
            session.write(protocol.END, None)
            _, session = await worker.take_message()
            session.write(protocol.END, None)
            await client.ends()

    asyncio.run(main())
    said = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert [each.partition(" is none: ")[0] for each in said] == [
        "WebSocket /: the app has sent a reply that"
    ] * 2
