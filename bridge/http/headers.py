"""Header fields: which names and values are allowed (RFC 9110 §5, PEP 3333, W34, S10)."""

from __future__ import annotations

import re
from typing import Final

from bridge.errors import RequestError

#: Fields that belong to one connection, not to a message (RFC 9110 §7.6.1). Apps may not set them.
HOP_BY_HOP: Final = frozenset(
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
#: Control characters other than tab: not allowed in field values and reason phrases (RFC 9110 §5.5,
#: PEP 3333). Some end a line or a string early, and servers read the others differently.
_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
#: Optional whitespace around a field value, which is not part of it (RFC 9110 §5.6.3).
BLANKS: Final = b" \t"


def is_token(name: bytes) -> bool:
    """Whether `name` is a token (RFC 9110 §5.6.2), as field names and methods must be."""
    return _TOKEN.fullmatch(name) is not None


def count_controls(value: bytes) -> int:
    """Return the number of control characters in `value` other than tabs."""
    return len(value) - len(value.translate(None, _CONTROLS))


def has_controls(value: bytes) -> bool:
    """Whether `value` has control characters other than tabs."""
    return count_controls(value) > 0


def is_length(value: bytes | str) -> bool:
    """Whether `value` is a valid Content-Length: at most 19 digits (RFC 9110 §8.6)."""
    return value.isdigit() and value.isascii() and len(value) <= 19


def list_members(value: bytes) -> list[bytes]:
    """Return the members of a list field in lower case, without empty ones (RFC 9110 §5.6.1)."""
    found = [member.strip(BLANKS) for member in value.lower().split(b",")]
    return [member for member in found if member]


def content_length(value: bytes) -> int:
    """Return the number of bytes that a Content-Length gives.

    A list of equal numbers (``5, 5``) counts as that number (RFC 9110 §8.6). Raises `RequestError`
    (400) if `value` is malformed, or if the numbers differ.
    """
    lengths = {part.strip(BLANKS) for part in value.split(b",")}
    if len(lengths) != 1:
        raise RequestError(f"Content-Length has different values: {value[:80]!r}; send it once")
    length = lengths.pop()
    if not is_length(length):
        raise RequestError(f"Content-Length is {value[:80]!r}, and must be digits only")
    return int(length)
