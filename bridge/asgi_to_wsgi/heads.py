"""The head of a response: checked once, and known as the host takes it (A20, A25).

Apps send the same few heads again and again. So a head that comes a second time is kept, by the
very objects that the app gave: checking it again, and telling the host, is one look-up.
"""

from __future__ import annotations

from typing import Any

from bridge.asgi_messages import check_headers, check_status, text_headers
from bridge.errors import IllegalMessage
from bridge.headers import (
    CONTENT_LENGTH,
    FIELD_NAMES,
    MEANINGS,
    Recurring,
    bodiless,
    clean_value,
    may_all_come_again,
    reason,
)
from bridge.types import Message, RawHeaders


class Head:
    """A status and its fields, as ``start_response`` takes them. Nobody changes it."""

    __slots__ = ("bodiless", "fields", "length", "line")

    def __init__(self, status: int, headers: RawHeaders) -> None:
        """Raises `IllegalMessage` that names the field at fault."""
        #: The status with its reason phrase.
        self.line = f"{status} {reason(status)}"
        #: The fields that are the app's to set; to be copied for the host, which may change them.
        self.fields = text_headers(headers)
        #: Whether a response with this status never has a body.
        self.bodiless = bodiless(status)
        #: The number of bytes that the Content-Length names; None where there is none.
        self.length: int | None = None
        for name, value in headers:
            if MEANINGS.get(FIELD_NAMES[name]) == CONTENT_LENGTH:
                self.length = _as_length(clean_value(name, value))


def _as_length(value: bytes) -> int:
    if not value.isdigit():
        raise IllegalMessage(f"Content-Length is {value!r}, and must be digits only")
    return int(value)


def _learn(given: tuple[Any, ...]) -> tuple[Head, bool]:
    status, *headers = given
    head = Head(status, headers)
    return head, may_all_come_again([(FIELD_NAMES[name], value) for name, value in headers])


_HEADS: Recurring[Head] = Recurring(_learn)


def head_of(message: Message) -> Head:
    """The head that a ``http.response.start`` gives. Raises `IllegalMessage`."""
    status, headers = message.get("status"), message.get("headers")
    if type(status) is int and type(headers) is list and 200 <= status <= 999:
        try:
            return _HEADS[status, *headers]
        except TypeError:
            pass  # fields in lists cannot be looked up
    return Head(check_status(message), check_headers(message))
