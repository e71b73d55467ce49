"""How a message stands in Redis."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.channels.redis import encoding
from bridge.channels.redis.encoding import Unreadable
from bridge.errors import MessageTooLarge

_TIME = struct.pack(">d", 1500.0)


def test_round_trip() -> None:
    """L8: text stays text, bytes stay bytes."""
    message = {"a": b"\xc2\xa3", "b": "\u00a3", "c": [1, None, {"d": True}]}
    packed = encoding.encode_names(["p!x", "p!y"]) + encoding.encode_message(message, 1000)
    found = encoding.decode(_TIME + encoding.VERSION + packed, 1000)
    assert found == (1.5, ["p!x", "p!y"], message)


def test_messages_that_cannot_be_sent() -> None:
    """L13: they are refused as by the layer in the process."""
    with pytest.raises(AssertionError):
        encoding.encode_message([], 1000)
    with pytest.raises(TypeError, match=r"\['a'\]"):
        encoding.encode_message({"a": object()}, 1000)
    with pytest.raises(MessageTooLarge, match="takes 10;"):
        encoding.encode_message({"a": "x" * 20}, 10)


@pytest.mark.parametrize(
    ("element", "said"),
    [
        (b"", "version"),
        (_TIME + b"\x07", "another"),
        (_TIME + b"\x01", "cannot be read"),
        (_TIME + b"\x01\x91\xa1a\x01", "not a list of names with a dict"),
        (_TIME + b"\x01\x91\xa2a!\x80", "no name after"),
    ],
)
def test_elements_by_strangers(element: bytes, said: str) -> None:
    """L13: what is no message, or of another version, is refused with what is wrong with it."""
    with pytest.raises(Unreadable, match=said):
        encoding.decode(element, 1000)


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """L13: no bytes make anything but Unreadable, or a message."""
    try:
        encoding.decode(_TIME + b"\x01" + data, 1000)
    except Unreadable:
        pass
