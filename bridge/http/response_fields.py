"""The fields of a response as apps give them: each checked once, and kept in every form it takes.

ASGI gives bytes, WSGI text; their tables stand below, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from bridge.caches import Spellings, keep
from bridge.errors import IllegalMessage, IllegalResponse
from bridge.http.headers import (
    BLANKS,
    CONNECTION,
    CONTENT_LENGTH,
    CONTROLS,
    DROPPED,
    HOP_BY_HOP,
    MEANINGS,
    NOTHING,
    has_controls,
    is_length,
    is_token,
    may_come_again,
)
from bridge.types import RawHeaders, TextHeaders

Key = TypeVar("Key", tuple[bytes, bytes], tuple[str, str])


class Field:
    """One field of a response, checked: as ASGI has it, as it is sent, and what it says."""

    __slots__ = ("length", "line", "meaning", "raw")

    def __init__(self, name: bytes, lower: bytes, value: bytes) -> None:
        self.raw = lower, value
        #: What it says to the server (`headers.MEANINGS`).
        self.meaning = MEANINGS.get(lower, NOTHING)
        if self.meaning == CONNECTION and value.lower() != b"close":
            self.meaning = DROPPED
        #: Its line on the wire; empty where that is the server's business.
        self.line = b"" if self.meaning >= CONNECTION else b"%b: %b\r\n" % (name, value)
        #: The number that a Content-Length names; -1 for every other field.
        self.length = int(value) if self.meaning == CONTENT_LENGTH else -1


class _Fields(dict[Key, Field]):
    """``(name, value)`` -> `Field`; bounded, and without what hardly comes twice."""

    SIZE = 4096

    def keep(self, pair: Key, field: Field) -> Field:
        if may_come_again(field.raw):
            keep(self, pair, field, self.SIZE)
        return field


# ------------------------------------------------------------- ASGI


def as_status(status: object) -> int:
    """A status as the plain int, where it is a subclass (`http.HTTPStatus`).

    Raises `IllegalMessage` unless it is from 200 to 999: 1xx are early hints, never a response.
    """
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 999:
        raise IllegalMessage(
            f"status is {status!r}, and must be an integer from 200 to 999 (ASGI, Response Start)"
        )
    return int(status)


def as_fields(headers: object) -> RawHeaders:
    """The fields that a message carries, as a list; None says that there are none.

    Raises `IllegalMessage` for what cannot be iterated over in pairs.
    """
    if type(headers) is list:
        return headers
    if headers is None:
        return []
    if isinstance(headers, (str, bytes, Mapping)) or not isinstance(headers, Iterable):
        raise IllegalMessage(
            f"headers are {type(headers).__name__}, and must be an iterable of (name, value) pairs"
        )
    return list(headers)


def as_pair(pair: Any) -> tuple[bytes, bytes]:
    """A field as a tuple of bytes; what is like bytes counts as bytes, as it compares equal."""
    try:
        name, value = pair
    except (TypeError, ValueError):
        raise IllegalMessage(
            f"header {pair!r} is not a pair of name and value (ASGI, Response Start)"
        ) from None
    if not isinstance(name, (bytes, bytearray, memoryview)) or not isinstance(
        value, (bytes, bytearray, memoryview)
    ):
        raise IllegalMessage(f"header {pair!r} is not a pair of bytes (ASGI, Response Start)")
    return bytes(name), bytes(value)


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
    if len(value.translate(None, CONTROLS)) != len(value):
        raise IllegalMessage(f"value of header {name!r} has a control character: {value!r}")
    return value.strip(BLANKS)


class _RawFields(_Fields[tuple[bytes, bytes]]):
    def __missing__(self, pair: tuple[bytes, bytes]) -> Field:
        name, value = as_pair(pair)
        lower = FIELD_NAMES[name]
        value = clean_value(name, value)
        if lower == b"content-length" and not is_length(value):
            raise IllegalMessage(f"content-length is {value!r}, and must be a number")
        return self.keep((name, value), Field(name, lower, value))


#: Fields of an ASGI response, as pairs of bytes. Raises `IllegalMessage` that names what is wrong;
#: TypeError for a pair that cannot be hashed.
RAW_FIELDS = _RawFields()


def raw_fields(headers: Any) -> list[Field]:
    """The fields of an ASGI message, checked. Raises `IllegalMessage` that names what is wrong."""
    return [RAW_FIELDS[as_pair(pair)] for pair in as_fields(headers)]


def text_fields(headers: Any) -> TextHeaders:
    """The same as WSGI takes them, in order and with repeats, without hop-by-hop ones (A25)."""
    return _as_text(b"".join([field.line for field in raw_fields(headers)]))


def _as_text(lines: bytes) -> TextHeaders:
    pairs = [line.split(": ", 1) for line in lines.decode("latin-1").split("\r\n")[:-1]]
    return [(name, value) for name, value in pairs if name.lower() not in _HOSTS_OWN]


#: Fields that are the host's to set, as text.
_HOSTS_OWN = frozenset(name.decode() for name in HOP_BY_HOP)


# ------------------------------------------------------------- WSGI


def check_text(what: str, value: Any) -> None:
    """Raise `IllegalResponse` if `value` is not latin-1 text, or has control characters (W34)."""
    if not isinstance(value, str):
        raise IllegalResponse(
            f"{what} is {type(value).__name__} {value!r}; PEP 3333 wants a native str"
        )
    if has_controls(value):
        raise IllegalResponse(f"{what} has a control character: {value!r} (PEP 3333)")
    if not value.isascii():
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise IllegalResponse(
                f"{what} has characters outside latin-1: {value!r} (PEP 3333, Unicode Issues)"
            ) from None


def _learn_name(name: str) -> tuple[bytes, bytes]:
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
    return raw, lower


#: Names as text -> the same in bytes, and in lower case. Raises `IllegalResponse` (W34).
_NAMES: Spellings[str, tuple[bytes, bytes]] = Spellings(_learn_name)


class _TextFields(_Fields[tuple[str, str]]):
    def __missing__(self, pair: tuple[str, str]) -> Field:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise IllegalResponse(
                f"header {pair!r} is not a pair of name and value (PEP 3333, start_response())"
            ) from None
        if not isinstance(pair, tuple):
            raise IllegalResponse(f"header {pair!r} is no tuple; PEP 3333 wants (name, value)")
        raw, lower = _NAMES[name]
        check_text(f"value of header {name!r}", value)
        value = value.strip(" \t")
        field_value = value.encode("latin-1")
        if lower == b"content-length" and not is_length(field_value):
            raise IllegalResponse(f"Content-Length is {value!r}, and must be digits only")
        field = Field(raw, lower, field_value)
        if lower == b"trailer":  # WSGI has none
            field.meaning, field.line = DROPPED, b""
        return self.keep(pair, field)


#: Fields of a WSGI response, as pairs of text. Raises `IllegalResponse` that names what is wrong
#: (W34); TypeError for a pair that cannot be hashed.
TEXT_FIELDS = _TextFields()
