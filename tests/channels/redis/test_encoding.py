"""How a message stands in Redis."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.channels.messages import copy_message
from bridge.channels.redis import encoding
from bridge.channels.redis.encoding import Unreadable
from bridge.errors import MessageTooLarge

_TIME = struct.pack(">d", 1500.0)


def element(channels: list[str], message: dict[str, Any]) -> bytes:
    names, packed = encoding.encode_names(channels), encoding.encode_message(message, 10**6)
    return _TIME + encoding.START + names + packed


def test_round_trip() -> None:
    """L8: text stays text, bytes stay bytes."""
    message = {"a": b"\xc2\xa3", "b": "\u00a3", "c": [1, None, {"d": True}], "e": "\udc80"}
    found = encoding.decode(element(["p!x", "p!y"], message), "p!")
    assert found == (1.5, ["p!x", "p!y"], message)
    assert encoding.decode_message(encoding.encode_message(message, 1000)) == message


def test_for_others() -> None:
    """L8: the same message for other channels expires when the first does."""
    first = element(["p!x", "p!y"], {"a": 1})
    assert encoding.element_for(["p!y"], first, {"a": 1}) == element(["p!y"], {"a": 1})


def test_messages_that_cannot_be_sent() -> None:
    """L13: they are refused as by the layer in the process."""
    with pytest.raises(AssertionError):
        encoding.encode_message([], 1000)
    with pytest.raises(TypeError, match=r"\['a'\]"):
        encoding.encode_message({"a": object()}, 1000)
    with pytest.raises(TypeError, match="64 bits"):
        encoding.encode_message({"a": 2**64}, 1000)
    with pytest.raises(TypeError, match="keys of a message are str"):
        encoding.encode_message({"a": [{1: 2}]}, 1000)
    with pytest.raises(MessageTooLarge, match="takes 10;"):
        encoding.encode_message({"a": "x" * 20}, 10)
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(TypeError, match="nested"):
        encoding.encode_message(deep, 10**6)


def test_a_key_that_is_a_kind_of_text() -> None:
    """L8: a key of a class derived from str is sent as text."""

    class Text(str):
        __slots__ = ()

    assert encoding.decode_message(encoding.encode_message({Text("a"): 1}, 100)) == {"a": 1}


@pytest.mark.parametrize(
    ("element", "said"),
    [
        (b"", "version"),
        (_TIME + b"\x07", "another"),
        (_TIME + b"\x01", "cannot be read"),
        (_TIME + b"\x01\x05", "cannot be read"),
        (_TIME + b"\x01\x92\x91\xa1a\x01", "not a list of names with a dict"),
        (_TIME + b"\x01\x92\x90\x80", "not a list of names with a dict"),
        (_TIME + b"\x01\x92\x91\xa2a!\x80", "no name after"),
        (_TIME + b"\x01\x92\x91\xa1b\x80", "for 'b', which is another channel"),
        (_TIME + b"\x01\x92\x91\xa1a\x81\xa1x\xd4\x05\x00", "cannot be read"),
        (_TIME + b"\x01\x92\x91\xa1a\x81\xa1x\xc7\x00\x05", "of the type 5"),
        (_TIME + b"\x01\x92\x91\xa1a\x81\xa1x\xd6\xff\x00\x00\x00\x00", "cannot be read"),
        (_TIME + b"\x01\x92\x91\xa1a\x80more", "cannot be read"),
        (_TIME + b"\x01\x92\x91\xa1a\x81\x05\x05", "cannot be read"),
    ],
)
def test_elements_by_strangers(element: bytes, said: str) -> None:
    """L13: what is no message, or of another version, is refused with what is wrong with it."""
    with pytest.raises(Unreadable, match=said):
        encoding.decode(element, "a")


def test_half_an_element() -> None:
    """L13: each half of a message is refused."""
    whole = element(["a"], {"a": [b"b", {"c": 1}]})
    for end in range(len(whole)):
        with pytest.raises(Unreadable):
            encoding.decode(whole[:end], "a")


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """L13: no bytes make anything but Unreadable, or a message."""
    try:
        encoding.decode(_TIME + b"\x01" + data, "a")
    except Unreadable:
        pass


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text() | st.integers(), _VALUES))
def test_any_message(message: dict[Any, Any]) -> None:
    """L8: a message is taken, or refused with an error of the same kind, as in the process."""
    try:
        copied = copy_message(message)
    except TypeError:
        with pytest.raises(TypeError):
            encoding.encode_message(message, 10**6)
    else:
        packed = encoding.encode_message(message, 10**6)
        assert packed == msgpack.packb(copied, unicode_errors="surrogatepass")
        assert repr(encoding.decode_message(packed)) == repr(copied)
