"""What a message may be made of, and its copy."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.channels.messages import MAX_MESSAGE_SIZE, check_message, copy_again, copy_message
from bridge.errors import MessageTooLarge

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("aé\x00"), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abü"), VALUES))
def test_a_copy_is_equal_and_shares_nothing(message: dict[str, Any]) -> None:
    """L6: what a layer can carry arrives as it was sent."""
    first = copy_message(message)
    assert first == message
    assert copy_again(first) == message
    assert _containers(message).isdisjoint(_containers(first))
    assert _containers(first).isdisjoint(_containers(copy_again(first)))


def _containers(value: Any) -> set[int]:
    if not isinstance(value, (dict, list)):
        return set()
    inner = value.values() if isinstance(value, dict) else value
    return {id(value)}.union(*map(_containers, inner))


class Text(str):
    def __str__(self) -> str:
        return "something else"


class Half(float):
    pass


def test_subclasses_become_what_they_derive_from() -> None:
    """L6: tuples become lists, and texts, numbers and bytes of other types plain ones."""
    message = {
        Text("key"): (1, (2,)),
        "status": HTTPStatus.NOT_FOUND,
        "text": Text("a"),
        "half": Half(0.5),
        "bytes": [bytearray(b"b"), memoryview(b"c")],
    }
    copied = copy_message(message)
    assert copied == {
        "key": [1, [2]],
        "status": 404,
        "text": "a",
        "half": 0.5,
        "bytes": [b"b", b"c"],
    }
    for value in [*copied, *copied.values(), *copied["key"], *copied["bytes"]]:
        assert type(value) in (str, int, float, list, bytes)


@pytest.mark.parametrize("message", [None, [], "text", 1, [("a", 1)]])
def test_a_message_is_a_dict(message: object) -> None:
    """L6: anything else is an AssertionError, as with asgiref's layers, with `python -O` too."""
    for check in (check_message, copy_message):
        with pytest.raises(AssertionError, match="a message is a dict, not"):
            check(message)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({1: 2}, r"the message\[1\] cannot be sent: 1; the keys of a message are str"),
        ({b"a": 2}, r"the message\[b'a'\] cannot be sent"),
        ({"a": {"b": [0, object]}}, r"the message\['a'\]\['b'\]\[1\] cannot be sent: <class 'obj"),
        ({"a": {1, 2}}, r"the message\['a'\] cannot be sent: \{1, 2\}; a message has None, bool"),
        ({"a": 2**64}, r"the message\['a'\] is 18446744073709551616, which does not fit in 64"),
        ({"a": -(2**63) - 1}, "does not fit in 64 bits"),
    ],
)
def test_what_no_layer_can_carry(message: dict[Any, Any], words: str) -> None:
    """L6, L13: the error names the place of the value, shows it, and says what is allowed."""
    with pytest.raises(TypeError, match=words):
        copy_message(message)


def test_nesting_has_an_end() -> None:
    """L6: a message that is in itself is refused, as one that is too deep."""
    round_: dict[str, Any] = {}
    round_["again"] = [round_]
    with pytest.raises(TypeError, match="nested deeper than 32 dicts and lists"):
        copy_message(round_)
    deep: Any = "end"
    for _ in range(32):
        deep = [deep]
    assert copy_message({"a": deep}) == {"a": deep}
    with pytest.raises(TypeError, match="nested deeper"):
        copy_message({"a": [deep]})


@pytest.mark.parametrize(
    "message",
    [
        {"a": b"x" * 1000},
        {"a": "x" * 1000},
        {"a": "é" * 500},
        {"k" * 1000: 1},
        {"a": [None] * 125},
        {str(n): n for n in range(120)},
        {"a": {"b": ["x" * 500, b"x" * 500]}},
    ],
)
def test_the_limit(message: dict[str, Any]) -> None:
    """L6: a message of more bytes than the limit is refused, whatever it is made of."""
    with pytest.raises(MessageTooLarge, match="has more than 1000 bytes, the most that this"):
        copy_message(message, 1000)
    assert copy_message(message, 2500) == message
    assert copy_message(message) == message


def test_one_megabyte_is_not_too_large() -> None:
    """L6: ASGI 1 asks that a megabyte can be sent."""
    assert MAX_MESSAGE_SIZE >= 1024 * 1024
    message = {"content": b"x" * 1024 * 1024, "more_content": False}
    assert copy_message(message)["content"] is message["content"]
