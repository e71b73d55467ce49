"""One HTTP request to a consumer on a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.consumer_content import TELLS_APART
from bridge.gateway.front.consumers import AppFailed
from bridge.limits import HIGH_WATER
from bridge.types import Message
from tests.support.gateways import (
    TOLD,
    Client,
    ScriptedWorker,
    both,
    get,
    http_scope,
    piece,
    queued,
    until,
    within,
    worker_of,
)
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_hello(redis_server: Host) -> None:
    """L9: the consumer gets the message of ASGI 1, and its reply is the response."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            fields = ((b"x_evil", b"1"), (b"content-length", b"3"))
            client = Client(gateway, http_scope("POST", "/a", *fields), piece(b"abc", more=False))
            request, session = await worker.take_consumers()
            content = request.scope["content"]
            assert request.scope["channel"] == "http.request"
            reply_channel = content.pop("reply_channel")
            assert content == {
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": "/a",
                "query_string": b"",
                "root_path": "",
                "headers": [[b"host", b"example.com"], [b"content-length", b"3"]],
                "body": b"abc",
                "client": ["127.0.0.1", 4000],
                "server": ["127.0.0.1", 80],
            }
            await worker.layer.send(reply_channel, {"status": 201, "content": b"hello"})
            assert (await client.response())[::2] == (201, b"hello")
            await client.ends()
            session.write(protocol.END, None)

    asyncio.run(main())


