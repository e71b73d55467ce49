"""A worker, with a real Redis and a real gateway, all in this process (L9, L10, L13)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from bridge import from_asgi1
from bridge.channels import RedisLayer
from bridge.dispatcher import Dispatcher
from bridge.errors import ConfigError, LayerUnavailable, LifespanFailed
from bridge.gateway.back.worker import Worker
from bridge.gateway.bus import Bus
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.protocol import CONSUMER, CONSUMERS, Request, encode_request
from bridge.gateway.session import Session
from bridge.types import Message, Receive, Scope, Send
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.gateways import until
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again
from tests.support.sessions import run

pytestmark = needs_redis

prefixes = (f"worker{number}" for number in count())


def scope_of(path: str, **more: Any) -> Scope:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"x")],
        "client": ("192.0.2.1", 7),
        "server": ("x", 80),
        "asgi": {"version": "3.0"},
        "extensions": {},
        **more,
    }


class Answer:
    """What a client of the gateway gets."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.left = asyncio.Event()
        self._asked = False

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.messages[1:])


class Both:
    """A gateway and a worker that share a Redis and a prefix."""

    def __init__(self, url: str, app: Any, prefix: str = "", **settings: Any) -> None:
        prefix = prefix or next(prefixes)
        self.url = url
        self.gateway = Gateway(url, prefix=prefix, timeout_queue=20)
        self.worker = Worker(app, url, prefix=prefix, **settings)

    async def get(self, path: str = "/", **more: Any) -> Answer:
        """Ask for `path`."""
        answer = Answer()
        await self.gateway(scope_of(path, **more), answer.receive, answer.send)
        return answer


@asynccontextmanager
async def both(url: str, app: Any, **settings: Any) -> AsyncIterator[Both]:
    made = Both(url, app, **settings)
    await made.gateway.open()
    await made.worker.start()
    try:
        yield made
    finally:
        await made.worker.stop(5)
        await made.gateway.close()


def plain(text: str) -> list[Message]:
    return [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": text.encode()},
    ]


# ------------------------------------------------------------- apps of every kind


async def asgi3(scope: Scope, receive: Receive, send: Send) -> None:
    for message in plain(f"3 {scope['path']}"):
        await send(message)


def asgi2(scope: Scope) -> Any:
    async def instance(receive: Receive, send: Send) -> None:
        for message in plain(f"2 {scope['path']}"):
            await send(message)

    return instance


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"wsgi {environ['PATH_INFO']}".encode()]


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (asgi3, b"3 /a"),
        (asgi2, b"2 /a"),
        (wsgi, b"wsgi /a"),
        (WsgiToAsgi(wsgi, runner="inline"), b"wsgi /a"),
        (Dispatcher({"/a": wsgi}), b"wsgi "),
    ],
)
def test_apps_of_every_kind(redis_server: Host, app: Any, said: bytes) -> None:
    """L9: the worker makes ASGI 3 of what it is given, as the server does."""

    async def test() -> None:
        async with both(redis_url(redis_server), app) as parts:
            answer = await parts.get("/a")
            assert (answer.status, answer.body) == (200, said)
            post = await parts.get("/a", method="POST")
            assert (post.status, post.body) == (200, said)
            assert parts.worker.taken == 2
            await until(lambda: not parts.worker.busy)

    run(test)


def test_the_lifespan_and_its_state(redis_server: Host) -> None:
    """L9: startup before the first request, shutdown after the last; each request has a copy."""
    phases: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            phases.append((await receive())["type"])
            scope["state"]["pool"] = "open"
            await send({"type": "lifespan.startup.complete"})
            phases.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        phases.append(scope["state"]["pool"])
        scope["state"]["pool"] = "changed"
        for message in plain("x"):
            await send(message)

    async def test() -> None:
        async with both(redis_url(redis_server), app) as parts:
            await parts.get()
            await parts.get()

    run(test)
    assert phases == ["lifespan.startup", "open", "open", "lifespan.shutdown"]


def test_many_at_a_time(redis_server: Host) -> None:
    """L9: as many as there are places, and no more; the others wait in the queue."""
    most = now = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        for message in plain(scope["path"]):
            await send(message)

    async def test() -> None:
        async with both(redis_url(redis_server), app, limit_concurrency=10) as parts:
            answers = await asyncio.gather(*(parts.get(f"/{n}") for n in range(200)))
            assert [each.body for each in answers] == [b"/%d" % n for n in range(200)]
            assert most <= 10
            assert "up to 10 requests at a time" in parts.worker.shown

    run(test)


def consumer(message: Any) -> None:
    message.reply_channel.send({"status": 200, "content": b"1 " + message["path"].encode()})


