"""ASGI 1 consumers on our own server: the short way of whole responses, and all others."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from bridge.asgi1.app import from_asgi1
from bridge.asgi1.message import Message
from bridge.channels.memory import MemoryLayer
from bridge.dispatcher import Dispatcher
from bridge.errors import LayerUnavailable
from bridge.server.apps.asgi.consumer import CallsInThreads
from tests.support.serving import served
from tests.support.waiting import eventually

OK = {"status": 200, "headers": [(b"X-Name", b"value")], "content": b"hello"}
LIST: ContextVar[str] = ContextVar("LIST", default="unset")


def hello(message: Message) -> None:
    message.reply_channel.send({**OK, "content": message["path"].encode()})


async def coroutine(message: Message) -> None:
    message.reply_channel.send(OK)


async def with_channels(message: Any, channels: Any) -> None:
    await channels["reply"].send({**OK, "content": message["body"]})


async def later(message: Message) -> None:
    await asyncio.sleep(0)
    message.reply_channel.send(OK)


def generator(message: Message) -> Iterator[Any]:
    yield {**OK, "more_content": True}
    yield {"content": b"!"}


@pytest.mark.parametrize("runner", ["inline", "thread", "greenlet"])
def test_ways_to_answer(runner: str) -> None:
    """L2 L4: at once, from a thread, later, in pieces; the next request finds a clean slate."""
    consumers = {"/coroutine": coroutine, "/later": later, "/generator": generator, "/": hello}
    app = Dispatcher({**consumers, "/body": with_channels})
    with served(app, runner=runner) as server, httpx.Client(base_url=server.url("", "http")) as ask:
        for _ in range(2):
            response = ask.get("/x")
            assert (response.status_code, response.text) == (200, "/x")
            assert response.headers["x-name"] == "value"
            assert ask.get("/coroutine").text == ask.get("/later").text == "hello"
            assert ask.get("/generator").text == "hello!"
            assert ask.post("/body", content=b"body").text == "body"
            head = ask.head("/x")
            assert (head.headers["content-length"], head.content) == ("2", b"")


@pytest.mark.parametrize("runner", ["inline", "thread"])
def test_a_body_that_is_here(runner: str) -> None:
    """L4: is in the message, whether it has come with the head or later, or has no length."""

    def consumer(message: Message) -> None:
        message.reply_channel.send({**OK, "content": message["body"]})

    with served(consumer, runner=runner) as server, httpx.Client(timeout=30) as ask:
        url = server.url("/", "http")
        for size in (0, 1, 1000, 65536):
            assert ask.post(url, content=b"x" * size).content == b"x" * size
        assert ask.post(url, content=iter([b"pie", b"ces"])).text == "pieces"


def test_a_consumer_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """L3: before its response a 500, in the middle a cut, after it nothing; logged once."""

    def fails(message: Message) -> None:
        if message["path"] == "/after":
            hello(message)
        if message["path"] == "/middle":
            message.reply_channel.send({**OK, "more_content": True})
        raise LookupError(f"broken {message['path']}")

    with served(fails, runner="inline") as server:
        url = server.url("", "http")
        assert httpx.get(url + "/before").status_code == 500
        assert httpx.get(url + "/after").text == "/after"
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url + "/middle")
    for path in ("before", "after", "middle"):
        assert caplog.text.count(f"LookupError: broken /{path}") == 1


def test_a_thread_that_goes_on_after_its_response() -> None:
    """L3: the client has the response at once, and the thread its time."""
    go_on, ended = threading.Event(), threading.Event()

    def consumer(message: Message) -> None:
        hello(message)
        if message["path"] == "/long":
            assert go_on.wait(20)
            ended.set()

    with served(consumer, threads=2) as server, httpx.Client() as ask:
        for path in ("/long", "/short"):
            assert ask.get(server.url(path, "http")).text == path
        assert not ended.is_set()
        go_on.set()
        assert ended.wait(20)


def test_a_thread_that_ends_just_after_its_response_was_looked_at() -> None:
    """L3: the response goes out whole all the same."""
    looked = threading.Event()

    def consumer(message: Message) -> None:
        hello(message)
        loop = message.channel_layer.loop
        loop.call_soon_threadsafe(let_it_end)  # behind the look at the reply
        assert looked.wait(20)

    def let_it_end() -> None:
        looked.set()
        runner = server.server.app.runner  # type: ignore[attr-defined]
        eventually(lambda: runner.stats().busy == 0)

    with served(consumer, threads=1) as server:
        assert httpx.get(server.url("/x", "http")).text == "/x"


def test_calls_that_take_their_time_are_taken_over() -> None:
    """L3: the old ones, and the others when they are old."""

    class Call:
        def __init__(self, queued_at: float) -> None:
            self.queued_at = queued_at
            self.exchange = SimpleNamespace(handler=self)

        def take_over(self, call: Any) -> None:
            calls.discard(call)
            taken.append(call)

    taken: list[Any] = []
    calls: Any = CallsInThreads()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        state = SimpleNamespace(loop=loop, context=copy_context())
        old, ended, new = Call(loop.time() - 1), Call(0), Call(loop.time() + 0.1)
        for call in (old, ended, new):
            calls.add(call, state)
        calls.discard(ended)
        while len(taken) < 1:
            await asyncio.sleep(0)
        assert taken == [old]
        while len(taken) < 2:
            await asyncio.sleep(0)
        assert taken == [old, new]
        assert loop.time() > new.queued_at
        calls.add(Call(0), state)  # the timer has ended, and begins anew
        while len(taken) < 3:
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_thread_that_ends_while_its_response_is_sent() -> None:
    """L3: to a slow client."""
    go_on, ended = threading.Event(), threading.Event()
    size = 4 * 1024 * 1024

    def consumer(message: Message) -> None:
        message.reply_channel.send({"status": 200, "content": b"x" * size})
        assert go_on.wait(20)
        ended.set()

    with served(consumer) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            eventually(lambda: server.server.state.tasks)
            go_on.set()
            assert ended.wait(20)
            server.call(lambda: None)
            received = 0
            while piece := client.recv(65536):
                received += len(piece)
        assert received > size


def test_a_thread_that_takes_its_time() -> None:
    """L3: a task waits for it then; nobody else does."""

    def consumer(message: Message) -> None:
        if message["path"] == "/slow":
            time.sleep(0.1)  # longer than it is waited for without a task
        hello(message)

    with served(consumer) as server:
        assert httpx.get(server.url("/slow", "http")).text == "/slow"


def status_of(url: str) -> int:
    """Ask from a process of its own: the server refuses what its own process would wait for."""
    code = "import httpx, sys; print(httpx.get(sys.argv[1], timeout=60).status_code)"
    argv = [sys.executable, "-c", code, url]
    return int(subprocess.run(argv, capture_output=True, timeout=90, check=True).stdout)


def test_a_pool_that_is_full() -> None:
    """W52: what has no place is answered at once."""
    release, started = threading.Event(), threading.Event()

    def consumer(message: Message) -> None:
        started.set()
        assert release.wait(60)
        hello(message)

    with served(consumer, threads=1, queue_limit=1) as server:
        url = server.url("/", "http")
        with ThreadPoolExecutor(2) as clients:
            first = clients.submit(status_of, url)
            assert started.wait(60)
            runner = server.server.app.runner  # type: ignore[attr-defined]
            eventually(lambda: runner.stats().queued == 0)
            second = clients.submit(status_of, url)
            eventually(lambda: runner.stats().queued == 1)
            assert status_of(url) == 503
            release.set()
            assert first.result() == second.result() == 200


@pytest.mark.parametrize("shape", ["function", "generator"])
def test_streams_leave_the_pool(shape: str) -> None:
    """R1: replies that go on for long hold no place in the pool, and other calls go on."""
    release = threading.Event()
    begun = {"status": 200, "content": b"one", "more_content": True}

    def generator(message: Message) -> Iterator[Any]:
        yield begun
        assert release.wait(20)
        yield {"content": b"two"}

    def consumer(message: Message) -> Any:
        if message.content["path"] == "/health":
            return hello(message)
        if shape == "generator":
            return generator(message)
        for reply in generator(message):
            message.reply_channel.send(reply)
        return None

    with served(consumer, threads=1) as server, ThreadPoolExecutor(4) as clients:
        streams = [clients.submit(httpx.get, server.url("/", "http")) for _ in range(4)]
        runner = server.server.app.runner  # type: ignore[attr-defined]
        eventually(lambda: runner.stats().streams == 4)
        assert httpx.get(server.url("/health", "http")).text == "/health"
        release.set()
        assert [stream.result().text for stream in streams] == ["onetwo"] * 4


def test_a_layer_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """L4: the request is answered with 500, and the log says why."""

    class Gone(MemoryLayer):
        def attach(self, channel: str, deliver: Any) -> None:
            raise LayerUnavailable("no Redis")

    with served(from_asgi1(hello, layer=Gone()), runner="inline") as server:
        assert httpx.get(server.url("/", "http")).status_code == 500
    assert "no Redis" in caplog.text


def test_a_consumer_hears_of_the_end() -> None:
    """L4: by `http.disconnect`, if it tells messages apart."""
    seen = []
    told = threading.Event()

    def consumer(message: Message) -> None:
        seen.append(message.channel.name)
        if message.channel.name == "http.request":
            hello(message)
        else:
            told.set()

    with served(consumer, runner="inline") as server:
        assert httpx.get(server.url("/x", "http")).text == "/x"
        assert told.wait(20)
    assert seen == ["http.request", "http.disconnect"]


def test_requests_have_contexts_of_their_own() -> None:
    """L2: what a consumer sets for one is not seen by the next on the same connection."""
    seen = []

    def consumer(message: Message) -> None:
        seen.append(LIST.get())
        LIST.set("changed")
        hello(message)

    async def awaits(message: Message) -> None:
        consumer(message)

    app = Dispatcher({"/plain": consumer, "/coroutine": awaits})
    with served(app, runner="inline") as server, httpx.Client() as ask:
        for path in ("/plain", "/coroutine"):
            for _ in range(2):
                ask.get(server.url(path, "http"))
    assert seen == ["unset"] * 4


def test_a_client_that_leaves_before_the_answer() -> None:
    """L4: it goes nowhere, and the consumer is told."""
    seen = []
    left = threading.Event()

    async def consumer(message: Message) -> None:
        seen.append(message.channel.name)
        if message.channel.name == "http.disconnect":
            left.set()

    with served(consumer) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: seen)
        assert left.wait(20)
    assert seen == ["http.request", "http.disconnect"]
