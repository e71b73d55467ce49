"""The clients of consumers on workers, as their reply channels see them (L3, L4, L9, L13)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.channels import MemoryLayer
from bridge.errors import ChannelFull, IllegalMessage, MessageTooLarge
from bridge.gateway.back.reply_clients import HttpClient, RemoteClient, SocketClient
from bridge.types import Message

WHOLE = {"status": 201, "headers": [[b"X-A", b"1"]], "content": b"hello"}
FIRST = {"status": 200, "content": b"1", "more_content": True}


class Sent:
    """A layer, and what has come by it."""

    def __init__(self) -> None:
        self.layer = MemoryLayer(max_message_size=100)
        self.replies: list[Message] = []
        self.name = self.layer.new_reply_channel()
        self.full = False
        self.layer.attach(self.name, self._take)

    def _take(self, message: Message) -> None:
        if self.full:
            raise ChannelFull("of this test")
        self.replies.append(message)

    def client(self, firsts: list[int] | None = None) -> HttpClient:
        return HttpClient(self.name, self.layer, firsts and (lambda: firsts.append(1)))


def test_a_whole_response() -> None:
    """L9: it does not go by the layer, and nothing can follow it."""
    sent, firsts = Sent(), [0]
    client = sent.client(firsts)
    client.reply(WHOLE)
    assert client.whole == (201, [(b"x-a", b"1")], b"hello")
    assert (sent.replies, firsts, client.share()) == ([], [0, 1], False)
    for late in ({"content": b"more"}, WHOLE):
        with pytest.raises(IllegalMessage, match="the response is complete"):
            client.reply(late)
    client.leave()
    client.reply(WHOLE)
    assert sent.replies == []


@pytest.mark.parametrize(
    "replies",
    [
        [FIRST, {"content": b"2", "more_content": True}, {"content": b"3"}],
        [{"content": b"of another's response"}],
    ],
)
def test_replies_in_pieces(replies: list[Message]) -> None:
    """L9: all go by the layer, in their order, if the first one is not whole."""
    sent, firsts = Sent(), [0]
    client = sent.client(firsts)
    for each in replies:
        client.reply(each)
    assert (client.whole, sent.replies, firsts) == (None, replies, [0, 1])


def test_the_gateway_has_the_client() -> None:
    """L9: once the call has ended, a whole response goes by the layer, too."""
    sent, firsts = Sent(), [0]
    client = sent.client(firsts)
    assert client.share()
    client.reply(WHOLE)
    assert (client.whole, sent.replies, firsts) == (None, [WHOLE], [0])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("text", IllegalMessage),
        ({"status": "text"}, IllegalMessage),
        ({"status": 200, "content": "text"}, IllegalMessage),
        ({"status": 200, "headers": [b"a"]}, IllegalMessage),
        ({"nothing": 1}, IllegalMessage),
        ({"status": 200, "content": b"x" * 101}, MessageTooLarge),
    ],
)
def test_replies_that_are_wrong(reply: Any, error: type[Exception]) -> None:
    """L13: the sender gets the error, and can send another reply."""
    sent, firsts = Sent(), [0]
    client = sent.client(firsts)
    with pytest.raises(error):
        client.reply(reply)
    client.reply(WHOLE)
    assert (client.whole is not None, sent.replies) == (True, [])


def test_replies_out_of_order() -> None:
    """L13: as far as one call knows."""
    sent = Sent()
    client = sent.client()
    client.reply(FIRST)
    with pytest.raises(IllegalMessage, match="'status' is for the first reply"):
        client.reply(FIRST)
    client.reply({"content": b"2"})
    with pytest.raises(IllegalMessage, match="the response is complete"):
        client.reply({"content": b"3"})
    assert [each["content"] for each in sent.replies] == [b"1", b"2"]


def test_a_channel_that_is_full() -> None:
    """L9: what was not sent can be sent again."""
    sent = Sent()
    client = sent.client()
    sent.full = True
    with pytest.raises(ChannelFull):
        client.reply(WHOLE)
    sent.full = False
    asyncio.run(client.caught_up())
    client.reply(WHOLE)
    assert sent.replies == [WHOLE]


def test_websockets() -> None:
    """L13: the shape and the size are checked here."""
    sent = Sent()
    client = SocketClient(sent.name, sent.layer)
    client.reply({"text": "a"})
    with pytest.raises(IllegalMessage):
        client.reply({"text": 3})
    with pytest.raises(MessageTooLarge):
        client.reply({"bytes": b"x" * 101})
    assert sent.replies == [{"text": "a"}]
    assert (client.is_slow, client.is_gone) == (False, False)


def test_what_all_of_them_do() -> None:
    """L9: each kind takes replies."""
    sent = Sent()
    with pytest.raises(NotImplementedError):
        RemoteClient(sent.name, sent.layer).reply({})
