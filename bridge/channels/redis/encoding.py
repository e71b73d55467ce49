"""How a message stands in a list of Redis (rules L8, L13).

    8 bytes   when it expires: milliseconds since 1970 by Redis' clock, a double, big-endian
    1 byte    the version of this format
    msgpack   the channels that it is for: a list of names, all of the queue that the list is
    msgpack   the message

Nothing but plain data can come out, whoever has written it: no class is named, no code is run.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import msgpack

from bridge.channels.messages import copy_message
from bridge.channels.names import check_channel
from bridge.errors import MessageTooLarge
from bridge.types import Message

VERSION: Final = b"\x01"
_START: Final = 9


class Unreadable(ValueError):
    """What stands in Redis is no message, or one of another version."""


class Element(NamedTuple):
    """A message with the channels that it is for."""

    expires: float  #: seconds since 1970, by Redis' clock
    channels: list[str]
    message: Message


def encode_names(channels: list[str]) -> bytes:
    """Encode the channels of an element."""
    packed: bytes = msgpack.packb(channels)
    return packed


def encode_message(message: object, limit: int) -> bytes:
    """Encode a message. Raises as `copy_message` does."""
    assert isinstance(message, dict), f"a message is a dict, not {message!r:.120}"
    try:
        packed: bytes = msgpack.packb(message)
    except (TypeError, ValueError, OverflowError):
        copy_message(message, limit)  # says which value cannot be sent
        raise
    if len(packed) > limit:
        raise MessageTooLarge(
            f"the message has {len(packed)} bytes, and this channel layer takes {limit}; send "
            "large data in pieces, or a reference to it"
        )
    return packed


def decode(element: bytes, limit: int) -> Element:
    """Decode an element. Raises `Unreadable` that says what is wrong with it."""
    if element[8:_START] != VERSION:
        raise Unreadable(
            f"it has version {element[8:_START]!r}, and this release reads {VERSION!r}: is another "
            "release of asgi-bridge, or another program, writing under the same prefix?"
        )
    unpacker = msgpack.Unpacker(max_buffer_size=len(element), max_bin_len=limit, max_str_len=limit)
    unpacker.feed(memoryview(element)[_START:])
    try:
        channels, message = unpacker.unpack(), unpacker.unpack()
        if not isinstance(channels, list) or not isinstance(message, dict):
            raise Unreadable("it is not a list of names with a dict")
        for name in channels:
            check_channel(name)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise Unreadable(f"it cannot be read: {error!r}") from error
    (expires,) = struct.unpack_from(">d", element)
    return Element(expires / 1000, channels, message)
