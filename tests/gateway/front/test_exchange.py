"""What HTTP requests and WebSockets on a gateway have in common."""

from __future__ import annotations

import asyncio

import pytest

from bridge.gateway import protocol
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import Frame
from bridge.types import Message, Receive, Scope, Send
from tests.support.gateways import (
    TOLD,
    Client,
    both,
    get,
    http_scope,
    piece,
    queued,
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
                (None, {}),
            ):
                scope = {**http_scope(), "extensions": offered}
                client = Client(gateway, scope, piece(b"", more=False))
                request, session = await worker.take()
                assert request.scope["extensions"] == {
                    protocol.CONSUMERS: gateway._consumers.offer,
                    **found,
                }
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
            scope = socket_scope(path="/\nERROR")
            client = Client(gateway, scope, {"type": "websocket.connect"})
            _, session = await worker.take()
            session.write(protocol.END, "it raised")
            assert (await client.response())[0] == 500
            await within(client.ends())
            assert f"WebSocket /%0AERROR on {worker.bus.name}: it raised" in caplog.text

    asyncio.run(main())


def test_a_worker_sends_a_file_of_the_gateway(
    redis_server: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """L13: it was not offered to it: 502, whatever the host can do."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.take()
            await session.send({"type": "http.response.pathsend", "path": __file__})
            assert (await client.response())[0] == 502
            await within(client.ends())
            assert f"on {worker.bus.name}: it has sent 'http.response.pathsend'" in caplog.text
            await until(lambda: session.over)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("scope", "end"),
    [
        (http_scope(), {"type": "http.disconnect"}),
        (socket_scope(), {"type": "websocket.disconnect", "code": 1006}),
    ],
)
def test_a_client_that_leaves_at_once(redis_server: Host, scope: Scope, end: Message) -> None:
    """L10: nobody is asked for it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            await Client(gateway, scope, end).ends()
            about = await worker.bus.link.call("XINFO", "STREAM", worker.bus.keys.requests)
            assert dict(zip(about[::2], about[1::2], strict=True))[b"entries-added"] == 0

    asyncio.run(main())


@pytest.mark.parametrize("leave", ["says", "raises", "sends"])
def test_a_client_that_leaves_while_it_is_answered(redis_server: Host, leave: str) -> None:
    """L10: the worker is told, whether `receive` says it, or raises, or `send` does."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.take()
            await session.send(start())
            await client.hears()
            if leave == "says":
                client.say({"type": "http.disconnect"})
            elif leave == "raises":
                client.fail(ConnectionResetError("gone"))
            else:
                client.gone = True
                part = {"type": "http.response.body", "body": b"x", "more_body": True}
                await session.send(part)
            await until(lambda: session.over)
            assert session.over is not None
            assert session.over.how == protocol.CANCEL
            await client.ends()

    asyncio.run(main())


def test_a_client_that_has_left_its_error(redis_server: Host) -> None:
    """L10: a refusal that cannot be sent is no error of the gateway."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            client.gone = True
            _, session = await worker.take()
            session.write(protocol.END, None)
            await client.ends()

    asyncio.run(main())


def test_an_app_that_ends_as_it_should(redis_server: Host) -> None:
    """L9: an open WebSocket whose app returns is left to the host; a whole response is no error."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            socket = Client(gateway, socket_scope(), {"type": "websocket.connect"})
            _, session = await worker.take()
            await session.send({"type": "websocket.accept"})
            socket.say({"type": "websocket.receive", "text": "a"})
            await within(session.read())
            assert await within(session.read()) == {"type": "websocket.receive", "text": "a"}
            session.write(protocol.END, None)
            await socket.ends()
            upload = Client(gateway, http_scope("POST"), piece(b"a"))
            _, session = await worker.take()
            upload.say(piece(b"b", more=False))
            assert [await within(session.read()) for _ in range(2)] == [
                piece(b"a"),
                piece(b"b", more=False),
            ]
            await worker.answer(session)
            assert (await upload.response())[0] == 200

    asyncio.run(main())


def test_a_request_of_a_consumer(redis_server: Host) -> None:
    """L9: a request that its worker hands back is one of a consumer, on whichever worker."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await queued(gateway)
            await until(lambda: client.asked == 2)  # the client is listened to
            request, session = await worker.take_consumers()
            channel = request.scope["content"]["reply_channel"]
            await worker.layer.send(channel, {"status": 200, "content": b"a"})
            session.write(protocol.END, None)
            assert (await client.response())[2] == b"a"
            # At once, before anybody listens.
            client = get(gateway)
            request, session = await worker.take_consumers()
            await until(lambda: client.asked == 2)
            channel = request.scope["content"]["reply_channel"]
            await worker.layer.send(channel, {"status": 200, "content": b"b"})
            assert (await client.response())[2] == b"b"

    asyncio.run(main())


def test_a_consumer_of_which_nonsense_is_told(redis_server: Host) -> None:
    """L13: it is the worker's fault: 502."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.read_and_claim()
            session.write(protocol.TAKEN, protocol.CONSUMER)
            session.write(protocol.EVENTS, [{"type": protocol.CONSUMERS}])
            assert (await client.response())[0] == 502

    asyncio.run(main())


def test_a_consumer_that_was_called_already(redis_server: Host) -> None:
    """L9: nothing of the client is read anew for it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            channel, session = await worker.take_called()
            await worker.layer.send(channel, {"status": 200, "content": b"hello"})
            assert (await client.response())[2] == b"hello"
            await client.ends()
            session.write(protocol.END, None)

    asyncio.run(main())


def test_a_client_that_leaves_as_it_is_handed_back(redis_server: Host) -> None:
    """L10: no consumer is called for it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            await queued(gateway)
            await until(lambda: client.asked == 2)
            (waiting,) = gateway.requests._waiting.values()
            session, name = waiting.session, gateway.bus.name
            client.say({"type": "http.disconnect"})
            session.peer = worker.bus.name
            events = [{"type": protocol.CONSUMERS, **TOLD}]
            for number, (kind, payload) in enumerate(
                [(protocol.TAKEN, protocol.CONSUMER), (protocol.EVENTS, events)]
            ):
                session.deliver(Frame(name, session.number, number, kind, payload))
            await client.ends()
            assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_nobody_listens_to_the_client_of_a_consumer_twice(redis_server: Host) -> None:
    """L9: what the client sends next is for the one that has taken over."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            socket = Client(gateway, socket_scope(), {"type": "websocket.connect"})
            request, session = await worker.take_consumers()
            await until(lambda: not gateway._unwatched)
            channel = request.scope["content"]["reply_channel"]
            await worker.layer.send(channel, {"accept": True})
            assert (await socket.hears())["type"] == "websocket.accept"
            session.write(protocol.END, None)
            await until(lambda: socket.asked == 2)
            await worker.layer.send(channel, {"close": True})
            assert (await socket.hears())["type"] == "websocket.close"

    asyncio.run(main())


def test_a_request_that_a_worker_has_already(redis_server: Host) -> None:
    """L9: it goes on from there; what comes of the client goes to the worker."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            scope, events = http_scope("POST"), [piece(b"a", more=False)]
            asked = gateway.requests.ask(scope, events, lambda: None)
            _, session = await worker.take()

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await gateway.take_over(asked, events, scope, receive, send)

            client = Client(app, scope)
            await session.send(start(201))
            assert (await client.hears())["status"] == 201
            client.say({"type": "http.disconnect"})
            await until(lambda: session.over)
            await client.ends()
            assert gateway.bus.sessions == 0

    asyncio.run(main())
