"""`from_asgi1` as a host sees it: settings, lifespan, loops, other scopes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import bridge
from bridge.arguments.checks import WSGI_DEFAULTS
from bridge.asgi1.app import ConsumerApp
from bridge.asgi1.message import Message, ReplyChannel
from bridge.channels import get_channel_layer
from bridge.channels.memory import MemoryLayer
from bridge.errors import AppLoadError, ConfigError, NotOnAsyncio, UnsupportedScope
from bridge.runners.inline import InlineRunner
from bridge.runners.threads.runner import ThreadRunner
from tests.adapters.wsgi_on_asgi.asking import RUNNERS, Client
from tests.support.in_process import http


def hello(message: Message) -> None:
    message.reply_channel.send({"status": 200, "content": b"hello"})


def app_of(consumer: Any = hello, **settings: Any) -> ConsumerApp:
    app = bridge.from_asgi1(consumer, **settings)
    assert isinstance(app, ConsumerApp)
    return app


@pytest.mark.parametrize("runner", RUNNERS)
def test_loops_one_after_the_other(runner: str) -> None:
    """L2 W54: one app serves loop after loop, without lifespan (a test client's way)."""
    app = app_of(runner=runner, idle_timeout=0.05)

    async def use() -> None:
        for _ in range(2):
            client = Client()
            await client.ask(app)  # type: ignore[arg-type]
            assert client.body == b"hello"
        assert await app.runner.stop(10)

    asyncio.run(use())
    asyncio.run(use())


def test_calls_for_another_process() -> None:
    """L9: a worker calls a consumer for clients that a gateway has, loop after loop."""
    app = app_of(subprotocols=["chat"], response_timeout=7)
    assert app.told()["subprotocols"] == ["chat"]
    assert app.told()["response_timeout"] == 7

    async def use() -> None:
        replies: list[Any] = []
        layer = app.layer
        name = layer.new_reply_channel()
        layer.attach(name, replies.append)
        for _ in range(2):
            await app.call("http.request", {"reply_channel": ReplyChannel(name, layer)})
        assert replies == [{"status": 200, "content": b"hello"}] * 2
        assert await app.runner.stop(10)

    asyncio.run(use())
    asyncio.run(use())


def test_lifespan() -> None:
    """L2 W54: lifespan is answered; the pool ends with it."""
    app = app_of()

    async def use() -> None:
        client = Client()
        await client.ask(app)  # type: ignore[arg-type]
        host = Client()
        host.scope = {"type": "lifespan"}
        host.coming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        await host.ask(app)  # type: ignore[arg-type]
        assert [message["type"] for message in host.sent] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]
        assert app.stats()[:3] == (0, 0, 0)

    asyncio.run(use())


def test_the_channel_layer() -> None:
    """L2: that which it was given, else that of the process."""
    layer = MemoryLayer()
    assert app_of(layer=layer).layer is layer
    assert app_of().layer is get_channel_layer()
    seen = []

    def consumer(message: Message) -> None:
        seen.append(message.channel_layer)
        hello(message)

    http(app_of(consumer, layer=layer, runner="inline"), "/")
    assert seen == [layer]


def test_the_response_timeout() -> None:
    """L3: in seconds; 120 if nothing is said."""
    assert (
        http(app_of(lambda message: None, response_timeout=0.01, runner="inline"), "/").status
        == 503
    )
    assert app_of()._response_timeout == 120


def test_the_settings_of_websockets() -> None:
    """L4: how long a handshake waits for its answer, and the subprotocols that are accepted."""

    def consumer(message: Message) -> None:
        if message.channel_name == "websocket.connect":
            message.reply_channel.send({"accept": True, "close": True})

    def first_sent(app: ConsumerApp) -> Any:
        async def use() -> Any:
            client = Client()
            client.scope = {
                "type": "websocket",
                "path": "/",
                "headers": [],
                "subprotocols": ["other", "chat"],
            }
            client.coming = [{"type": "websocket.connect"}]
            await client.ask(app)  # type: ignore[arg-type]
            return client.sent[0]

        return asyncio.run(use())

    accepted = first_sent(app_of(consumer, subprotocols=["chat"], runner="inline"))
    assert accepted == {"type": "websocket.accept", "subprotocol": "chat"}
    refused = first_sent(app_of(lambda _: None, websocket_connect_timeout=0.01, runner="inline"))
    assert refused["type"] == "websocket.close"


def test_how_it_runs() -> None:
    """S60: as it was told in Python, else as the server is told."""
    app = app_of(runner="thread", threads=3, idle_timeout=5)
    assert isinstance(app.runner, ThreadRunner)
    values = {**WSGI_DEFAULTS, "runner": "inline", "queue_limit": 7, "threads": 3}
    assert app.adopt(values) == {"runner": "thread"}
    runner = app.runner
    assert isinstance(runner, ThreadRunner)
    assert (runner.threads, runner.queue_limit) == (3, 7)
    app.adopt(values)
    assert app.runner is runner  # a second server of this process
    told = app_of()
    assert told.adopt(values) == {}
    assert isinstance(told.runner, InlineRunner)
    own = InlineRunner()
    assert app_of(runner=own).runner is own


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"runner": "fast"}, "runner is 'fast'; allowed is one of thread, greenlet, inline"),
        ({"threads": 0}, "threads is 0"),
        ({"response_timeout": -1}, "response_timeout is -1"),
        ({"websocket_connect_timeout": -1}, "websocket_connect_timeout is -1"),
        ({"subprotocols": 5}, "subprotocols is 5; allowed is a list of texts"),
        ({"layer": "redis://"}, "layer is 'redis://', and must be a channel layer"),
        ({"consumer": 3}, "an ASGI 1 consumer is a callable, and 3 is an int"),
    ],
)
def test_values_that_are_not_allowed(settings: dict[str, Any], text: str) -> None:
    """S61: refused when it is made, with what is allowed."""
    with pytest.raises(ConfigError, match=text):
        bridge.from_asgi1(**{"consumer": hello, **settings})


def test_other_scopes() -> None:
    """L2: the host is told what it takes."""
    with pytest.raises(UnsupportedScope, match="cannot take the ASGI scope type 'other'"):
        http(app_of(), "/", type="other")


def test_a_loop_that_is_not_asyncio() -> None:
    """L2: the host is told, at the start or with its first request."""
    call = app_of()({"type": "http"}, None, None)  # type: ignore[arg-type]
    with pytest.raises(NotOnAsyncio, match="from_asgi1 runs on asyncio"):
        call.send(None)
    sent: list[Any] = []

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message["type"])

    starting = app_of()({"type": "lifespan"}, receive, send)
    with pytest.raises(StopIteration):
        starting.send(None)
    assert sent == ["lifespan.startup.failed"]


def test_a_runner_that_cannot_start() -> None:
    """L2 W54: its error is the host's answer."""

    class Stuck(InlineRunner):
        def start(self, loop: asyncio.AbstractEventLoop) -> None:
            raise AppLoadError("no threads here")

    with pytest.raises(AppLoadError, match="no threads here"):
        http(app_of(runner=Stuck()), "/")
    (failed,) = http(app_of(runner=Stuck()), "/", type="lifespan").messages
    assert failed == {"type": "lifespan.startup.failed", "message": "no threads here"}


def test_how_it_shows() -> None:
    """L2: in errors and logs."""
    assert repr(app_of(print)) == f"from_asgi1({print!r})"
