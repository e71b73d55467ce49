"""`Gateway`, an ASGI 3 app, in process and over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from bridge.errors import ConfigError, UnsupportedScope
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.protocol import CONSUMERS, OWN, decode_request
from tests.support.gateways import (
    PATIENCE,
    Client,
    ScriptedWorker,
    get,
    http_scope,
    new_prefix,
    within,
    worker_of,
)
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again
from tests.support.serving import Served, served
from tests.support.waiting import eventually

pytestmark = needs_redis


@pytest.mark.parametrize("settings", [{"queue_limit": 0}, {"timeout_queue": 0}])
def test_settings_that_are_wrong(settings: dict[str, Any]) -> None:
    """L13: a limit must allow something."""
    with pytest.raises(ConfigError, match="must be 1 or more"):
        Gateway("redis://localhost", **settings)


def test_lifespan(redis_server: Host) -> None:
    """L9: it connects at startup and leaves at shutdown; it can be started again."""

    async def main() -> None:
        gateway = Gateway(redis_url(redis_server), prefix=new_prefix())
        for _ in range(2):
            host = Client(gateway, {"type": "lifespan"}, {"type": "lifespan.startup"})
            assert await host.hears() == {"type": "lifespan.startup.complete"}
            assert gateway.bus.up
            host.say({"type": "lifespan.shutdown"})
            assert await host.hears() == {"type": "lifespan.shutdown.complete"}
            await host.ends()
            assert not gateway.bus.up

    asyncio.run(main())


def test_a_redis_that_does_not_answer() -> None:
    """L13: the start fails with the address and what to do; without lifespan it is a 503."""

    async def main() -> None:
        gateway = Gateway("redis://127.0.0.1:1/3")
        host = Client(gateway, {"type": "lifespan"}, {"type": "lifespan.startup"})
        failed = await host.hears()
        assert failed["type"] == "lifespan.startup.failed"
        assert "Redis at 127.0.0.1:1, database 3 does not answer" in failed["message"]
        assert "is it running there?" in failed["message"]
        assert (await get(gateway).response())[0] == 503

    asyncio.run(main())


def test_a_host_without_lifespan(redis_server: Host) -> None:
    """L9: then it connects at the first request, once."""

    async def main() -> None:
        prefix = new_prefix()
        gateway = Gateway(redis_url(redis_server), prefix=prefix)
        async with worker_of(redis_url(redis_server), prefix) as worker:
            clients = [get(gateway) for _ in range(3)]
            for _ in clients:
                _, session = await worker.take()
                await worker.answer(session)
            assert {(await client.response())[0] for client in clients} == {200}
            await gateway.close()
            await gateway.close()

    asyncio.run(main())


def test_other_scopes() -> None:
    """L13: what is neither HTTP nor a WebSocket is refused."""

    async def main() -> None:
        with pytest.raises(UnsupportedScope):
            await Client(Gateway("redis://localhost"), {"type": "mqtt"}).ends()

    asyncio.run(main())


# ------------------------------------------------------------- over sockets

#: What a worker does with each request, until it is told to stop.
Script = Callable[[ScriptedWorker], Awaitable[None]]


@contextlib.contextmanager
def working(url: str, prefix: str, script: Script) -> Iterator[None]:
    """A worker that follows a script, in a thread of its own."""

    async def work() -> None:
        async with worker_of(url, prefix) as worker:
            ready.set()
            following = asyncio.ensure_future(script(worker))
            await asyncio.get_running_loop().run_in_executor(None, stop.wait)
            following.cancel()
            await asyncio.wait([following])

    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)


@contextlib.contextmanager
def served_with(url: str, script: Script, prefix: str = "") -> Iterator[Served]:
    """A server with a gateway, and a worker that follows a script."""
    prefix = prefix or new_prefix()
    with working(url, prefix, script):
        with served(Gateway(url, prefix=prefix), lifespan="on") as server:
            yield server


async def _answer_all(worker: ScriptedWorker) -> None:
    while True:
        _, session = await worker.take()
        await worker.answer(session)


def test_hello(redis_server: Host) -> None:
    """L9: keep-alive, HEAD, and many clients at a time."""
    with served_with(redis_url(redis_server), _answer_all) as server:
        url = f"http://127.0.0.1:{server.port}/"
        with httpx.Client() as client:
            assert [client.get(url).text for _ in range(20)] == ["hello"] * 20
            head = client.head(url)
            assert (head.status_code, head.content) == (200, b"")


def test_continue_is_sent_when_the_app_asks(redis_server: Host) -> None:
    """L9: 100 Continue comes with the app's first `receive`; hints and trailers travel."""

    async def script(worker: ScriptedWorker) -> None:
        _, session = await worker.take()
        body = await session.read()
        await session.send({"type": "http.response.early_hint", "links": [b"</a.css>"]})
        await session.send(
            {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
        )
        await session.send({"type": "http.response.body", "body": (body or {})["body"]})
        await session.send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
        _, session = await worker.take()
        await worker.answer(session, b"too large", 413)

    with served_with(redis_url(redis_server), script) as server:
        head = b"PUT / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nexpect: 100-continue\r\n"
        client = server.connect()
        with client:
            client.send(head + b"content-length: 4\r\n\r\n")
            assert client.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"body")
            response = client.response()
            assert (response.status, response.body) == (200, b"body")
            assert response.trailers == [(b"x-sum", b"1")]
            assert [each.status for each in response.informational] == [103]
        client = server.connect()
        with client:
            client.send(head + b"content-length: 400\r\n\r\n")
            response = client.response()
            assert (response.status, response.informational) == (413, [])


