"""The head of a WSGI response, checked once and known in every form that a host wants (W34).

Apps send the same few statuses and fields again and again. So what was checked is kept, by the
very text that the app gave, as a `Status` or a `Field` that has all that anybody asks of it later:
checking it again, and encoding it, is one dictionary look-up.
"""

from __future__ import annotations

from typing import Any

from bridge.errors import IllegalResponse
from bridge.headers import (
    CONTENT_LENGTH,
    HOP_BY_HOP,
    MEANINGS,
    NOTHING,
    UNKEPT,
    Spellings,
    bodiless,
    is_token,
    keep,
    reason,
)
from bridge.types import TextHeaders

#: Values that are worth keeping are short, and so are statuses.
_LONGEST = 200


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


# ------------------------------------------------------------- status


class Status:
    """A status as an app gave it, checked."""

    __slots__ = ("bodiless", "line", "number", "text")

    def __init__(self, status: str) -> None:
        check_text("status", status)
        code, _, phrase = status.partition(" ")
        if len(code) != 3 or not (code.isascii() and code.isdigit()) or not 200 <= int(code) <= 999:
            raise IllegalResponse(
                f"status is {status!r}, and must be three digits from 200 up, a space and a "
                "reason, like '200 OK' (PEP 3333, The start_response() Callable)"
            )
        self.number = int(code)
        #: Three digits and a reason: the standard one where the app gave none.
        self.text = status if phrase.strip() else f"{code} {reason(self.number)}"
        self.line = f"HTTP/1.1 {self.text}\r\n".encode("latin-1")
        #: Whether a response with it never has a body.
        self.bodiless = bodiless(self.number)


#: Statuses as apps give them -> `Status`. Raises `IllegalResponse` (W34).
STATUSES: Spellings[str, Status] = Spellings(Status)


# ------------------------------------------------------------- fields


def _learn_name(name: str) -> bytes:
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
    return lower


#: Names of response fields -> their lower-case form as bytes. Raises `IllegalResponse` (W34).
_NAMES: Spellings[str, bytes] = Spellings(_learn_name)


class Field:
    """One field of a response, checked: as the app gave it, as ASGI has it, and as it is sent."""

    __slots__ = ("length", "line", "meaning", "raw", "text")

    def __init__(self, pair: tuple[str, str]) -> None:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise IllegalResponse(
                f"header {pair!r} is not a pair of name and value (PEP 3333, start_response())"
            ) from None
        if type(pair) is not tuple:
            raise IllegalResponse(f"header {pair!r} is no tuple; PEP 3333 wants (name, value)")
        lower = _NAMES[name]
        check_text(f"value of header {name!r}", value)
        self.text = pair
        self.raw = lower, value.encode("latin-1")
        self.line = f"{name}: {value}\r\n".encode("latin-1")
        #: What it says to the server (`headers.MEANINGS`).
        self.meaning = MEANINGS.get(lower, NOTHING)
        #: The number that a Content-Length names; -1 for every other field.
        self.length = -1
        if self.meaning == CONTENT_LENGTH:
            if not (value.isascii() and value.isdigit()):
                raise IllegalResponse(f"Content-Length is {value!r}, and must be digits only")
            self.length = int(value)


class _Fields(dict[tuple[str, str], Field]):
    """``(name, value)`` as an app gives it -> `Field`, bounded; what hardly comes twice is let go.

    Raises `IllegalResponse` that names what is wrong (W34); TypeError for a pair in a list.
    """

    SIZE = 4096

    def __missing__(self, pair: tuple[str, str]) -> Field:
        field = Field(pair)
        if len(field.raw[1]) <= _LONGEST and field.raw[0] not in UNKEPT:
            keep(self, pair, field, self.SIZE)
        return field


FIELDS = _Fields()


def fields_of(headers: TextHeaders) -> list[Field]:
    """The fields of `headers`, each checked (W34). Raises `IllegalResponse`."""
    return [FIELDS[pair] for pair in headers]
