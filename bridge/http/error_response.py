"""The one small answer of our own: an error as a whole response (S6, W38, A2, A23).

A client is told the same on every host and in every form: the status, its reason phrase, and what
the client itself did wrong. What went wrong inside stands in the log only.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bridge.errors import BridgeError
from bridge.http.headers import HOP_BY_HOP
from bridge.http.response_head import ResponseHead, raw_head
from bridge.http.status import reason_phrase
from bridge.types import RawHeaders

#: Where an error's advice to the operator begins; it names settings.
_ADVICE = re.compile("; (?:raise|lower) ")


class ErrorResponse(NamedTuple):
    """A whole response: its head has a Content-Length, its body is plain text."""

    head: ResponseHead
    body: bytes


def error_response(
    error: BaseException | int, text: str = "", *, is_head: bool = False
) -> ErrorResponse:
    """The response that tells a client of `error`: an exception, or a status alone.

    What is no `BridgeError` is a 500. `text` is what the client is told besides the status; without
    it an error that is `public` tells its own. `is_head`: the request's method is HEAD, so that the
    response has no body. Fields of the connection (``upgrade``) are not in the head: a host sets
    its own, and `encode_error` sends them.
    """
    status, fields = 500, BridgeError.fields
    if isinstance(error, int):
        status = error
    elif isinstance(error, BridgeError):
        status, fields = error.status, error.fields
        if error.public and not text:
            text = _ADVICE.split(str(error), 1)[0]
    phrase = reason_phrase(status)
    body = (f"{phrase}: {text}\n" if text else f"{phrase}\n").encode("utf-8", "replace")
    head = raw_head(
        status,
        [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            *(field for field in fields if field[0] not in HOP_BY_HOP),
        ],
    )
    return ErrorResponse(head, b"" if is_head else body)


def encode_error(error: BridgeError, default_fields: bytes, *, is_head: bool = False) -> bytes:
    """The same as HTTP/1.1, for a connection that closes after it.

    `default_fields` are the lines of the server's own fields.
    """
    head, body = error_response(error, is_head=is_head)
    hop_by_hop = RawHeaders(field for field in error.fields if field[0] in HOP_BY_HOP)
    return head.encode_last(default_fields, hop_by_hop) + body
