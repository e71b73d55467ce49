"""Response fields to bytes: each line checked once, encoded once, and remembered (S10, S11).

Apps send the same few fields again and again, so a pair of name and value that was checked is
kept with its encoded line: looking it up costs less than checking it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from bridge.errors import IllegalMessage
from bridge.headers import (
    FIELD_NAMES,
    HOP_BY_HOP,
    TEXT_NAMES,
    Spellings,
    check_value,
    reason,
)

#: Lines that are worth keeping are short and not secret.
_KEPT_LENGTH = 200
_NOT_KEPT = frozenset({b"set-cookie", b"etag", b"location", b"last-modified", b"x-request-id"})


# What a response field says to the server; plain numbers, for they are compared on every request.
NOTHING: Final = 0
CONTENT_LENGTH: Final = 1
DATE: Final = 2
SERVER: Final = 3
CONNECTION: Final = 4
DROPPED: Final = 5

_MEANINGS = {
    **dict.fromkeys(HOP_BY_HOP, DROPPED),
    b"content-length": CONTENT_LENGTH,
    b"date": DATE,
    b"server": SERVER,
    b"connection": CONNECTION,
    # Announces trailers, which the framing then really has.
    b"trailer": NOTHING,
}


#: A field as it goes on the wire (empty where it is the server's business), what it means, and
#: the number that a Content-Length names.
Line: TypeAlias = tuple[bytes, int, int]


def _line(lower: bytes, line: bytes, value: bytes) -> Line:
    meaning = _MEANINGS.get(lower, NOTHING)
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
        if len(value) <= _KEPT_LENGTH and lower not in _NOT_KEPT:
            if len(self) >= self.SIZE:
                self.clear()
            self[pair] = known
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


# ------------------------------------------------------------- the same for text (WSGI)


class TextLines(dict[tuple[str, str], Line]):
    """``(name, value)`` as text, checked already (W34) -> its `Line`."""

    SIZE = 4096

    def __missing__(self, pair: tuple[str, str]) -> Line:
        name, value = pair
        lower = TEXT_NAMES[name].encode("ascii")
        line = f"{name}: {value}\r\n".encode("latin-1")
        known = _line(lower, line, value.encode("latin-1"))
        if len(value) <= _KEPT_LENGTH and lower not in _NOT_KEPT:
            if len(self) >= self.SIZE:
                self.clear()
            self[pair] = known
        return known


def _status_line(status: str) -> tuple[bytes, int]:
    return f"HTTP/1.1 {status}\r\n".encode("latin-1"), int(status[:3])


TEXT_LINES = TextLines()
#: WSGI status text, checked already -> its status line, and the number.
TEXT_STATUS_LINES: Spellings[str, tuple[bytes, int]] = Spellings(_status_line)