def test_a_websocket(redis_server: Host) -> None:
    """L9: subprotocol, messages, and the end; and a refusal by a response."""

    async def script(worker: ScriptedWorker) -> None:
        _, session = await worker.take()
        await session.read()
        await session.send({"type": "websocket.accept", "subprotocol": "chat"})
        while (event := await session.read()) and event["type"] == "websocket.receive":
            await session.send({"type": "websocket.send", "text": event["text"].upper()})
        _, session = await worker.take()
        await session.send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await session.send({"type": "websocket.http.response.body", "body": b"who?"})

    with served_with(redis_url(redis_server), script) as server:
        client = server.connect()
        with client:
            response = client.open_handshake("/", "Sec-WebSocket-Protocol: news, chat")
            assert response.status == 101
            assert response.value(b"sec-websocket-protocol") == b"chat"
            for word in ("a", "b", "c"):
                client.text(word)
                assert client.read_text() == word.upper()
        client = server.connect()
        with client:
            response = client.open_handshake("/")
            assert (response.status, response.body) == (401, b"who?")


def test_redis_is_killed_and_started_again() -> None:
    """L10: 503 with Retry-After while Redis is gone, and everything goes on when it is back."""
    with start(redis()) as first:
        prefix = new_prefix()
        with served_with(redis_url(first), _answer_all, prefix) as server:
            url = f"http://127.0.0.1:{server.port}/"
            assert httpx.get(url).status_code == 200
            first.kill()
            response = httpx.get(url)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            with started_again(first), working(redis_url(first), prefix, _answer_all):
                eventually(lambda: httpx.get(url, timeout=60).status_code == 200)


def test_redis_hangs() -> None:
    """L10: a Redis that answers nothing is as good as gone; when it runs again, all goes on."""

    async def main() -> None:
        with start(redis()) as host:
            url, prefix = redis_url(host), new_prefix()
            gateway = Gateway(url, prefix=prefix)
            await gateway.open()
            back = asyncio.Event()
            gateway.bus.on_back.append(back.set)
            host.process.send_signal(signal.SIGSTOP)
            assert (await get(gateway).response())[0] == 503
            host.process.send_signal(signal.SIGCONT)
            await within(back.wait())
            async with worker_of(url, prefix) as worker:
                client = get(gateway)
                _, session = await worker.take()
                await worker.answer(session)
                assert (await client.response())[0] == 200
            await gateway.close()

    asyncio.run(main())


def test_what_our_server_encodes_once() -> None:
    """L9: what requests have in common is told with what a gateway offers, and nothing local."""
    gateway = Gateway("redis://127.0.0.1:1")
    assert not gateway.is_open
    whole, shared = http_scope(), http_scope()
    for name in (*OWN, "state"):
        del shared[name]
    writer = gateway.requests.writer
    own = writer.own(gateway.shared(shared), tuple(whole[name] for name in OWN))
    assert gateway.begin(whole) == own
    found = decode_request(writer.end(own, 7, b"")).scope
    assert CONSUMERS in found["extensions"]
    assert "http.response.pathsend" not in found["extensions"]
