"""Consumers of ASGI 1 on workers, called for the clients of a gateway."""

from __future__ import annotations

import asyncio

import pytest

from bridge.asgi1.http_body import RequestBody
from bridge.errors import BridgeError, LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.consumer_content import TELLS_APART, session_channel
from bridge.gateway.front import consumers as consumers_module
from bridge.gateway.front.consumers import AppFailed, read_told
from bridge.gateway.session import SessionLost
from bridge.types import Message
from tests.support.gateways import TOLD, both, gateway_of, get, new_prefix, until, within
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_what_a_worker_tells() -> None:
    """L13: what is malformed is the worker's fault."""
    assert read_told(TOLD).subprotocols == ["chat"]
    for wrong in ({}, {**TOLD, "response_timeout": "x"}, {**TOLD, "subprotocols": 3}):
        with pytest.raises(SessionLost):
            read_told(wrong)


def test_a_call(redis_server: Host) -> None:
    """L9: a message is a request of its own; its call ends when the worker says so."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            consumers = gateway._consumers
            for end, raised in (
                ((protocol.END, None), None),
                ((protocol.END, "it raised"), AppFailed),
                ((protocol.CANCEL, None), SessionLost),
            ):
                content: Message = {"reply_channel": "x!1", "text": "a"}
                call = consumers.start("websocket.receive", content)
                request, session = await worker.take_message()
                assert request.scope["channel"] == "websocket.receive"
                assert request.scope["content"] == content
                await session.send({"type": "of another release"})
                session.write(*end)
                if raised is None:
                    await within(call)
                    continue
                expected: type[BridgeError] = raised
                with pytest.raises(expected):
                    await within(call)
            assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_a_call_is_cancelled(redis_server: Host) -> None:
    """L10: the worker is told, also when the gateway ends."""

    async def main() -> None:
        prefix = new_prefix()
        async with both(redis_url(redis_server)) as (gateway, worker):
            call = gateway._consumers.start("http.request", {})
            _, session = await worker.take_message()
            await gateway._consumers.close()
            with pytest.raises(asyncio.CancelledError):
                await within(call)
            await until(lambda: session.over)
        async with gateway_of(redis_url(redis_server), prefix) as gateway:
            gateway.bus.link.lose("is gone, this test says")
            with pytest.raises(LayerUnavailable):
                await gateway._consumers.call("http.request", {})

    asyncio.run(main())


def test_a_body(redis_server: Host) -> None:
    """L9: a body is read from the client as the consumer reads it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for last in ({"type": "http.request", "body": b"b"}, {"type": "http.disconnect"}):
                events: asyncio.Queue[Message] = asyncio.Queue()
                left: list[int] = []
                body = RequestBody(events.get, None, lambda left=left: left.append(1))  # type: ignore[misc]
                call = gateway._consumers.start("http.request", {}, body)
                request, session = await worker.take_message()
                assert request.scope["more_body"] is True
                events.put_nowait({"type": "http.request", "body": b"a", "more_body": True})
                events.put_nowait(last)
                piece = await within(session.read())
                assert piece == {"type": "http.request", "body": b"a", "more_body": True}
                piece = await within(session.read())
                assert piece is not None
                assert piece["type"] == last["type"]
                session.write(protocol.END, None)
                await within(call)

    asyncio.run(main())


def test_a_body_that_is_not_wanted(redis_server: Host) -> None:
    """L9: nothing is read for a consumer that does not ask, and its end ends the upload."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            body = RequestBody(asyncio.Queue().get, None, lambda: None)
            call = gateway._consumers.start("http.request", {}, body)
            _, session = await worker.take_message()
            await asyncio.sleep(0)
            session.write(protocol.END, None)
            await within(call)

    asyncio.run(main())


def test_redis_is_lost(redis_server: Host) -> None:
    """L10: those who wait for replies are told, as long as they want to be."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, _):
            consumers = gateway._consumers
            await consumers.open()
            await consumers.open()
            heard: list[BridgeError] = []
            unheard: list[BridgeError] = []
            consumers.tell_of_loss(heard.append)
            end = consumers.tell_of_loss(unheard.append)
            end()
            consumers._store.link.lose("is gone, this test says")
            assert (len(heard), len(unheard)) == (1, 0)

    asyncio.run(main())


def test_a_call_that_a_worker_has_begun(redis_server: Host) -> None:
    """L9: its session may have replies; it ends as any call."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for last in ({"type": "of another release"}, TELLS_APART):
                asked = gateway.requests.ask({"type": "http"}, [], lambda: None)
                _, session = await worker.read_and_claim()
                replies: list[Message] = []
                call = gateway._consumers.follow(asked, replies.append)
                session.write(protocol.TAKEN, protocol.CONSUMER)
                reply = {"status": 200}
                events = [{"type": protocol.CONSUMERS, "reply": reply}, last]
                session.write(protocol.EVENTS, events)
                session.write(protocol.END, None)
                assert await within(call) is (last == TELLS_APART)
                assert replies == [reply]

    asyncio.run(main())


def test_early_replies(redis_server: Host) -> None:
    """L9: what comes before the gateway knows of the consumer is kept, and nothing else."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            await gateway._consumers.open()
            client = get(gateway)
            request, session = await worker.read_and_claim()
            queue = request.scope["extensions"][protocol.CONSUMERS]["replies"]
            channel = session_channel(queue, request.session)
            other = session_channel(queue, request.session + 1)
            for number in (b"1", b"2"):
                more = {"status": 200, "more_content": True} if number == b"1" else {}
                await worker.layer.send(channel, {"content": number, **more})
                await worker.layer.send(other, {"content": b"of nobody"})
            await until(lambda: len(gateway._consumers._early.get(channel, ())) == 2)
            session.write(protocol.TAKEN, protocol.CONSUMER)
            event = {"type": protocol.CONSUMERS, **TOLD, "called": True}
            session.write(protocol.EVENTS, [event])
            assert (await client.response())[::2] == (200, b"12")
            assert gateway._consumers._early == {}

    asyncio.run(main())


def test_too_many_early_replies(
    redis_server: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L13: a stranger cannot fill a gateway."""
    monkeypatch.setattr(consumers_module, "MOST_EARLY", 2)

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            await gateway._consumers.open()
            get(gateway)
            request, session = await worker.read_and_claim()
            queue = request.scope["extensions"][protocol.CONSUMERS]["replies"]
            channel = session_channel(queue, request.session)
            for _ in range(3):
                await worker.layer.send(channel, {"content": b"early"})
            await until(lambda: "was dropped" in caplog.text)
            assert len(gateway._consumers._early[channel]) == 2
            session.write(protocol.ANSWER, [200, [], b""])

    asyncio.run(main())


def test_early_replies_to_what_is_answered(redis_server: Host) -> None:
    """L9: they are forgotten when the next one comes."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            await gateway._consumers.open()
            early = gateway._consumers._early
            channels = []
            for _ in range(2):
                client = get(gateway)
                request, session = await worker.read_and_claim()
                queue = request.scope["extensions"][protocol.CONSUMERS]["replies"]
                channels.append(session_channel(queue, request.session))
                await worker.layer.send(channels[-1], {"content": b"early"})
                await until(lambda: channels[-1] in early)
                assert len(early) == 1
                session.write(protocol.ANSWER, [200, [], b""])
                await client.ends()

    asyncio.run(main())
