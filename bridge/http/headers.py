"""Header fields: names, values, and what may not be in them (RFC 9110 §5, PEP 3333, W34, S10)."""

from __future__ import annotations

import re
from typing import Final

from bridge.errors import RequestError
from bridge.types import RawHeaders

#: Fields that belong to one connection, not to a message (RFC 9110 §7.6.1). An app may set none.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# What a response field says to whoever sends the response; plain numbers, for they are compared on
# every request.
NOTHING: Final = 0
CONTENT_LENGTH: Final = 1
DATE: Final = 2
SERVER: Final = 3
CONNECTION: Final = 4
DROPPED: Final = 5

#: By lower-case name; every other field says nothing.
MEANINGS: dict[bytes, int] = {
    **dict.fromkeys(HOP_BY_HOP, DROPPED),
    b"content-length": CONTENT_LENGTH,
    b"date": DATE,
    b"server": SERVER,
    b"connection": CONNECTION,
    # Announces trailers, which the framing then really has.
    b"trailer": NOTHING,
}

#: Response fields that hardly come twice with the same value, or are secret: not remembered.
_UNKEPT = frozenset({b"set-cookie", b"etag", b"location", b"last-modified", b"x-request-id"})
#: Values that are worth keeping are short; heads that are have few fields.
_LONGEST = 200
_MOST_FIELDS = 16

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: Control characters but the tab: no field value and no reason has them (RFC 9110 §5.5, PEP 3333).
#: Some end a line or a string early; of the rest each server and proxy thinks otherwise.
#: (`in` is slow on bytes: it tries for an integer first.)
CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
_CONTROL_IN_TEXT = re.compile(f"[{re.escape(CONTROLS.decode())}]")
#: What may stand around a field value (RFC 9110 §5.6.3).
BLANKS: Final = b" \t"
_DIGITS = re.compile(rb"[0-9]{1,19}")


def is_token(name: bytes) -> bool:
    """Whether `name` is a token (RFC 9110 §5.6.2), as field names and methods must be."""
    return _TOKEN.fullmatch(name) is not None


def members(value: bytes) -> list[bytes]:
    """The members of a list field, in lower case; empty ones do not count (RFC 9110 §5.6.1)."""
    found = [member.strip(b" \t") for member in value.lower().split(b",")]
    return [member for member in found if member]


def content_length(value: bytes) -> int:
    """The number of bytes that a Content-Length names.

    A list of equal numbers (``5, 5``) is that number (RFC 9110 §8.6). Raises `RequestError`
    (400) where it is malformed, or where the numbers differ.
    """
    lengths = {part.strip(b" \t") for part in value.split(b",")}
    if len(lengths) != 1:
        raise RequestError(f"Content-Length has different values: {value[:80]!r}; send it once")
    length = lengths.pop()
    if not is_length(length):
        raise RequestError(f"Content-Length is {value[:80]!r}, and must be digits only")
    return int(length)


def is_length(value: bytes) -> bool:
    """Whether a Content-Length may be `value`: at most 19 digits (RFC 9110 §8.6)."""
    return _DIGITS.fullmatch(value) is not None


def has_controls(text: str) -> bool:
    """Whether there are control characters in `text`, other than tabs."""
    return not text.isprintable() and _CONTROL_IN_TEXT.search(text) is not None


def may_come_again(field: tuple[bytes, bytes]) -> bool:
    """Whether a response field, its name in lower case, is worth to be remembered."""
    return len(field[1]) <= _LONGEST and field[0] not in _UNKEPT


def may_all_come_again(fields: RawHeaders) -> bool:
    """The same for the fields of a head."""
    return len(fields) <= _MOST_FIELDS and all(map(may_come_again, fields))
