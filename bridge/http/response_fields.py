"""Response fields: each is checked once, and kept in the forms that ASGI, WSGI and HTTP/1 need.

ASGI apps give bytes, WSGI apps text. `make_field` has the rules for both; below it there is one
table for each kind of app.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bridge.caches import Memo, key_up_to
from bridge.errors import AppError, IllegalMessage, IllegalResponse
from bridge.http.headers import BLANKS, HOP_BY_HOP, has_controls, is_length, is_token
from bridge.types import RawHeaders, TextHeaders

# ------------------------------------------------------------- roles

# What a field means to the host that sends the response. They are plain numbers because they are
# compared for every new head. Fields from CONNECTION on are not written as lines.
NO_ROLE: Final = 0
CONTENT_LENGTH: Final = 1
DATE: Final = 2
SERVER: Final = 3
CONNECTION: Final = 4
DROPPED: Final = 5

#: By lower-case name; every other field has none.
FIELD_ROLES: Final[Mapping[bytes, int]] = {
    **dict.fromkeys(HOP_BY_HOP, DROPPED),
    b"content-length": CONTENT_LENGTH,
    b"date": DATE,
    b"server": SERVER,
    b"connection": CONNECTION,
    # It announces trailers, which an ASGI app can send.
    b"trailer": NO_ROLE,
}
WSGI_FIELD_ROLES: Final = {**FIELD_ROLES, b"trailer": DROPPED}

# ------------------------------------------------------------- what is worth keeping

#: Fields whose values are secret, or rarely come twice.
NEVER_CACHED: Final = frozenset(
    {b"set-cookie", b"etag", b"location", b"last-modified", b"x-request-id"}
)
_LONGEST_VALUE: Final = 200
_MOST_FIELDS: Final = 16


def is_cacheable(field: tuple[bytes, bytes]) -> bool:
    """Whether a response field (its name in lower case) may come again, and is not secret."""
    return len(field[1]) <= _LONGEST_VALUE and field[0] not in NEVER_CACHED


def all_cacheable(fields: RawHeaders) -> bool:
    """Whether all fields of a head are cacheable."""
    return len(fields) <= _MOST_FIELDS and all(map(is_cacheable, fields))


# ------------------------------------------------------------- one field


class Field:
    """One field of a response, checked. Never changed after it is made."""

    __slots__ = ("length", "line", "raw", "role")

    def __init__(self, name: bytes, lower: bytes, value: bytes, role: int) -> None:
        #: Name in lower case, and value: the ASGI form.
        self.raw = lower, value
        #: What it means to the host (`FIELD_ROLES`).
        self.role = DROPPED if role == CONNECTION and value.lower() != b"close" else role
        #: Its line on the wire; empty if the host writes that itself, or drops the field.
        self.line = b"" if role >= CONNECTION else b"%b: %b\r\n" % (name, value)
        #: The value of a Content-Length; -1 for every other field.
        self.length = int(value) if role == CONTENT_LENGTH else -1


def _lower_token(name: bytes) -> bytes:
    return name.lower() if is_token(name) else b""


#: Name -> the same in lower case; empty if it is not a valid name.
LOWER_NAMES: Memo[bytes, bytes] = Memo(_lower_token, key_up_to(64))


def make_field(
    name: bytes, value: bytes, error: type[AppError], roles: Mapping[bytes, int] = FIELD_ROLES
) -> Field:
    """Check a field and make it. Raises `error`, which says what is wrong (RFC 9110 §5, §8.6)."""
    lower = LOWER_NAMES[name]
    if not lower:
        raise error(f"header name {name.decode('latin-1')!r} is not a token (RFC 9110 §5.1)")
    check_controls(f"value of header {name.decode('ascii')!r}", value, error)
    value = value.strip(BLANKS)
    role = roles.get(lower, NO_ROLE)
    if role == CONTENT_LENGTH and not is_length(value):
        raise error(f"Content-Length is {value.decode('latin-1')!r}, and must be digits only")
    return Field(name, lower, value, role)


def check_controls(what: str, value: bytes, error: type[AppError]) -> None:
    """Raise `error` if `value` has a control character, such as the end of a line."""
    if has_controls(value):
        raise error(f"{what} has a control character: {value.decode('latin-1')!r}")


def end_head(lines: bytes) -> bytes:
    """Return the last lines of a head, and the empty line that ends it."""
    return lines + b"\r\n"


def lines_as_text(lines: bytes) -> TextHeaders:
    """Convert field lines to pairs for WSGI, without the fields that the host sets (A25)."""
    pairs = [line.split(": ", 1) for line in lines.decode("latin-1").split("\r\n")[:-1]]
    return [(name, value) for name, value in pairs if name.lower() not in _HOP_BY_HOP_TEXT]


_HOP_BY_HOP_TEXT: Final = frozenset(name.decode() for name in HOP_BY_HOP)

# ------------------------------------------------------------- ASGI


def as_fields(headers: object) -> RawHeaders:
    """Return the fields of an ASGI message as a list; None means no fields.

    Raises `IllegalMessage` if they are not an iterable.
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
    """Convert a field to a tuple of bytes; bytearrays and memoryviews are accepted too."""
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


