"""How a message stands in a list of Redis (rules L8, L13).

    8 bytes   when it expires: milliseconds since 1970 by Redis' clock, a double, big-endian
    1 byte    the version of this format
    msgpack   a list of two: the channels that it is for, all of the queue that the list is; and
              the message

Nothing but plain data can come out, whoever has written it: no class is named, no code is run.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import msgpack

from bridge.channels.messages import copy_message
from bridge.channels.names import check_channel, queue_of
from bridge.errors import MessageTooLarge
from bridge.types import Message

VERSION: Final = b"\x01"
#: What stands between the time and the channels: the version, and "a list of two".
START: Final = VERSION + b"\x92"
_START: Final = 9

#: Values of which a message can have any, and that hold no others.
_PLAIN: Final = frozenset({str, bytes, int, bool, float, type(None)})
#: The most dicts and lists, one inside another, that are looked through here.
_DEEPEST: Final = 30


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
        if not _has_text_keys(message, _DEEPEST):
            raise TypeError("it has keys that are no text")
        packed: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    except (TypeError, ValueError, OverflowError):
        # Mostly this raises, and says which value cannot be sent.
        packed = msgpack.packb(copy_message(message, limit), unicode_errors="surrogatepass")
    if len(packed) > limit:
        raise MessageTooLarge(
            f"the message has {len(packed)} bytes, and this channel layer takes {limit}; send "
            "large data in pieces, or a reference to it"
        )
    return packed


def _has_text_keys(value: Any, levels: int) -> bool:
    """Whether all keys of a dict, and of those in it, are str; msgpack would take others, too."""
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    for each in value:
        if (
            type(each) not in _PLAIN
            and isinstance(each, dict | list | tuple)
            and not (levels and _has_text_keys(each, levels - 1))
        ):
            return False
    return True


def decode_message(packed: bytes) -> Message:
    """Decode what `encode_message` has returned."""
    message: Message = msgpack.unpackb(packed, unicode_errors="surrogatepass")
    return message


def decode(element: bytes, queue: str) -> Element:
    """Decode an element of the list of `queue`. Raises `Unreadable` that says what is wrong."""
    if element[8:_START] != VERSION:
        raise Unreadable(
            f"it has version {element[8:_START]!r}, and this release reads {VERSION!r}: is another "
            "release of asgi-bridge, or another program, writing under the same prefix?"
        )
    try:
        channels, message = msgpack.unpackb(
            memoryview(element)[_START:],
            unicode_errors="surrogatepass",
            ext_hook=_refuse,
            max_ext_len=0,
        )
        if not isinstance(channels, list) or not channels or not isinstance(message, dict):
            raise Unreadable("it is not a list of names with a dict")
        for name in channels:
            if queue_of(check_channel(name)) != queue:
                raise Unreadable(f"it is for {name!r}, which is another channel")
    except Unreadable:
        raise
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise Unreadable(f"it cannot be read: {error!r}") from error
    (expires,) = struct.unpack_from(">d", element)
    return Element(expires / 1000, channels, message)


def element_for(channels: list[str], element: bytes, message: Message) -> bytes:
    """Return the element of `message` with other channels; it expires as `element` does."""
    packed: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    return element[:8] + START + encode_names(channels) + packed


def _refuse(code: int, _: bytes) -> None:
    raise ValueError(f"it has a value of the type {code}")
