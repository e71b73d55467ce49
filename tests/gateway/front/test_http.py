"""One HTTP request that a worker answers."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import BridgeError
from bridge.gateway import protocol
from bridge.gateway.credits import WINDOW
from bridge.gateway.front.consumers import AppFailed
from bridge.gateway.session import SessionLost
from tests.support.gateways import (
    Client,
    both,
    get,
    http_scope,
    piece,
    queued,
    start,
    until,
    within,
)
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


def test_hello(redis_server: Host) -> None:
    """L9: a request goes to a worker with all that the app can use, and its answer comes back."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway, "/hello")
            request, session = await worker.take()
            scope = http_scope("GET", "/hello")
            del scope["state"], scope["extensions"]["http.response.pathsend"]
            scope["extensions"][protocol.CONSUMERS] = gateway._consumers.offer
            assert request.scope == scope
            assert await within(session.read()) == piece(b"", more=False)
            await session.send(start(201, (b"x-a", b"1")))
            await session.send({"type": "http.response.body", "body": b"hello"})
            assert await client.response() == (201, {b"x-a": b"1"}, b"hello")
            await client.ends()
            assert gateway.bus.sessions == 0
            # What the app does after its response is its own affair.
            assert session.over is None

    asyncio.run(main())


def test_an_answer_in_one_frame(redis_server: Host) -> None:
    """L9: it is as good as one in pieces, also if something of the body was still to come."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for more in (False, True):
                client = Client(gateway, http_scope("POST"), piece(b"a", more=more))
                _, session = await worker.read_and_claim()
                session.write(protocol.ANSWER, [201, [(b"x-a", b"1")], b"hello"])
                assert await client.response() == (201, {b"x-a": b"1"}, b"hello")
                await client.ends()
                assert gateway.bus.sessions == 0

    asyncio.run(main())


def test_a_body_comes_as_the_app_takes_it(redis_server: Host) -> None:
    """L9: an upload is read from the client no faster than the app reads; 64 KiB are under way."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            part = b"x" * (WINDOW // 2)
            client = Client(gateway, http_scope("POST"), piece(part))
            _, session = await worker.take()
            for _ in range(9):
                client.say(piece(part))
            client.say(piece(b"end", more=False))
            # Two are under way; the one that has no room has been read, or is not.
            await until(lambda: client.asked >= 2)
            taken = await within(session.read())
            asked = client.asked
            assert asked <= 4
            body = taken["body"]
            while taken["more_body"]:
                taken = await within(session.read())
                body += taken["body"]
            assert body == part * 10 + b"end"
            await worker.answer(session)
            assert (await client.response())[0] == 200

    asyncio.run(main())


def test_a_response_goes_as_the_client_takes_it(redis_server: Host) -> None:
    """L9: an app that streams waits for a client that takes nothing."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            client.takes.clear()
            _, session = await worker.take()
            await session.send(start())
            sent = 0

            async def stream() -> None:
                nonlocal sent
                for _ in range(20):
                    part = {"type": "http.response.body", "body": b"x" * 16000, "more_body": True}
                    await session.send(part)
                    sent += 1
                await session.send({"type": "http.response.body", "body": b""})

            streaming = asyncio.ensure_future(stream())
            await until(lambda: not session._sending.open)
            assert sent <= WINDOW // 16000 + 1
            client.takes.set()
            await within(streaming)
            assert len((await client.response())[2]) == 20 * 16000

    asyncio.run(main())


def test_the_app_asks_for_the_body(redis_server: Host) -> None:
    """L9: with Expect: 100-continue the host is asked for the body when the app wants it."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            scope = http_scope("PUT", "/", (b"expect", b"100-continue"))
            client = Client(gateway, scope)
            request, session = await worker.take()
            assert (request.events, client.asked) == ([], 0)
            wanted = asyncio.ensure_future(session.read())
            await until(lambda: client.asked)
            client.say(piece(b"body", more=False))
            assert await within(wanted) == piece(b"body", more=False)
            await worker.answer(session, b"", 204)
            assert (await client.response())[0] == 204

            # An app that refuses gets no body, and its client is not asked for one.
            client = Client(gateway, scope)
            _, session = await worker.take()
            await worker.answer(session, b"too large", 413)
            assert (await client.response())[0] == 413
            assert client.asked == 0

    asyncio.run(main())