def _raw_field(pair: tuple[bytes, bytes]) -> Field:
    return make_field(*as_pair(pair), IllegalMessage)


def _raw_cacheable(pair: tuple[bytes, bytes], field: Field) -> bool:
    return type(pair[0]) is bytes and type(pair[1]) is bytes and is_cacheable(field.raw)


#: Pair of bytes -> field of an ASGI response. A subscript raises `IllegalMessage`, which says what
#: is wrong, and TypeError for a pair that cannot be hashed.
RAW_FIELDS: Memo[tuple[bytes, bytes], Field] = Memo(_raw_field, _raw_cacheable, 4096)


def raw_fields(headers: Any) -> list[Field]:
    """Check the fields of an ASGI message. Raises `IllegalMessage`, which says what is wrong."""
    return [RAW_FIELDS[as_pair(pair)] for pair in as_fields(headers)]


def text_fields(headers: Any) -> TextHeaders:
    """Convert the fields of an ASGI message for WSGI: in order, without hop-by-hop ones (A25)."""
    return lines_as_text(b"".join([field.line for field in raw_fields(headers)]))


# ------------------------------------------------------------- WSGI


def encode_text(what: str, value: Any) -> bytes:
    """Encode native text. Raises `IllegalResponse` if it is not a str, or not latin-1 (W34)."""
    if not isinstance(value, str):
        raise IllegalResponse(
            f"{what} is {type(value).__name__} {value!r}; PEP 3333 wants a native str"
        )
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise IllegalResponse(
            f"{what} has characters outside latin-1: {value!r} (PEP 3333, Unicode Issues)"
        ) from None


def _text_field(pair: tuple[str, str]) -> Field:
    try:
        name, value = pair
    except (TypeError, ValueError):
        raise IllegalResponse(
            f"header {pair!r} is not a pair of name and value (PEP 3333, start_response())"
        ) from None
    if not isinstance(pair, tuple):
        raise IllegalResponse(f"header {pair!r} is no tuple; PEP 3333 wants (name, value)")
    return make_field(
        encode_text("header name", name),
        encode_text(f"value of header {name!r}", value),
        IllegalResponse,
        WSGI_FIELD_ROLES,
    )


def _text_cacheable(_: object, field: Field) -> bool:
    return is_cacheable(field.raw)


#: Pair of text -> field of a WSGI response. A subscript raises `IllegalResponse`, which says what
#: is wrong (W34), and TypeError for a pair that cannot be hashed.
TEXT_FIELDS: Memo[tuple[str, str], Field] = Memo(_text_field, _text_cacheable, 4096)
