"""Response fields to bytes: each line checked once, encoded once, and remembered (S10, S11).

Apps send the same few fields again and again, so a pair of name and value that was checked is
kept with its encoded line: looking it up costs less than checking it.
"""

from __future__ import annotations

from typing import TypeAlias

from bridge.errors import IllegalMessage
from bridge.headers import (
    CONNECTION,
    CONTENT_LENGTH,
    DROPPED,
    FIELD_NAMES,
    MEANINGS,
    NOTHING,
    UNKEPT,
    check_value,
    keep,
    reason,
)

#: Lines that are worth keeping are short.
_KEPT_LENGTH = 200


#: A field as it goes on the wire (empty where it is the server's business), what it means, and
#: the number that a Content-Length names.
Line: TypeAlias = tuple[bytes, int, int]


def _line(lower: bytes, line: bytes, value: bytes) -> Line:
    meaning = MEANINGS.get(lower, NOTHING)
    if meaning == CONTENT_LENGTH:
        if not value.isdigit():
            raise IllegalMessage(f"content-length is {value!r}, and must be a number")
        return line, meaning, int(value)
    if meaning == CONNECTION and value.lower() != b"close":
        meaning = DROPPED
    return (b"" if meaning >= CONNECTION else line), meaning, 0


class FieldLines(dict[tuple[bytes, bytes], Line]):
    """``(name, value)`` -> its `Line`.

    Raises `IllegalMessage` that names the field at fault; `TypeError` for a pair in a list.
    """

    SIZE = 4096

    def __missing__(self, pair: tuple[bytes, bytes]) -> Line:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise IllegalMessage(
                f"header {pair!r} is not a pair of name and value (ASGI, Response Start)"
            ) from None
        lower = FIELD_NAMES[name]
        check_value(name, value)
        known = _line(lower, b"%b: %b\r\n" % (name, value), value)
        if len(value) <= _KEPT_LENGTH and lower not in UNKEPT:
            keep(self, pair, known, self.SIZE)
        return known


class StatusLines(dict[int, bytes]):
    """Status -> its status line. Raises `IllegalMessage` for what is no status."""

    def __missing__(self, status: object) -> bytes:
        if not isinstance(status, int) or not 200 <= status <= 999:
            raise IllegalMessage(
                f"status is {status!r}, and must be an integer from 200 to 999 "
                "(ASGI, Response Start)"
            )
        line = b"HTTP/1.1 %d %b\r\n" % (status, reason(status).encode("ascii"))
        self[int(status)] = line
        return line


#: One table of each for the process.
FIELD_LINES = FieldLines()
STATUS_LINES = StatusLines()