def test_trailers_and_hints(redis_server: Host) -> None:
    """L9: what an app sends beside its body travels as it is."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.take()
            sent = [
                {"type": "http.response.early_hint", "links": [b"</a.css>"]},
                start(200, (b"trailer", b"x-sum"), trailers=True),
                {"type": "http.response.body", "body": b"a", "more_body": True},
                {"type": "http.response.body", "body": b"b"},
                {"type": "http.response.trailers", "headers": [], "more_trailers": True},
                {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
            ]
            for message in sent:
                await session.send(message)
            sent[1]["headers"] = [(b"trailer", b"x-sum")]
            assert [await client.hears() for _ in sent] == sent
            await client.ends()

    asyncio.run(main())


def test_the_client_leaves(redis_server: Host) -> None:
    """L9: the worker is told when the client leaves, by its host or by a `send` that fails."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.take()
            client.say({"type": "http.disconnect"})
            await until(lambda: session.over)
            assert session.over is not None
            assert session.over.how == protocol.CANCEL
            await client.ends()

            client = Client(gateway, http_scope("POST"), piece(b"a"))
            _, session = await worker.take()
            client.say({"type": "http.disconnect"})
            await until(lambda: session.over)
            await client.ends()

            client = get(gateway)
            client.gone = True
            _, session = await worker.take()
            await session.send(start())
            await until(lambda: session.over)
            await client.ends()

    asyncio.run(main())


def test_the_client_leaves_after_the_response(redis_server: Host) -> None:
    """L9: then the worker is not told: what the app does after its response goes on."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            _, session = await worker.take()
            await until(lambda: client.asked == 2)
            await session.send(start())
            await until(lambda: client.sent == 1)
            client.takes.clear()
            await session.send({"type": "http.response.body", "body": b""})
            await until(lambda: client.sent == 2)
            client.say({"type": "http.disconnect"})
            await until(lambda: client.took == client.asked)
            client.takes.set()
            assert session.over is None
            assert (await client.response())[0] == 200
            await client.ends()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "said"),
    [("the app raised ValueError: x", "ValueError: x"), (None, "the app returned without a re")],
)
def test_the_app_fails(
    redis_server: Host, caplog: pytest.LogCaptureFixture, text: str | None, said: str
) -> None:
    """L10: an app that fails before its response is a 500; the reason is logged, and not sent."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for method in ("GET", "HEAD"):
                client = get(gateway, "/x", method)
                _, session = await worker.take()
                session.write(protocol.END, text)
                status, fields, body = await client.response()
                assert (status, body) == (
                    500,
                    b"" if method == "HEAD" else b"Internal Server Error\n",
                )
                assert fields[b"content-length"] == b"22"
                await client.ends()

    asyncio.run(main())
    assert said in caplog.text
    assert "GET /x on w." in caplog.text


def test_the_app_fails_in_its_response(redis_server: Host) -> None:
    """L10: then the host is given an error, so that it cuts the response."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            for end, raised in (
                ((protocol.END, "it raised"), AppFailed),
                ((protocol.END, None), AppFailed),
                ((protocol.CANCEL, None), SessionLost),
            ):
                client = get(gateway)
                _, session = await worker.take()
                await session.send(start())
                session.write(*end)
                expected: type[BridgeError] = raised
                with pytest.raises(expected):
                    await client.ends()

    asyncio.run(main())


def test_a_worker_dies(redis_server: Host) -> None:
    """L10: 502 before the response starts; afterwards it is cut."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            early, late = get(gateway), get(gateway)
            await worker.take()
            _, session = await worker.take()
            await session.send(start())
            assert (await late.hears())["status"] == 200
            await worker.die()
            assert (await early.response())[0] == 502
            await early.ends()
            with pytest.raises(SessionLost):
                await late.ends()

    asyncio.run(main())


def test_the_client_leaves_while_it_is_refused(redis_server: Host) -> None:
    """L10: a client that is gone when its 500 is sent is no error."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            client.gone = True
            _, session = await worker.take()
            session.write(protocol.END, "it raised")
            await client.ends()

    asyncio.run(main())


def test_an_upload_in_the_queue(redis_server: Host) -> None:
    """L9: while a request waits for a worker no more of its body is read."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = Client(gateway, http_scope("POST"), piece(b"a"), piece(b"b", more=False))
            await queued(gateway)
            await until(lambda: not gateway._unwatched)
            assert client.asked == 1
            _, session = await worker.take()
            got = [await within(session.read()) for _ in range(2)]
            assert got == [piece(b"a"), piece(b"b", more=False)]
            await worker.answer(session)
            assert (await client.response())[0] == 200

    asyncio.run(main())


def test_a_request_of_a_consumer(redis_server: Host) -> None:
    """L9: if its worker runs a consumer, the request becomes a message, and a reply the answer."""

    async def main() -> None:
        async with both(redis_url(redis_server)) as (gateway, worker):
            client = get(gateway)
            request, session = await worker.take_consumers()
            channel = request.scope["content"]["reply_channel"]
            await worker.layer.send(channel, {"status": 200, "content": b"a"})
            session.write(protocol.END, None)
            assert (await client.response())[2] == b"a"

    asyncio.run(main())
