"""One call of an ASGI 1 consumer on a worker, for a client that a gateway has (L9, L13)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from bridge import from_asgi1
from bridge.asgi1.app import ConsumerApp
from bridge.channels import MemoryLayer
from bridge.dispatcher import Dispatcher
from bridge.errors import IllegalMessage
from bridge.gateway.back.consumer_session import ConsumerSession, hand_back
from bridge.gateway.back.mounted_consumers import Found
from bridge.gateway.consumer_content import TELLS_APART
from bridge.gateway.protocol import CANCEL, CONSUMER, CONSUMERS, END, EVENTS, TAKEN
from bridge.types import Message, Receive, Scope, Send
from tests.support.sessions import Ends, run


class Run:
    """One call of `consumer`; `replies` are those that its client gets."""

    def __init__(self, consumer: Any, more: list[Message] | None = None, **scope: Any) -> None:
        self.layer = MemoryLayer()
        self.app = from_asgi1(consumer, layer=self.layer)
        self.replies: list[Message] = []
        name = self.layer.new_reply_channel()
        self.layer.attach(name, self.replies.append)
        content = {
            "reply_channel": name,
            "path": "/a",
            "headers": [(b"x", b"1")],
            "body": b"",
            "client": ["192.0.2.1", 7],
        }
        about: Scope = {
            "type": "consumer",
            "channel": "http.request",
            "content": content,
            "more_body": more is not None,
            **scope,
        }
        self.ends = Ends(about, [])
        self.more = more or []
        self.session = ConsumerSession(self.ends, self.ends.request)

    async def end(self, app: Any = None) -> Any:
        """What the gateway is told of the end of the call."""
        task = asyncio.create_task(self.session.run(app or self.app, {}))
        for event in self.more:
            await self.ends.gateway.send(event)
        told = await self.ends.answer()
        self.tells_apart = told == [TELLS_APART]
        assert self.tells_apart or told == []
        await task
        assert self.ends.written[0] == (TAKEN, CONSUMER)
        await self.close()
        return self.ends.ended_with

    async def close(self) -> None:
        assert isinstance(self.app, ConsumerApp)
        await self.app.runner.stop(5)


def test_a_plain_consumer() -> None:
    """L9: it gets the message as it would beside the sockets, and its replies go by the layer."""
    seen: list[Any] = []

    def consumer(message: Any) -> None:
        seen.append((message.channel.name, message["path"], message["headers"], message["client"]))
        message.reply_channel.send({"status": 200, "content": b"hello"})

    async def test() -> None:
        ran = Run(consumer)
        assert await ran.end() is None
        assert ran.replies == [{"status": 200, "content": b"hello"}]
        assert seen == [("http.request", "/a", [(b"x", b"1")], ["192.0.2.1", 7])]

    run(test)


@pytest.mark.parametrize("more", [None, []])
@pytest.mark.parametrize("channel", ["http.request", "websocket.receive"])
@pytest.mark.parametrize("looks", [True, False])
def test_consumers_that_tell_messages_apart(
    looks: bool, channel: str, more: list[Message] | None
) -> None:
    """L4: the gateway learns of those of a request, so that it tells them its end."""

    async def consumer(message: Any) -> None:
        if looks:
            assert message.channel.name == channel

    async def test() -> None:
        ran = Run(consumer, more, channel=channel)
        if not looks:
            del ran.ends.request.scope["content"]["headers"]
        assert await ran.end() is None
        assert ran.tells_apart is (looks and channel == "http.request")

    run(test)


def test_replies_that_are_wrong() -> None:
    """L13: they raise in the consumer that sends them."""
    errors: list[str] = []

    def consumer(message: Any) -> None:
        for reply in ({"status": 200, "text": "a"}, {"text": "a", "content": 3}):
            try:
                message.reply_channel.send(reply)
            except IllegalMessage as error:
                errors.append(str(error))

    async def test() -> None:
        for channel in ("http.request", "websocket.receive"):
            await Run(consumer, channel=channel).end()

    run(test)
    assert errors == [
        "content is 3, and must be bytes",
        "a reply to a WebSocket has 'status'; allowed are 'accept', 'bytes', 'close' and 'text'",
        "a reply to a WebSocket has 'content'; allowed are 'accept', 'bytes', 'close' and 'text'",
    ]


def test_a_generator_of_replies() -> None:
    """L9: each value is a reply."""

    async def consumer(message: Any) -> Any:
        yield {"status": 200, "content": b"a", "more_content": True}
        yield {"content": b"b"}

    async def test() -> None:
        ran = Run(consumer)
        assert await ran.end() is None
        assert [each["content"] for each in ran.replies] == [b"a", b"b"]

    run(test)


PIECES = [b"%d" % number * 20_000 for number in range(10)]
SHA = hashlib.sha256(b"".join(PIECES)).hexdigest().encode()


def upload() -> list[Message]:
    last = len(PIECES) - 1
    return [
        {"type": "http.request", "body": piece, "more_body": number < last}
        for number, piece in enumerate(PIECES)
    ]


async def by_channels(message: Any, channels: Any) -> None:
    sha = hashlib.sha256()
    while True:
        chunk = await channels["body"].receive()
        sha.update(chunk["content"])
        if not chunk["more_content"]:
            break
    channels["reply"].send({"status": 200, "content": sha.hexdigest().encode()})


async def by_body(message: Any) -> None:
    sha = hashlib.sha256()
    async for chunk in message.body:
        sha.update(chunk)
    message.reply_channel.send({"status": 200, "content": sha.hexdigest().encode()})


def by_layer(message: Any) -> None:
    sha = hashlib.sha256(message["body"])
    more = True
    while more:
        _, chunk = message.channel_layer.receive([message["body_channel"]], block=True)
        sha.update(chunk["content"])
        more = chunk["more_content"]
    message.reply_channel.send({"status": 200, "content": sha.hexdigest().encode()})


@pytest.mark.parametrize("consumer", [by_channels, by_body, by_layer])
def test_a_body_that_comes_in_pieces(consumer: Any) -> None:
    """L9 L5: in each of the three ways, at the pace of the reader."""

    async def test() -> None:
        ran = Run(consumer, upload())
        assert await ran.end() is None
        assert ran.replies == [{"status": 200, "content": SHA}]

    run(test)


def test_a_client_that_leaves_in_the_middle_of_its_body() -> None:
    """L9 L10: the reader is told, and the call ends as it likes."""
    chunks: list[Message] = []

    async def consumer(message: Any, channels: Any) -> None:
        for _ in range(2):
            chunks.append(await channels["body"].receive())

    async def test() -> None:
        ran = Run(consumer, [])
        task = asyncio.create_task(ran.session.run(ran.app, {}))
        await ran.ends.gateway.send({"type": "http.request", "body": b"x", "more_body": True})
        while not chunks:
            await asyncio.sleep(0)
        ran.ends.gateway.write(CANCEL, None)
        await task
        assert chunks[1] == {"content": b"", "more_content": False, "closed": True}
        await ran.close()

    run(test)


def test_a_consumer_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """L13: logged here with its traceback, and told to the gateway."""

    def consumer(message: Any) -> None:
        raise ValueError("no")

    async def test() -> None:
        assert await Run(consumer).end() == "the app raised ValueError: no"

    run(test)
    (record,) = caplog.records
    assert record.getMessage() == "the app raised in http.request /a"
    assert record.exc_info is not None


def test_a_consumer_that_raises_after_its_response(caplog: pytest.LogCaptureFixture) -> None:
    """L13: its client gets the whole response, whichever of replies and end comes first."""

    async def consumer(message: Any) -> None:
        message.reply_channel.send({"status": 200, "content": b"hello"})
        raise ValueError("late")

    async def test() -> None:
        ran = Run(consumer)
        assert await ran.end() is None
        assert ran.replies == [{"status": 200, "content": b"hello"}]

    run(test)
    (record,) = caplog.records
    assert record.getMessage() == "the app raised in http.request /a"


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ({"channel": 7}, "a message has channel 7"),
        ({"content": [1]}, "a message has channel 'http.request' and content [1]"),
        ({"content": {"path": "/"}}, "TypeError"),
        ({"content": {"reply_channel": "no name"}}, "no name"),
    ],
)
def test_a_message_that_is_none(scope: dict[str, Any], said: str) -> None:
    """L13: a stranger's message ends as an error, and the consumer is not called."""
    called = False

    def consumer(message: Any) -> None:
        nonlocal called
        called = True

    async def test() -> None:
        assert said in await Run(consumer, **scope).end()

    run(test)
    assert not called