def test_a_stream_outlives_its_worker(redis_server: Host) -> None:
    """L9: replies come from whichever process, long after the call of the consumer."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            request, session = await worker.take_consumers()
            channel = request.scope["content"]["reply_channel"]
            await worker.layer.group_add("events", channel)
            first = {"status": 200, "content": b"1", "more_content": True}
            await worker.layer.send(channel, first)
            session.write(protocol.END, None)
            assert (await client.hears())["status"] == 200
            assert (await client.hears())["body"] == b"1"
            await worker.die()
            async with worker_of(redis_url(redis_server), gateway.bus.keys.prefix) as other:
                await other.layer.send_group("events", {"content": b"2", "more_content": True})
                assert (await client.hears())["body"] == b"2"
                await other.layer.send_group("events", {"content": b"3"})
                assert (await client.hears())["body"] == b"3"
                await client.ends()

    asyncio.run(main())


@pytest.mark.parametrize("takes_channels", [True, False])
def test_a_large_body(redis_server: Host, takes_channels: bool) -> None:
    """L9: the message has its beginning or nothing, and the rest comes as it is read."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            size = 3 * HIGH_WATER
            scope = http_scope("POST", "/", (b"content-length", b"%d" % size))
            data = b"x" * (size // 4)
            client = Client(gateway, scope, piece(data))
            taking = asyncio.ensure_future(worker.take_consumers(takes_channels=takes_channels))
            for more in (True, True, False):
                client.say(piece(data, more=more))
            request, session = await within(taking)
            assert request.scope["more_body"] is True
            got = len(request.scope["content"]["body"])
            while (event := await within(session.read()))["more_body"]:
                got += len(event["body"])
            assert got + len(event["body"]) == size
            channel = request.scope["content"]["reply_channel"]
            await worker.layer.send(channel, {"status": 200, "content": b""})
            assert (await client.response())[0] == 200

    asyncio.run(main())


async def _open_stream(worker: ScriptedWorker, client: Client, **told: Any) -> None:
    """Have the response begin."""
    request, session = await worker.take_consumers(**told)
    channel = request.scope["content"]["reply_channel"]
    first = {"status": 200, "content": b"1", "more_content": True}
    await worker.layer.send(channel, first)
    assert (await client.hears())["status"] == 200
    await client.hears()
    session.write(protocol.END, None)


@pytest.mark.parametrize("how", ["says", "raises", "sends"])
def test_the_client_leaves(redis_server: Host, how: str) -> None:
    """L9: the consumer is told, by a message of its own."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            request, session = await worker.take_consumers()
            channel = request.scope["content"]["reply_channel"]
            session.write(protocol.END, None)
            if how == "says":
                client.say(piece(b"", more=False))
                client.say({"type": "http.disconnect"})
            elif how == "raises":
                client.fail(ConnectionResetError("gone"))
            else:
                client.gone = True
                more = {"status": 200, "content": b"", "more_content": True}
                await worker.layer.send(channel, more)
            await client.ends()
            request, session = await worker.take_message()
            assert request.scope["channel"] == "http.disconnect"
            assert request.scope["content"] == {"reply_channel": channel, "path": "/"}
            session.write(protocol.END, None)

    asyncio.run(main())


def test_it_is_not_told_that_its_client_has_left(
    redis_server: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """L10: if no worker is there to be told, the log says so."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=0.3) as (gateway, worker):
            client = get(gateway)
            await worker.take_consumers()
            client.say({"type": "http.disconnect"})
            await client.ends()
            await until(lambda: "a consumer was not told that its client has left" in caplog.text)

    asyncio.run(main())


def test_the_client_leaves_in_its_body(redis_server: Host) -> None:
    """L9: before the message is made, nobody is called."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            scope = http_scope("POST", "/", (b"content-length", b"10"))
            client = Client(gateway, scope, piece(b"x"), {"type": "http.disconnect"})
            _, session = await worker.read_and_claim()
            session.write(protocol.TAKEN, protocol.CONSUMER)
            session.write(protocol.EVENTS, [{"type": protocol.CONSUMERS, **TOLD}])
            await client.ends()
            assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_calls_that_fail(redis_server: Host) -> None:
    """L10: 500, 502 and 503, as for other apps; afterwards the response is cut."""

    async def main() -> None:
        async with both(redis_url(redis_server), timeout_queue=0.3) as (gateway, worker):
            for end, status in (
                ((protocol.END, "it raised"), 500),
                ((protocol.CANCEL, None), 502),
            ):
                client = get(gateway)
                _, session = await worker.take_consumers()
                session.write(*end)
                assert (await client.response())[0] == status
            client = get(gateway)
            await worker.take_consumers(response_timeout=0.2)
            assert (await client.response())[0] == 503
            client = get(gateway)
            request, session = await worker.take_consumers(response_timeout=0.2)
            channel = request.scope["content"]["reply_channel"]
            more = {"status": 200, "content": b"", "more_content": True}
            await worker.layer.send(channel, more)
            assert (await client.hears())["status"] == 200
            session.write(protocol.END, "it raised")
            with pytest.raises(Exception, match="it raised"):
                await client.ends()

    asyncio.run(main())


def test_a_worker_that_tells_nonsense(redis_server: Host) -> None:
    """L13: it is a 502."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.read_and_claim()
            session.write(protocol.TAKEN, protocol.CONSUMER)
            session.write(protocol.EVENTS, [{"type": protocol.CONSUMERS}])
            assert (await client.response())[0] == 502

    asyncio.run(main())


def test_redis_is_lost(redis_server: Host) -> None:
    """L10: a stream whose replies may be lost is cut."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await _open_stream(worker, client, response_timeout=2)
            await asyncio.sleep(2.1)  # its first reply has come; no other need come in time
            gateway._consumers._store.link.lose("is gone, this test says")
            with pytest.raises(LayerUnavailable):
                await client.ends()

    asyncio.run(main())


def test_a_call_that_the_gateway_cancels(redis_server: Host) -> None:
    """L10: a gateway that ends answers what it still has."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await worker.take_consumers()
            await gateway._consumers.close()
            assert (await client.response())[0] == 500

    asyncio.run(main())


def test_it_has_waited_in_the_queue(redis_server: Host) -> None:
    """L9: a client that is listened to already is handed over all the same."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await queued(gateway)
            await until(lambda: client.asked == 2)
            request, session = await worker.take_consumers()
            channel = request.scope["content"]["reply_channel"]
            await worker.layer.send(channel, {"status": 200, "content": b"late"})
            assert (await client.response())[2] == b"late"
            session.write(protocol.END, None)

    asyncio.run(main())


# ------------------------------------------------------------- called by the worker at once


def test_called_at_once(redis_server: Host) -> None:
    """L9: the worker has begun the call; replies come by the layer, or in its session."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for by_layer in (True, False):
                client = get(gateway)
                channel, session = await worker.take_called()
                reply = {"status": 201, "content": b"hello"}
                if by_layer:
                    await worker.layer.send(channel, reply)
                else:
                    session.write(protocol.EVENTS, [{"type": protocol.CONSUMERS, "reply": reply}])
                assert (await client.response())[::2] == (201, b"hello")
                await client.ends()
                session.write(protocol.END, None)
            await until(lambda: gateway.bus.sessions == 0)
            assert await worker.bus.link.call("XLEN", worker.bus.keys.requests) == 0

    asyncio.run(main())


def test_replies_that_come_with_the_end_of_the_call(redis_server: Host) -> None:
    """L3 L9: none is lost, whether the gateway learns first of the consumer, or gets a reply."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            clients = [get(gateway) for _ in range(200)]
            for _ in clients:
                channel, session = await worker.take_called()
                session.write(protocol.END, None)
                first = {"status": 200, "content": b"hel", "more_content": True}
                await worker.layer.send(channel, first)
                await worker.layer.send(channel, {"content": b"lo"})
            for client in clients:
                assert (await client.response())[::2] == (200, b"hello")

    asyncio.run(main())


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    "reply",
    [{"status": "text"}, {"status": 200, "content": "text"}, {"status": 99}, {"nothing": 1}],
)
def test_replies_that_are_wrong(
    redis_server: Host, begun: bool, reply: Message, caplog: pytest.LogCaptureFixture
) -> None:
    """L13: a 500 at once, or a cut response; the log says what it was, and whose fault."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            channel, session = await worker.take_called(response_timeout=600)
            if begun:
                first = {"status": 200, "content": b"1", "more_content": True}
                await worker.layer.send(channel, first)
                assert (await client.hears())["status"] == 200
            await worker.layer.send(channel, reply)
            if begun:
                with pytest.raises(AppFailed):
                    await client.ends()
            else:
                assert (await client.response())[0] == 500
            session.write(protocol.END, None)

    asyncio.run(main())
    said = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert said[0].startswith("GET /: the app has sent a reply that is none: ")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("early", [True, False])
def test_the_consumer_tells_messages_apart(redis_server: Host, at_once: bool, early: bool) -> None:
    """L4: it is told of the end of a complete response."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            if at_once:
                channel, session = await worker.take_called()
            else:
                request, session = await worker.take_consumers()
                channel = request.scope["content"]["reply_channel"]
            if early:
                session.write(protocol.EVENTS, [TELLS_APART])
                session.write(protocol.END, None)
            await worker.layer.send(channel, {"status": 200, "content": b"hello"})
            assert (await client.response())[0] == 200
            await client.ends()
            if not early:
                session.write(protocol.EVENTS, [TELLS_APART])
                session.write(protocol.END, None)
            request, session = await worker.take_message()
            assert request.scope["channel"] == "http.disconnect"
            assert request.scope["content"] == {"reply_channel": channel, "path": "/"}
            session.write(protocol.END, None)

    asyncio.run(main())


def test_the_client_left_before(redis_server: Host) -> None:
    """L10: the worker, which called its consumer, is told of it; the gateway is done."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await queued(gateway)
            await until(lambda: client.asked == 2)
            _, session = await worker.read_and_claim()
            session.write(protocol.TAKEN, protocol.CONSUMER)
            client.say({"type": "http.disconnect"})
            await until(lambda: session.over)
            event = {"type": protocol.CONSUMERS, **TOLD, "called": True}
            session.write(protocol.EVENTS, [event])
            await client.ends()

    asyncio.run(main())