def test_a_consumer_that_raises_after_its_response(redis_server: Host) -> None:
    """L9 L13: its client gets all pieces, whichever of pieces and end comes first."""

    def consumer(message: Any) -> None:
        message.reply_channel.send({"status": 200, "content": b"1", "more_content": True})
        message.reply_channel.send({"content": b"2"})
        raise ValueError("late")

    async def test() -> None:
        url, prefix = redis_url(redis_server), next(prefixes)
        layer = RedisLayer(url, prefix=prefix)
        app = from_asgi1(consumer, layer=layer, runner="inline")
        async with both(url, app, prefix=prefix) as parts:
            answer = await parts.get("/a")
            assert (answer.status, answer.body) == (200, b"12")
        layer.close()

    run(test)


def test_a_consumer_on_the_loop(redis_server: Host) -> None:
    """L9: one that answers within its call is over at once."""

    async def test() -> None:
        layer = RedisLayer(redis_url(redis_server), prefix=next(prefixes))

        async def on_loop(message: Any) -> None:
            consumer(message)

        async with both(redis_url(redis_server), from_asgi1(on_loop, layer=layer)) as parts:
            scope = scope_of("/a", extensions={CONSUMERS: {"replies": "bridge.0!"}})
            whole = [{"type": "http.request", "body": b"", "more_body": False}]
            session = await ask(parts, {**scope, "http_version": "1.1"}, whole)
            await session.read()
            assert await session.read() == {"type": "http.response.body", "body": b"1 /a"}
            assert parts.worker.busy == 0
        layer.close()

    run(test)


def test_a_consumer(redis_server: Host) -> None:
    """L9: for a gateway that makes messages each call is a request; for another it is an app."""

    async def test() -> None:
        layer = RedisLayer(redis_url(redis_server), prefix=next(prefixes))
        app = from_asgi1(consumer, layer=layer)
        async with both(redis_url(redis_server), app) as parts:
            session = await ask(parts, scope_of("/a", extensions={CONSUMERS: {}}))
            told = await session.read()
            assert told is not None
            assert told["type"] == CONSUMERS
            assert await session.read() is None
            assert session.runs == CONSUMER
            whole = [{"type": "http.request", "body": b"", "more_body": False}]
            for offer in ({CONSUMERS: {"replies": "bridge.0!"}}, {}):
                scope = scope_of("/a", extensions=offer)
                session = await ask(parts, {**scope, "http_version": "1.1"}, whole)
                start = await session.read()
                assert start is not None
                assert start["status"] == 200

            replies: asyncio.Queue[Message] = asyncio.Queue()
            loop, name = asyncio.get_running_loop(), layer.new_reply_channel()
            layer.attach(name, lambda reply: loop.call_soon_threadsafe(replies.put_nowait, reply))
            content = {"path": "/a", "reply_channel": name, "headers": []}
            call = {"type": "consumer", "channel": "http.request", "content": content}
            assert await (await ask(parts, call)).read() is None
            assert await replies.get() == {"status": 200, "content": b"1 /a"}
        layer.close()

    run(test)


async def ask(parts: Both, scope: Scope, events: list[Message] | None = None) -> Session:
    """Put a request into the queue as a gateway does."""
    bus = parts.gateway.bus
    session = bus.ask(events or [])
    packed = encode_request(Request(bus.name, session.number, scope, events or []))
    await bus.link.call("XADD", bus.keys.requests, "*", "g", bus.name, "r", packed)
    return session


