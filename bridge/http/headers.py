"""Header fields: names, values, and what may not be in them (RFC 9110 §5, PEP 3333, W34, S10).

Names come in few spellings, so whatever is known of a name is worked out once and kept in a
`Spellings` table: checking a field is then one dictionary look-up, not a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from bridge.errors import IllegalMessage, RequestError
from bridge.types import RawHeaders

Name = TypeVar("Name", bytes, str)
Key = TypeVar("Key")
Known = TypeVar("Known")

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
_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
_CONTROL_IN_TEXT = re.compile(f"[{re.escape(_CONTROLS.decode())}]")
#: What may stand around a field value (RFC 9110 §5.6.3).
BLANKS: Final = b" \t"
_DIGITS = re.compile(rb"[0-9]{1,19}")


class Spellings(dict[Name, Known], Generic[Name, Known]):
    """What is known of each header name, by its spelling; bounded, filled as names are seen.

    `learn` is asked once for a spelling and may raise; nothing is kept then. Subscript it: `get`
    costs three times as much on a subclass of dict.
    """

    SIZE = 1024
    LONGEST = 64

    def __init__(self, learn: Callable[[Name], Known]) -> None:
        super().__init__()
        self._learn: Callable[[Name], Known] = learn

    def __missing__(self, name: Name) -> Known:
        known = self._learn(name)
        if len(name) <= self.LONGEST:
            keep(self, name, known, self.SIZE)
        return known


def keep(table: dict[Key, Known], key: Key, known: Known, most: int) -> None:
    """Remember what is known of `key` in a table of at most so many; a full one starts afresh."""
    if len(table) >= most:
        table.clear()
    table[key] = known


class Recurring(dict[tuple[Any, ...], Known], Generic[Known]):
    """What was worked out for a tuple, kept where the tuple comes a second time; bounded.

    `learn` gives what is to be known, and whether it is worth keeping; it may raise. Of tuples that
    came once only the hash is kept here.
    """

    SIZE = 512
    MOST_SEEN = 4096

    def __init__(self, learn: Callable[[tuple[Any, ...]], tuple[Known, bool]]) -> None:
        super().__init__()
        self._learn = learn
        self._seen: set[int] = set()

    def __missing__(self, given: tuple[Any, ...]) -> Known:
        known, worth_keeping = self._learn(given)
        if worth_keeping:
            seen, number = self._seen, hash(given)
            if number in seen:
                keep(self, given, known, self.SIZE)
            elif len(seen) >= self.MOST_SEEN:
                seen.clear()
            seen.add(number)
        return known


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


# ------------------------------------------------------------- status


_REASONS = {status.value: status.phrase for status in HTTPStatus}


def reason(status: int) -> str:
    """The standard reason phrase of a status; ``Unknown`` where there is none."""
    return _REASONS.get(status, "Unknown")


def bodiless(status: int) -> bool:
    """Whether a response with this status has no body whatever its fields say (RFC 9110 §6.4.1)."""
    return status < 200 or status in (204, 304)


# ------------------------------------------------------------- response fields as bytes (ASGI)


def _learn_bytes(name: bytes) -> bytes:
    if not isinstance(name, bytes):
        raise IllegalMessage(
            f"header name {name!r} is {type(name).__name__}; ASGI wants bytes (Response Start)"
        )
    if not is_token(name):
        raise IllegalMessage(f"header name {name!r} is not a token (RFC 9110 §5.1)")
    return name.lower()


#: Response field names as bytes -> their lower-case form, checked. Raises `IllegalMessage`.
FIELD_NAMES: Spellings[bytes, bytes] = Spellings(_learn_bytes)


def clean_value(name: bytes, value: bytes) -> bytes:
    """A field value without the blanks around it, which are no part of it (RFC 9110 §5.5).

    Raises `IllegalMessage` for one with control characters, such as the end of a line.
    """
    if not isinstance(value, bytes):
        raise IllegalMessage(
            f"value of header {name!r} is {type(value).__name__} {value!r}; ASGI wants bytes"
        )
    if len(value.translate(None, _CONTROLS)) != len(value):
        raise IllegalMessage(f"value of header {name!r} has a control character: {value!r}")
    return value.strip(BLANKS)
