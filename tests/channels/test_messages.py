"""What a message may be made of, and its copy."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest

from bridge.channels.messages import copy_message
from bridge.errors import MessageTooLarge


class _Number(IntEnum):
    ONE = 1


class _Text(str):
    pass


def test_copy_shares_nothing() -> None:
    """L6: a sender may change its message after it has sent it."""
    message = {
        "list": [1, {"a": b"\xc2\xa3"}],
        "text": "\u00a3",
        "none": None,
        "yes": True,
        "x": 1.5,
    }
    copied = copy_message(message)
    assert copied == message
    message["list"][1]["a"] = b"other"  # type: ignore[index]
    assert copied["list"][1]["a"] == b"\xc2\xa3"


def test_values_become_plain() -> None:
    """L6: what is like a list, a text or bytes arrives as that, as it would over Redis."""
    copied = copy_message(
        {_Text("k"): (1, bytearray(b"a"), memoryview(b"b"), _Text("c"), _Number.ONE)}
    )
    assert copied == {"k": [1, b"a", b"b", "c", 1]}
    assert [type(each) for each in copied["k"]] == [int, bytes, bytes, str, int]
    assert type(next(iter(copied))) is str


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({1: 2}, "key 1"),
        ({"a": {"b": [object()]}}, r"\['a'\]\['b'\]\[0\]"),
        ({"a": 2**64}, "64 bits"),
        ({"a": {1, 2}}, r"\['a'\]"),
    ],
)
def test_values_that_no_layer_can_carry(message: Any, place: str) -> None:
    """L6: the error says where the value stands."""
    with pytest.raises(TypeError, match=place):
        copy_message(message)


def test_nested_too_deeply() -> None:
    """L13: a message that contains itself is refused, and not followed for ever."""
    message: dict[str, Any] = {}
    message["self"] = message
    with pytest.raises(TypeError, match="nested deeper"):
        copy_message(message)


def test_no_dict() -> None:
    """L6: a message that is no dict is an AssertionError, as with asgiref's layers."""
    with pytest.raises(AssertionError, match="a message is a dict"):
        copy_message([1])


def test_size() -> None:
    """L6: a message that is too large is refused before it is sent."""
    assert copy_message({"a": b"x" * 900}, 1000)
    with pytest.raises(MessageTooLarge, match="more than 1000 bytes"):
        copy_message({"a": [b"x" * 500, "y" * 500]}, 1000)
