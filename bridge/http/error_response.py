"""The bridge's own error responses: one small response for each error (S6, W38, A2, A23).

Clients read the same on every host and over every protocol: the status, its reason phrase, and what
the client itself did wrong. Internal causes are only logged.
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
    """Make the response for `error`, which is an exception or just a status.

    An exception that is not a `BridgeError` becomes a 500. `text` is sent after the reason phrase;
    without it, a `public` error sends its own text. `is_head`: the request's method is HEAD, so the
    response has no body. Hop-by-hop fields (``upgrade``) are left out of the head: a host sets its
    own, and `encode_error` adds them.
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
    """Encode the response for `error` as HTTP/1.1; the connection closes after it.

    `default_fields` are the server's own field lines.
    """
    head, body = error_response(error, is_head=is_head)
    hop_by_hop = RawHeaders(field for field in error.fields if field[0] in HOP_BY_HOP)
    return head.encode_last(default_fields, hop_by_hop) + body
