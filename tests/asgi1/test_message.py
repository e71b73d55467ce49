"""Messages and reply channels: what code for ASGI 1 calls on them."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest

from bridge.asgi1.message import Channel, Message, ReplyChannel
from bridge.channels.memory import MemoryLayer
from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.types import Message as Content
from tests.asgi1.calling import KeepingClient


@pytest.fixture
def layer() -> MemoryLayer:
    return MemoryLayer()


@pytest.fixture
def client() -> KeepingClient:
    return KeepingClient()


@pytest.fixture
def message(layer: MemoryLayer, client: KeepingClient) -> Message:
    reply = ReplyChannel(layer.new_reply_channel(), layer, client)
    content = {"reply_channel": reply, "path": "/x", "method": "GET", "body": b"abc"}
    return Message(content, "http.request", layer)


def test_a_message_as_a_dictionary_of_three(
    message: Message, layer: MemoryLayer, client: KeepingClient
) -> None:
    """L2: shape (a) finds the reply channel, the layer and the content under their names."""
    message["reply_channel"].send({"status": 200})
    assert client.replies == [{"status": 200}]
    assert message["channel_layer"] is layer
    assert message["message"]["path"] == "/x"
    assert message["message"]["reply_channel"] == message["reply_channel"]
    assert "message" in message
    assert message.get("channel_layer") is layer


def test_a_message_as_channels_1_had_it(
    message: Message, layer: MemoryLayer, client: KeepingClient
) -> None:
    """L2: shape (b) finds content, channels and layer as attributes, and reads keys."""
    assert message.content["path"] == message["path"] == "/x"
    assert message.channel.name == str(message.channel) == "http.request"
    assert message.channel.channel_layer is message.channel_layer is layer
    assert message.reply_channel.channel_layer is layer
    message.reply_channel.send({"status": 204}, immediately=True)
    assert client.replies == [{"status": 204}]
    assert message.get("nothing") is None
    assert message.get("nothing", 1) == 1
    assert list(message.keys()) == list(message.content)
    assert dict(message.items()) == message.content
    assert list(message.values()) == list(message.content.values())
    assert "path" in message
    assert "nothing" not in message
    with pytest.raises(KeyError, match="nothing"):
        message["nothing"]
    assert repr(message) == "<Message on http.request: reply_channel, path, method, body>"


def test_what_a_consumer_sets_comes_first(message: Message) -> None:
    """L2: a key that the consumer sets is its own, whatever else has that name."""
    message["message"] = "mine"
    assert message["message"] == message.get("message") == message.content["message"] == "mine"


def test_whether_a_consumer_tells_messages_apart(message: Message) -> None:
    """L4: a consumer does if it has looked at the message's channel."""
    assert not message.asked_for_channel
    assert message.channel is message.channel
    assert message.asked_for_channel


def test_a_copy_can_be_changed_and_answers_the_same_client(
    message: Message, client: KeepingClient
) -> None:
    """L2: `copy` is deep, but for the client."""
    message["list"] = [1]
    copied = message.copy()
    copied["list"].append(2)
    copied.reply_channel.send({"status": 200})
    assert message["list"] == [1]
    assert (copied.channel.name, client.replies) == ("http.request", [{"status": 200}])
    assert copied.reply_channel == message.reply_channel


def test_a_message_without_a_reply_channel(layer: MemoryLayer) -> None:
    """L2: a message of one's own has none."""
    assert Message({}, "thumbnails", layer).reply_channel is None


def test_a_reply_channel_is_its_name(layer: MemoryLayer, client: KeepingClient) -> None:
    """L2: it can be put into a group, into JSON, and sent to another process, where it is text."""
    name = layer.new_reply_channel()
    reply = ReplyChannel(name, layer, client)
    assert reply == name
    assert (type(reply.name), reply.name) == (str, name)
    layer.attach(name, client.reply)
    layer.group_add("news", reply)
    assert list(layer.group_channels("news")) == [name]
    assert json.dumps([reply]) == json.dumps([name])
    assert type(pickle.loads(pickle.dumps(reply))) is str
    assert copy.deepcopy(reply) is reply
    assert name in repr(reply)
    layer.send("jobs", {"answer_to": reply})
    received = layer.receive(["jobs"])[1]
    assert received is not None
    assert type(received["answer_to"]) is str


def test_a_reply_to_another_process_goes_by_the_layer(layer: MemoryLayer) -> None:
    """L3: a reply channel whose client is not here sends to the layer."""
    reply = ReplyChannel("other!1", layer)
    reply.send({"status": 200})
    assert layer.receive(["other!"]) == ("other!1", {"status": 200})
    with pytest.raises(IllegalMessage, match="a message is a dict, not 'x'"):
        reply.send("x")  # type: ignore[arg-type]


def test_a_channel_sends(layer: MemoryLayer) -> None:
    """L2: a channel of a layer has a name and `send`."""
    channel = Channel("thumbnails", layer)
    channel.send({"id": 1}, immediately=True)
    assert layer.receive(["thumbnails"]) == ("thumbnails", {"id": 1})
    assert repr(channel) == "<Channel thumbnails>"
    with pytest.raises(IllegalMessage, match="dict"):
        channel.send(None)  # type: ignore[arg-type]


def test_awaiting_a_reply_waits_for_a_slow_client(
    layer: MemoryLayer, client: KeepingClient
) -> None:
    """L2: `await channels["reply"].send(...)` waits while the client is slow, and only then."""
    reply = ReplyChannel("a!1", layer, client)

    async def send() -> None:
        await reply.send({"status": 200})
        assert client.waits == 0
        client.slow_after = 2
        sent = reply.send({})
        assert client.waits == 0
        await sent
        await sent

    asyncio.run(send())
    assert client.waits == 1
    assert len(client.replies) == 2


def test_the_body_of_a_request(message: Message, layer: MemoryLayer) -> None:
    """L2: the body is read from its beginning, whether all of it came with the message or not."""
    chunks: list[Content] = [
        {"content": b"de", "more_content": True},
        {"content": b"f", "more_content": False},
    ]

    async def receive() -> Content:
        return chunks.pop(0)

    async def gone() -> Content:
        return {"content": b"", "more_content": False, "closed": True}

    async def read(message: Message) -> bytes:
        pieces = [piece async for piece in message.body]
        assert message.body is message.body
        return b"".join(pieces)

    assert asyncio.run(read(message)) == b"abc"
    streamed = Message({"body": b"abc"}, "http.request", layer, receive)
    assert asyncio.run(read(streamed)) == b"abcdef"
    with pytest.raises(ClientDisconnected):
        asyncio.run(read(Message({}, "http.request", layer, gone)))


def test_only_requests_have_a_body(layer: MemoryLayer) -> None:
    """L2: another message has none, and says so."""
    message: Any = Message({}, "websocket.receive", layer)
    with pytest.raises(AttributeError, match=r"websocket\.receive has no body"):
        message.body.read()


def test_a_channel_may_lead_to_another_client() -> None:
    """L3: what is sent from then on goes there."""
    first, second = KeepingClient(), KeepingClient()
    channel = ReplyChannel("x!1", MemoryLayer(), first)
    channel.send({"a": 1})
    channel.lead_to(second)
    channel.send({"a": 2})
    assert (first.replies, second.replies) == ([{"a": 1}], [{"a": 2}])
