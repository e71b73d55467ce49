"""Header fields: names, values, and what may not be in them (RFC 9110 §5, PEP 3333, W34, S10).

Names come in few spellings, so whatever is known of a name is worked out once and kept in a
`Spellings` table: checking a field is then one dictionary look-up, not a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from bridge.errors import IllegalMessage, IllegalResponse, RequestError
from bridge.types import TextHeaders

Name = TypeVar("Name", bytes, str)
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

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: What could end a line or a string early. (`in` is slow on bytes: it tries for an integer first.)
_BREAKS = b"\r\n\0"
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
        if len(self) >= self.SIZE:
            self.clear()
        if len(name) <= self.LONGEST:
            self[name] = known
        return known


def is_token(name: bytes) -> bool:
    """Whether `name` is a token (RFC 9110 §5.6.2), as field names and methods must be."""
    return _TOKEN.fullmatch(name) is not None


def content_length(value: bytes) -> int:
    """The number of bytes that a Content-Length names.

    A list of equal numbers (``5, 5``) is that number (RFC 9110 §8.6). Raises `RequestError`
    (400) where it is malformed, or where the numbers differ.
    """
    lengths = {part.strip(b" \t") for part in value.split(b",")}
    if len(lengths) != 1:
        raise RequestError(f"Content-Length has different values: {value[:80]!r}; send it once")
    length = lengths.pop()
    if _DIGITS.fullmatch(length) is None:
        raise RequestError(f"Content-Length is {value[:80]!r}, and must be digits only")
    return int(length)


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


def check_value(name: bytes, value: bytes) -> None:
    """Raise `IllegalMessage` where a field value could end its line (CR, LF, NUL)."""
    if not isinstance(value, bytes):
        raise IllegalMessage(
            f"value of header {name!r} is {type(value).__name__} {value!r}; ASGI wants bytes"
        )
    if len(value.translate(None, _BREAKS)) != len(value):
        raise IllegalMessage(f"value of header {name!r} has a CR, LF or NUL: {value!r}")


def encode_fields(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The lines of `headers` as they go on the wire, each ended by CRLF, checked (S10).

    Raises `IllegalMessage` that names the field at fault.
    """
    known = FIELD_NAMES
    lines = []
    for name, value in headers:
        known[name]
        check_value(name, value)
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


# ------------------------------------------------------------- response fields as text (WSGI)


def _learn_text(name: str) -> str:
    if not isinstance(name, str):
        raise IllegalResponse(
            f"header name {name!r} is {type(name).__name__}; PEP 3333 wants a native str"
        )
    try:
        raw = name.encode("ascii")
    except UnicodeEncodeError:
        raw = b""
    if not is_token(raw):
        raise IllegalResponse(f"header name {name!r} is not a token (RFC 9110 §5.1)")
    lower = raw.lower()
    if lower in HOP_BY_HOP:
        raise IllegalResponse(
            f"header {name!r} is hop-by-hop: it belongs to the server, an app may not set it "
            "(PEP 3333, Other HTTP Features)"
        )
    return lower.decode()


#: Response field names as text -> their lower-case form, checked (W34). Raises `IllegalResponse`.
TEXT_NAMES: Spellings[str, str] = Spellings(_learn_text)


def check_text(what: str, value: Any) -> None:
    """Raise `IllegalResponse` where `value` is not latin-1 text, or could end its line (W34)."""
    if not isinstance(value, str):
        raise IllegalResponse(
            f"{what} is {type(value).__name__} {value!r}; PEP 3333 wants a native str"
        )
    if "\n" in value or "\r" in value or "\0" in value:
        raise IllegalResponse(f"{what} has a CR, LF or NUL: {value!r}")
    if not value.isascii():
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise IllegalResponse(
                f"{what} has characters outside latin-1: {value!r} (PEP 3333, Unicode Issues)"
            ) from None


class CheckedFields(dict[tuple[str, str], int]):
    """``(name, value)`` as WSGI has it, checked (W34) -> the length that a Content-Length names.

    -1 for every other field. Raises `IllegalResponse` that names what is wrong. Fields that are
    short and ordinary are remembered, so that checking them again is one look-up.
    """

    SIZE = 4096
    LONGEST = 200

    def __missing__(self, pair: tuple[str, str]) -> int:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise IllegalResponse(
                f"header {pair!r} is not a pair of name and value (PEP 3333, start_response())"
            ) from None
        if type(pair) is not tuple:
            raise IllegalResponse(f"header {pair!r} is no tuple; PEP 3333 wants (name, value)")
        lower = TEXT_NAMES[name]
        check_text(f"value of header {name!r}", value)
        length = -1
        if lower == "content-length":
            if not (value.isascii() and value.isdigit()):
                raise IllegalResponse(f"Content-Length is {value!r}, and must be digits only")
            length = int(value)
        if len(value) <= self.LONGEST and lower != "set-cookie":
            if len(self) >= self.SIZE:
                self.clear()
            self[pair] = length
        return length


CHECKED_FIELDS = CheckedFields()


def _encode_pair(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = pair
    return name.lower().encode("latin-1"), value.encode("latin-1")


class _EncodedFields(dict[tuple[str, str], tuple[bytes, bytes]]):
    """Checked text fields -> their bytes; bounded, and only what is short and may come again."""

    SIZE = 1024
    LONGEST = 64

    def __missing__(self, pair: tuple[str, str]) -> tuple[bytes, bytes]:
        encoded = _encode_pair(pair)
        if len(pair[1]) <= self.LONGEST and encoded[0] != b"set-cookie":
            if len(self) >= self.SIZE:
                self.clear()
            self[pair] = encoded
        return encoded


_ENCODED = _EncodedFields()


def encode_text(headers: TextHeaders) -> list[tuple[bytes, bytes]]:
    """Checked text fields as ASGI wants them: lower-case names, latin-1 values."""
    return [_ENCODED[pair] for pair in headers]


# ------------------------------------------------------------- status as text (WSGI)


def _learn_status(status: str) -> tuple[str, bool]:
    check_text("status", status)
    code, _, phrase = status.partition(" ")
    if len(code) != 3 or not (code.isascii() and code.isdigit()) or not 200 <= int(code) <= 999:
        raise IllegalResponse(
            f"status is {status!r}, and must be three digits from 200 up, a space and a reason, "
            "like '200 OK' (PEP 3333, The start_response() Callable)"
        )
    number = int(code)
    return (status if phrase.strip() else f"{code} {reason(number)}"), bodiless(number)


#: Statuses as apps give them -> (status line text, whether it has no body). Raises
#: `IllegalResponse` (W34).
STATUSES: Spellings[str, tuple[str, bool]] = Spellings(_learn_status)