def test_a_consumer_in_a_mount() -> None:
    """L9: the message says where it is."""
    seen: list[str] = []

    async def test() -> None:
        ran = Run(lambda message: seen.append(message["path"]), mount="/one")
        app = Dispatcher({"/one": ran.app, "/": by_layer})
        assert await ran.end(app) is None
        assert seen == ["/a"]

    run(test)


def test_a_worker_whose_app_is_no_consumer() -> None:
    """L13: as in the middle of a deploy from one kind to another."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    async def test() -> None:
        ran = Run(lambda message: None)
        assert "this worker runs no ASGI 1 consumer" in await ran.end(app)

    run(test)


def test_a_request_is_handed_back() -> None:
    """L9: with what the gateway must know to make messages of it."""

    async def test() -> None:
        ran = Run(by_channels)
        assert isinstance(ran.app, ConsumerApp)
        hand_back(ran.ends.worker, Found(ran.app, "/a", {"path": "/a/b", "root_path": "/a"}))
        (told,) = await ran.ends.answer()
        assert told == {
            "type": CONSUMERS,
            "takes_channels": True,
            "response_timeout": 120.0,
            "connect_timeout": 20.0,
            "stall_timeout": 60.0,
            "subprotocols": [],
            "path": "/a/b",
            "root_path": "/a",
            "mount": "/a",
        }
        assert [kind for kind, _ in ran.ends.written] == [TAKEN, EVENTS, END]

    run(test)
