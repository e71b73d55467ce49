"""The fields of a response, encoded in one go if all of them are plain.

A field is plain if its name is a token and no field that the server acts on, Content-Length aside,
and its value has no controls, and no blanks at its ends. What is not is for `response_fields.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from bridge import accelerator
from bridge.accelerator import PlainFields
from bridge.caches import Memo, key_up_to
from bridge.http.headers import count_controls, is_length
from bridge.http.response_fields import (
    CONTENT_LENGTH,
    FIELD_ROLES,
    LOWER_NAMES,
    NEVER_CACHED,
    NO_ROLE,
    WSGI_FIELD_ROLES,
)

#: What a name says of a field, beyond the roles above: its values are secret or rarely come twice;
#: or it is no valid name.
_UNIQUE: Final = 6
_INVALID: Final = 7


def _raw_role(name: Any, roles: Mapping[bytes, int] = FIELD_ROLES) -> int:
    lower = LOWER_NAMES[name] if type(name) is bytes else b""
    if not lower:
        return _INVALID
    return _UNIQUE if lower in NEVER_CACHED else roles.get(lower, NO_ROLE)


def _text_role(name: Any) -> int:
    if type(name) is not str or not name.isascii():
        return _INVALID
    return _raw_role(name.encode("ascii"), WSGI_FIELD_ROLES)


#: Name of a field -> its role; look up by subscript.
RAW_ROLES: Memo[bytes, int] = Memo(_raw_role, key_up_to(64))
TEXT_ROLES: Memo[str, int] = Memo(_text_role, key_up_to(64))

T = TypeVar("T", bytes, str)


def encode_plain_raw(line: bytes, pairs: list[tuple[bytes, bytes]]) -> PlainFields | None:
    """Encode a status line, and the fields of an ASGI app; None if they are not plain."""
    if accelerator.join_fields is not None:
        return accelerator.join_fields(line, pairs, RAW_ROLES, bytes)
    lines = _join(pairs, RAW_ROLES, bytes, b": ", b"\r\n")
    return None if lines is None else _checked(line + lines[0], len(pairs), *lines[1:])


def encode_plain_text(line: bytes, pairs: list[tuple[str, str]]) -> PlainFields | None:
    """Encode a status line, and the fields of a WSGI app; None if they are not plain."""
    if accelerator.join_fields is not None:
        return accelerator.join_fields(line, pairs, TEXT_ROLES, str)
    lines = _join(pairs, TEXT_ROLES, str, ": ", "\r\n")
    if lines is None:
        return None
    try:
        encoded = lines[0].encode("latin-1")
    except UnicodeEncodeError:
        return None
    return _checked(line + encoded, len(pairs), *lines[1:])


def _join(
    pairs: list[tuple[T, T]], roles: Memo[T, int], kind: type[T], colon: T, end: T
) -> tuple[T, int | None, bool] | None:
    """Return the lines of the fields, their Content-Length, and whether they may come again.

    None if they are unusual or wrong, as far as one field tells it; the rest is for `_checked`.
    """
    parts: list[T] = []
    length, cacheable = None, True
    try:
        for pair in pairs:
            name, value = pair
            if type(pair) is not tuple or type(value) is not kind:
                return None
            role = roles[name]
            if role:
                if role == _UNIQUE:
                    cacheable = False
                elif role == CONTENT_LENGTH and length is None and is_length(value):
                    length = int(value)
                else:
                    return None
            parts += (name, colon, value, end)
    except (TypeError, ValueError):
        return None
    return kind().join(parts), length, cacheable


def _checked(encoded: bytes, count: int, length: int | None, cacheable: bool) -> PlainFields | None:
    """Return what was given, unless a value has controls, or blanks at its ends.

    `count`: the number of fields. The status line has no controls, and ends like a field.
    """
    find = encoded.find
    if (
        count_controls(encoded) != 2 * (count + 1)
        or find(b":  ") >= 0
        or find(b": \t") >= 0
        or find(b" \r") >= 0
        or find(b"\t\r") >= 0
    ):
        return None
    return encoded, length, cacheable
