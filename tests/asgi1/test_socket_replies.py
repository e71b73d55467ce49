"""Replies to a WebSocket: which ASGI messages they become."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.asgi1.socket_replies import CLOSED, CONNECTING, OPEN, SocketReplies, check_reply
from bridge.errors import IllegalMessage
from bridge.types import Message

ACCEPT = {"type": "websocket.accept", "subprotocol": None}
REFUSE = {"type": "websocket.close", "code": 1000}


def send(data: str | bytes) -> Message:
    return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}


def close(code: int = 1000) -> Message:
    return {"type": "websocket.close", "code": code}


def talk(*replies: Message) -> list[Message]:
    """The ASGI messages that these replies become, one after the other."""
    state = SocketReplies()
    return [message for reply in replies for message in state.take(check_reply(reply))]


@pytest.mark.parametrize(
    ("reply", "becomes", "phase"),
    [
        ({"accept": True}, [ACCEPT], OPEN),
        ({"accept": False}, [REFUSE], CLOSED),
        ({"accept": False, "text": "x", "close": 3000}, [REFUSE], CLOSED),
        ({"accept": None}, [], CONNECTING),
        ({}, [], CONNECTING),
        ({"text": "x"}, [ACCEPT, send("x")], OPEN),
        ({"bytes": b"x"}, [ACCEPT, send(b"x")], OPEN),
        ({"text": None, "bytes": bytearray(b"x")}, [ACCEPT, send(b"x")], OPEN),
        ({"text": "", "bytes": b"x"}, [ACCEPT, send(b"x")], OPEN),
        ({"text": "x", "bytes": b""}, [ACCEPT, send("x")], OPEN),
        ({"text": ""}, [], CONNECTING),
        ({"bytes": b""}, [], CONNECTING),
        ({"close": True}, [REFUSE], CLOSED),
        ({"close": 3000}, [REFUSE], CLOSED),
        ({"close": False}, [], CONNECTING),
        ({"text": "", "close": True}, [REFUSE], CLOSED),
        ({"accept": True, "text": "x"}, [ACCEPT, send("x")], OPEN),
        ({"accept": True, "text": ""}, [ACCEPT, send("")], OPEN),
        ({"accept": True, "close": True}, [ACCEPT, close()], CLOSED),
        ({"text": "x", "close": 4999}, [ACCEPT, send("x"), close(4999)], CLOSED),
        ({"accept": True, "bytes": b"x", "close": 1001}, [ACCEPT, send(b"x"), close(1001)], CLOSED),
    ],
)
def test_while_connecting(reply: Message, becomes: list[Message], phase: int) -> None:
    """L4: accept true accepts, data accepts and is sent, close and accept false refuse."""
    state = SocketReplies()
    assert [*state.take(check_reply(reply))] == becomes
    assert state.phase == phase


@pytest.mark.parametrize(
    ("reply", "becomes"),
    [
        ({"accept": True}, []),
        ({"accept": False}, []),
        ({}, []),
        ({"text": "x"}, [send("x")]),
        ({"text": ""}, [send("")]),
        ({"bytes": b""}, [send(b"")]),
        ({"bytes": memoryview(b"x")}, [send(b"x")]),
        ({"accept": False, "text": "x"}, [send("x")]),
        ({"close": True}, [close()]),
        ({"close": 1011}, [close(1011)]),
        ({"text": "bye", "close": 3000}, [send("bye"), close(3000)]),
        ({"close": False, "text": "x"}, [send("x")]),
    ],
)
def test_while_open(reply: Message, becomes: list[Message]) -> None:
    """L4: data is sent, empty or not; close true is 1000; accept says nothing any more."""
    assert talk({"accept": True}, reply) == [ACCEPT, *becomes]


def test_nothing_after_the_close() -> None:
    """L4: what comes after a close or a refusal is dropped, and so it is if the client has gone."""
    after = [{"accept": True}, {"text": "x"}, {"close": 3001}]
    assert talk({"text": "x", "close": 3000}, *after) == [ACCEPT, send("x"), close(3000)]
    assert talk({"close": True}, *after) == [REFUSE]
    state = SocketReplies()
    state.end()
    assert not state.take(check_reply({"accept": True}))
    assert (state.phase, state.code) == (CLOSED, None)


def test_the_code_that_it_was_closed_with() -> None:
    """L4: the consumer is told the code that was sent; 1006 if the handshake was refused."""
    state = SocketReplies()
    assert state.code is None
    state.take(check_reply({"text": "x", "close": 4000}))
    assert state.code == 4000
    refused = SocketReplies()
    refused.take(check_reply({"close": 4000}))
    assert refused.code == 1006


def test_the_close_of_the_host() -> None:
    """L4: it refuses, closes, or does nothing, as the phase says."""
    state = SocketReplies()
    assert state.close(1011) == [REFUSE]
    assert state.close(1011) == []
    opened = SocketReplies("chat")
    (accept,) = opened.take(check_reply({"accept": True}))
    assert accept["subprotocol"] == "chat"
    assert opened.close(1011) == [close(1011)]
    assert (opened.close(1000), opened.code) == ([], 1011)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("accept", "a reply to a WebSocket is a dict, not 'accept'"),
        (None, "is a dict, not None"),
        ({"status": 200, "content": b""}, "has 'content', 'status'; allowed are 'accept', 'bytes'"),
        ({"type": "websocket.accept"}, "has 'type'; allowed are"),
        ({1: 2}, "has 1; allowed are"),
        ({"accept": 1}, "accept is 1; allowed are true, false and None"),
        ({"accept": "yes"}, "accept is 'yes'"),
        ({"text": b"x"}, "text is bytes, and must be str"),
        ({"text": 5}, "text is int, and must be str"),
        ({"bytes": "x"}, "bytes is str, and must be bytes"),
        ({"bytes": [1]}, "bytes is list, and must be bytes"),
        ({"text": "x", "bytes": b"y"}, "has text and bytes; send one of them"),
        ({"text": "\ud800"}, "text cannot be encoded as UTF-8"),
    ],
)
def test_a_reply_that_is_malformed(reply: Any, says: str) -> None:
    """L4 L13: the sender is told what is wrong, and what is allowed."""
    with pytest.raises(IllegalMessage) as caught:
        check_reply(reply)
    assert says in str(caught.value)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1.5, "1000"])
def test_a_code_that_may_not_be_sent(code: object) -> None:
    """L4 L13: codes that are not for close frames are refused, with those that are."""
    with pytest.raises(IllegalMessage, match="1000 to 1003, 1007 to 1014, and 3000 to 4999"):
        check_reply({"close": code})


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1013, 1014, 3000, 4999])
def test_a_code_that_may_be_sent(code: int) -> None:
    """L4: and those that are for close frames are taken."""
    assert check_reply({"close": code}).code == code


def test_the_size_of_a_reply() -> None:
    """L4: is that of its data."""
    assert check_reply({"text": "four", "close": True}).size == 4
    assert check_reply({"bytes": b"12345"}).size == 5
    assert check_reply({"accept": True}).size == 0