# ------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limit_concurrency": 0}, "limit_concurrency is 0"),
        ({"limit_concurrency": "9"}, "limit_concurrency is '9'"),
        ({"lifespan": "maybe"}, "lifespan is 'maybe'"),
        ({"kind": "cgi"}, "kind is 'cgi'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], said: str) -> None:
    """L13: each is named."""
    with pytest.raises(ConfigError, match=said):
        Worker(asgi3, "redis://127.0.0.1:1", **settings)


def test_a_redis_that_does_not_answer() -> None:
    """L13: said at the start, with its address."""

    async def test() -> None:
        with pytest.raises(LayerUnavailable, match=r"127.0.0.1:1, database 0 does not answer"):
            await Worker(asgi3, "redis://127.0.0.1:1").start()

    run(test)


def test_a_queue_of_another_program(redis_server: Host) -> None:
    """L13: what Redis refuses at the start is said; the app is shut down again."""
    phases: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            phases.append((await receive())["type"])
            await send({"type": f"{phases[-1]}.complete"})

    async def test() -> None:
        worker = Worker(app, redis_url(redis_server), prefix=next(prefixes))
        other = Bus(redis_url(redis_server), "worker")
        await other.open()
        await other.link.call("SET", worker.bus.keys.requests, "theirs")
        with pytest.raises(LayerUnavailable, match="WRONGTYPE"):
            await worker.start()
        await other.close()

    run(test)
    assert phases == ["lifespan.startup", "lifespan.shutdown"]


def test_an_app_that_does_not_start(redis_server: Host) -> None:
    """L9: the worker says so, and is on no list any more."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def test() -> None:
        worker = Worker(app, redis_url(redis_server), prefix=next(prefixes))
        with pytest.raises(LifespanFailed, match="no database"):
            await worker.start()
        other = Bus(redis_url(redis_server), "worker")
        await other.open()
        assert await other.link.call("HLEN", worker.bus.keys.peers) == 0
        await other.close()

    run(test)


def test_a_scope_that_no_app_has(redis_server: Host) -> None:
    """L13: a stranger's request is answered with an error, and the worker goes on."""

    async def test() -> None:
        async with both(redis_url(redis_server), asgi3) as parts:
            session = await ask(parts, {"type": "mail"})
            assert await session.read() is None
            assert session.over is not None
            assert session.over.text == "a worker runs no 'mail'"
            assert (await parts.get("/a")).body == b"3 /a"

    run(test)


def test_an_app_that_raises(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: 500, and the traceback is where the app is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken here")

    async def test() -> None:
        async with both(redis_url(redis_server), app, lifespan="off") as parts:
            assert (await parts.get()).status == 500

    run(test)
    (here,) = [each for each in caplog.records if each.exc_info]
    assert here.getMessage() == "the app raised in GET /"


def test_the_client_leaves(redis_server: Host) -> None:
    """L10: the app is told."""
    heard: list[Message] = []
    started = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        started.set()
        heard.append(await receive())

    async def test() -> None:
        async with both(redis_url(redis_server), app, lifespan="off") as parts:
            answer = Answer()
            asked = asyncio.create_task(parts.gateway(scope_of("/"), answer.receive, answer.send))
            await started.wait()
            answer.left.set()
            await asked
            await until(lambda: heard)
            assert heard == [{"type": "http.disconnect"}]

    run(test)


def test_a_gateway_that_is_gone(redis_server: Host) -> None:
    """L10: what runs for it is told that its client has left."""
    heard: list[Message] = []
    started = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        started.set()
        heard.append(await receive())

    async def test() -> None:
        parts = Both(redis_url(redis_server), app, lifespan="off")
        await parts.worker.start()
        gateway = Gateway(parts.url, prefix=parts.worker.bus.keys.prefix)
        await gateway.open()
        asked = asyncio.create_task(gateway(scope_of("/"), Answer().receive, Answer().send))
        await started.wait()
        for task in gateway.bus._tasks:
            task.cancel()
        await gateway.bus.link.close()  # as a process that was killed: it says nothing
        await until(lambda: heard)
        assert heard == [{"type": "http.disconnect"}]
        await parts.worker.stop(5)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)  # whose link is closed

    run(test)


def test_redis_goes_and_comes_back() -> None:
    """L10: what was under way is over, on both sides; after that everything goes on."""
    heard: list[Message] = []
    started = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await receive()
            started.set()
            heard.append(await receive())
            return
        for message in plain("x"):
            await send(message)

    async def test(host: Host) -> None:
        parts = Both(redis_url(host), app, lifespan="off")
        await parts.gateway.open()
        await parts.worker.start()
        asked = asyncio.create_task(parts.get("/wait"))
        await started.wait()
        host.kill()
        assert (await asked).status == 503
        await until(lambda: heard)
        assert (await parts.get("/")).status == 503
        with started_again(host):
            await until(lambda: parts.gateway.bus.up and parts.worker.bus.up)
            assert (await parts.get("/")).status == 200
            await parts.worker.stop(5)
            await parts.gateway.close()

    with start(redis()) as host:
        asyncio.run(asyncio.wait_for(test(host), 60))


# ------------------------------------------------------------- stop


def test_a_stop_ends_what_runs(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L9 P2: it takes no more, and what it has is answered; then it is on no list."""
    release = asyncio.Event()
    started = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await release.wait()
        for message in plain("x"):
            await send(message)

    async def test() -> None:
        parts = Both(redis_url(redis_server), app, lifespan="off")
        await parts.gateway.open()
        await parts.worker.start()
        asked = asyncio.create_task(parts.get())
        await started.wait()
        stopping = asyncio.create_task(parts.worker.stop(20))
        await until(lambda: "stopping: 1 request still under way" in caplog.text)
        link, keys = parts.gateway.bus.link, parts.gateway.bus.keys
        second = asyncio.create_task(parts.get())
        await until(lambda: second)
        release.set()
        await stopping
        assert (await asked).status == 200
        assert not second.done()
        assert await link.call("HKEYS", keys.peers) == [parts.gateway.bus.name.encode()]
        assert await link.call("XINFO", "CONSUMERS", keys.requests, "workers") == []
        async with both_on(parts):
            assert (await second).status == 200
        await parts.gateway.close()

    with caplog.at_level(logging.INFO, "bridge.error"):
        run(test)


@asynccontextmanager
async def both_on(parts: Both) -> AsyncIterator[Worker]:
    """Another worker for the same gateway."""
    worker = Worker(asgi3, parts.url, prefix=parts.gateway.bus.keys.prefix)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop(5)


@pytest.mark.parametrize("told", [True, False])
def test_what_does_not_end_is_cut(
    redis_server: Host, caplog: pytest.LogCaptureFixture, told: bool
) -> None:
    """L9 P2: after the grace, or when told; 502 for its client, whatever the app does."""
    release = asyncio.Event()
    started = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                if not told:
                    raise

    async def test() -> None:
        parts = Both(redis_url(redis_server), app, lifespan="off")
        await parts.gateway.open()
        await parts.worker.start()
        asked = asyncio.create_task(parts.get())
        await started.wait()
        cut = asyncio.Event()
        if told:
            cut.set()
        await parts.worker.stop(60 if told else 0.05, cut)
        assert (await asked).status == 502
        await parts.gateway.close()
        release.set()
        await until(lambda: not parts.worker.busy)

    run(test)
    assert "cut 1 request still under way" in caplog.text
    assert ("1 task went on after being cancelled: left behind" in caplog.text) is told


def test_a_thread_that_takes_its_time(redis_server: Host) -> None:
    """L10: its gateway is told meanwhile that a worker has the request."""
    go_on = threading.Event()

    def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        go_on.wait(30)
        return wsgi(environ, start_response)

    async def test() -> None:
        async with both(redis_url(redis_server), slow) as parts:
            asked = asyncio.create_task(parts.get("/a"))
            await until(lambda: parts.worker.bus.sessions == 1)  # for TAKEN
            go_on.set()
            answer = await asked
            assert (answer.status, answer.body) == (200, b"wsgi /a")
            await until(lambda: not parts.worker.busy)

    run(test)


def test_a_thread_that_does_not_end_is_left(
    redis_server: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """L9 P2: its gateway answers for it; a WSGI app has no task that could be cancelled."""
    go_on = threading.Event()

    def stuck(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        go_on.wait(30)
        return wsgi(environ, start_response)

    async def test() -> None:
        app = WsgiToAsgi(stuck, threads=2)
        parts = Both(redis_url(redis_server), app)
        await parts.gateway.open()
        await parts.worker.start()
        asked = [asyncio.create_task(parts.get()) for _ in range(4)]
        await until(lambda: parts.worker.busy == 4)
        asyncio.get_running_loop().call_later(0.1, go_on.set)  # the pool waits for its threads
        await parts.worker.stop(0.01)
        assert [(await each).status for each in asked] == [502] * 4
        assert parts.worker.busy == 0
        await parts.gateway.close()

    run(test)
    assert "cut 4 requests still under way" in caplog.text


def test_a_shutdown_that_hangs_is_given_up_when_told(redis_server: Host) -> None:
    """L9 P2: an order to cut ends the wait for the app's shutdown, too."""
    hanging = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        hanging.set()
        await asyncio.Event().wait()

    async def test() -> None:
        worker = Worker(app, redis_url(redis_server), prefix=next(prefixes))
        await worker.start()
        cut = asyncio.Event()
        stopping = asyncio.create_task(worker.stop(5, cut))
        await hanging.wait()
        cut.set()
        await stopping

    run(test)


def test_a_shutdown_that_fails(redis_server: Host) -> None:
    """L9: it is raised when the worker has left all the same."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "no"})

    async def test() -> None:
        worker = Worker(app, redis_url(redis_server), prefix=next(prefixes))
        await worker.start()
        with pytest.raises(LifespanFailed, match="no"):
            await worker.stop(5)
        assert not worker.bus.up

    run(test)


def test_two_sides_of_one_loop_do_not_mix(redis_server: Host) -> None:
    """L9: each answer goes to the request that it belongs to, of whichever gateway."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(int(scope["path"][1:]) % 3 / 100)
        for message in plain(scope["path"] + scope["query_string"].decode()):
            await send(message)

    async def test() -> None:
        async with both(redis_url(redis_server), app, lifespan="off") as parts:
            other = Both(parts.url, app)
            other.gateway = Gateway(parts.url, prefix=parts.gateway.bus.keys.prefix)
            await other.gateway.open()
            answers = await asyncio.gather(
                *(parts.get(f"/{n}", query_string=b"a") for n in range(40)),
                *(other.get(f"/{n}", query_string=b"b") for n in range(40)),
            )
            assert [each.body for each in answers] == [
                *(b"/%da" % n for n in range(40)), *(b"/%db" % n for n in range(40))
            ]  # fmt: skip
            await other.gateway.close()

    run(test)
