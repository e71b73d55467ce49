"""Response heads: status and fields, checked, and in the forms in which they are needed.

Real responses differ: a length, a tag, a cookie is new. So a head of plain fields is checked and
encoded in one go (`plain_fields.py`), which costs little more than to look it up would; whatever is
unusual or wrong goes field by field (`Field`), which says exactly what is wrong. Only the last head
is kept: if the next one equals it, as with a health check, one comparison is enough.

ASGI apps give numbers and bytes, WSGI apps text; there is one section for each below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Final

from bridge.caches import Memo, always, key_up_to
from bridge.errors import AppError, IllegalMessage, IllegalResponse
from bridge.http.leniency import LENIENT, Leniency
from bridge.http.plain_fields import encode_plain_raw, encode_plain_text
from bridge.http.response_fields import (
    CONNECTION,
    DATE,
    DROPPED,
    RAW_FIELDS,
    SERVER,
    TEXT_FIELDS,
    Field,
    all_cacheable,
    as_fields,
    as_pair,
    check_controls,
    encode_text,
    lines_as_text,
)
from bridge.http.status import has_no_body, is_final, reason_phrase
from bridge.types import RawHeaders, TextHeaders


class ResponseHead:
    """Status line and fields, ready to send, and what they mean to the server.

    One object is shared by equal heads that follow each other, and never changed.
    """

    __slots__ = (
        "_raw_headers",
        "_text",
        "_with_length",
        "cacheable",
        "close",
        "dropped",
        "encoded",
        "fast",
        "fields",
        "has_date",
        "has_no_body",
        "has_server",
        "length",
        "status",
        "status_code",
    )

    def __init__(
        self,
        status: Any,
        fields: list[Any],
        status_code: int,
        encoded: bytes,
        length: int | None,
        cacheable: bool,
    ) -> None:
        #: The status and the fields as the app gave them, in a list of our own.
        self.status = status
        self.fields = fields
        #: The status as a number.
        self.status_code = status_code
        #: Status line and fields as HTTP/1.1, without the blank line that ends a head.
        self.encoded = encoded
        #: The Content-Length, if there is one.
        self.length = length
        #: Whether it may come again, and has no secrets.
        self.cacheable = cacheable
        #: Whether a response with this status never has a body.
        self.has_no_body = has_no_body(status_code)
        #: Whether the fast path may send it: no Date, Server or Connection of the app's, and a
        #: status that may have a body.
        self.fast = not self.has_no_body
        #: Whether the app wants the connection closed.
        self.close = False
        #: Whether the app sets these fields itself.
        self.has_date = self.has_server = False
        #: The names of hop-by-hop fields that were left out.
        self.dropped: list[bytes] = []
        self._raw_headers: RawHeaders | None = None
        self._text: tuple[str, TextHeaders] | None = None
        #: The head that `with_length` made last.
        self._with_length: ResponseHead | None = None

    def note_fields(self, fields: list[Field]) -> None:
        """Note what its fields mean, if they are not plain; called once, by what makes it."""
        roles = {field.role for field in fields}
        self.has_date, self.has_server = DATE in roles, SERVER in roles
        self.close = CONNECTION in roles
        self.fast = self.fast and not roles & {DATE, SERVER, CONNECTION}
        self.dropped = [field.raw[0] for field in fields if field.role == DROPPED]
        self._raw_headers = [field.raw for field in fields if field.role != DROPPED]

    @property
    def raw_headers(self) -> RawHeaders:
        """The fields in ASGI's form, without hop-by-hop fields."""
        if self._raw_headers is None:
            fields = encoded_fields(self.encoded)
            self._raw_headers = [(name.lower(), value) for name, value in fields]
        return self._raw_headers

    def without(self, name: bytes) -> ResponseHead:
        """Return the same head without a field that means nothing to the server."""
        changed = copy(self)
        lines = self.encoded.split(b"\r\n")
        changed.encoded = b"\r\n".join(
            [line for line in lines if line.partition(b":")[0].lower() != name]
        )
        changed._raw_headers = changed._with_length = None
        return changed

    def with_length(self, size: int) -> ResponseHead:
        """Return the same head of a WSGI app with a Content-Length."""
        known = self._with_length
        if known is None or known.length != size:
            fields = [*self.fields, ("Content-Length", str(size))]
            encoded = self.encoded + b"Content-Length: %d\r\n" % size
            known = ResponseHead(
                self.status, fields, self.status_code, encoded, size, self.cacheable
            )
            known.fast, known.close, known.dropped = self.fast, self.close, self.dropped
            known.has_date, known.has_server = self.has_date, self.has_server
            if self._raw_headers is not None:
                known._raw_headers = [*self._raw_headers, (b"content-length", b"%d" % size)]
            self._with_length = known
        return known

    def encode_last(self, default_fields: bytes, more: RawHeaders) -> bytes:
        """Encode the whole head; the connection closes after the response (RFC 9112 §9.6).

        `default_fields` are the server's own field lines, `more` are hop-by-hop fields.
        """
        lines = [b"%b: %b\r\n" % field for field in more]
        return b"".join((self.encoded, default_fields, *lines, b"connection: close\r\n\r\n"))

    @property
    def text(self) -> tuple[str, TextHeaders]:
        """Status and fields in the form for ``start_response``, without hop-by-hop ones (A25).

        Copy the list before you give it to a host, which may change it.
        """
        if self._text is None:
            line, _, lines = self.encoded.partition(b"\r\n")
            self._text = line[9:].decode("latin-1"), lines_as_text(lines)
        return self._text


def _head_of(
    status: Any, pairs: list[Any], code: int, line: bytes, fields: list[Field]
) -> ResponseHead:
    """Make a head of fields that were checked one by one."""
    lengths = [field.length for field in fields if field.length >= 0]
    encoded = b"".join([line, *[field.line for field in fields]])
    cacheable = all_cacheable([field.raw for field in fields])
    head = ResponseHead(status, pairs, code, encoded, lengths[0] if lengths else None, cacheable)
    head.note_fields(fields)
    return head


def _with_one_length(fields: list[Field], error: type[AppError]) -> list[Field]:
    """Drop repeated Content-Length fields; raises `error` if they differ (W36)."""
    lengths = [field for field in fields if field.length >= 0]
    if len(lengths) < 2:
        return fields
    first = lengths[0]
    for other in lengths[1:]:
        if other.length != first.length:
            raise error(f"Content-Length is set twice: {first.length} and {other.length}")
    at = fields.index(first)
    return fields[: at + 1] + [field for field in fields[at + 1 :] if field.length < 0]


# ------------------------------------------------------------- ASGI


def _as_status(status: object) -> int:
    """Convert a status to a plain int, also from a subclass of int (`http.HTTPStatus`)."""
    if not isinstance(status, int) or isinstance(status, bool) or not is_final(status):
        raise IllegalMessage(
            f"status is {status!r}, and must be an integer from 200 to 999 (ASGI, Response Start)"
        )
    return int(status)


#: Status -> the status line.
_LINES: Memo[int, bytes] = Memo(
    lambda status: b"HTTP/1.1 %d %b\r\n" % (status, reason_phrase(status).encode("ascii")), always
)


class _Last:
    """The last head that may come again."""

    __slots__ = ("head",)

    def __init__(self, head: ResponseHead) -> None:
        self.head = head


#: No app's head has this: as long as there is none, the last head equals no other.
_NO_FIELD: Final = object()
_LAST_RAW = _Last(ResponseHead(0, [_NO_FIELD], 0, b"", None, False))


def raw_head(status: Any, headers: Any) -> ResponseHead:
    """Check the head of an ASGI response, for the server and for WSGI hosts alike.

    `status` is an int from 200 to 999 (1xx are early hints, never a response), `headers` an
    iterable of pairs of bytes, or None. Raises `IllegalMessage`, which says what is wrong (ASGI,
    "Response Start").
    """
    last = _LAST_RAW.head
    if last.fields == headers and (
        last.status is status or (last.status == status and isinstance(status, int))
    ):
        return last
    status = _as_status(status)
    pairs = as_fields(headers)
    line = _LINES[status]
    plain = encode_plain_raw(line, pairs)
    if plain is not None:
        head = ResponseHead(status, pairs.copy(), status, *plain)
    else:
        pairs = [as_pair(pair) for pair in pairs]
        fields = _with_one_length([RAW_FIELDS[pair] for pair in pairs], IllegalMessage)
        head = _head_of(status, pairs, status, line, fields)
    if head.cacheable:
        _LAST_RAW.head = head
    return head


# ------------------------------------------------------------- WSGI


def _compute_status(status: str) -> tuple[int, bytes]:
    text = encode_text("status", status)
    check_controls("status", text, IllegalResponse)
    code, _, reason = text.partition(b" ")
    if len(code) != 3 or not code.isdigit() or not is_final(int(code)):
        raise IllegalResponse(
            f"status is {status!r}, and must be three digits from 200 up, a space and a reason, "
            "like '200 OK' (PEP 3333, The start_response() Callable)"
        )
    if not reason.strip():
        reason = reason_phrase(int(code)).encode("ascii")
    return int(code), b"HTTP/1.1 %b %b\r\n" % (code, reason)


#: Status as text -> number and status line. A subscript raises `IllegalResponse` (W34).
_STATUSES: Memo[str, tuple[int, bytes]] = Memo(_compute_status, key_up_to(64))


_LAST_TEXT = _Last(ResponseHead("", [_NO_FIELD], 0, b"", None, False))


def text_head(status: str, headers: TextHeaders, leniency: Leniency = LENIENT) -> ResponseHead:
    """Check what an app gave to ``start_response`` (W34, W36).

    Raises `IllegalResponse` for what `leniency` does not tolerate.
    """
    last = _LAST_TEXT.head
    if last.fields == headers and last.status == status:
        return last
    if type(headers) is not list:
        headers = _as_list(headers, leniency)
    head = _plain_text_head(status, headers) or _text_head(status, headers, leniency)
    if head.dropped or head.close:
        _check_hop_by_hop(head, leniency)
    elif head.cacheable:
        _LAST_TEXT.head = head
    return head


def _plain_text_head(status: str, headers: TextHeaders) -> ResponseHead | None:
    try:
        code, line = _STATUSES[status]
    except TypeError:  # it cannot be hashed
        return None
    plain = encode_plain_text(line, headers)
    return None if plain is None else ResponseHead(status, headers.copy(), code, *plain)


def _text_head(status: str, headers: TextHeaders, leniency: Leniency) -> ResponseHead:
    try:
        fields = [TEXT_FIELDS[pair] for pair in headers]
        code, line = _STATUSES[status]
    except TypeError:
        encode_text("status", status)
        headers = _as_tuples(headers, leniency)
        fields = [TEXT_FIELDS[pair] for pair in headers]
        code, line = _STATUSES[status]
    fields = _with_one_length(fields, IllegalResponse)
    return _head_of(status, headers.copy(), code, line, fields)


def _as_list(headers: Any, leniency: Leniency) -> TextHeaders:
    """Convert fields to a list; tuples, iterators and the like are accepted."""
    if not isinstance(headers, Iterable) or isinstance(headers, (str, bytes, Mapping)):
        raise _not_headers(headers)
    if not isinstance(headers, list):
        leniency.tolerate(
            f"gives its header fields as {type(headers).__name__}, not as a list",
            "they are sent as they are",
        )
    return list(headers)


def _as_tuples(headers: list[Any], leniency: Leniency) -> TextHeaders:
    """Convert fields that are lists to tuples; raises `IllegalResponse` if some are neither."""
    if not any(isinstance(pair, list) for pair in headers):
        raise _not_headers(headers)
    pairs = [tuple(pair) if isinstance(pair, list) else pair for pair in headers]
    try:
        hash((*pairs,))
    except TypeError:
        raise _not_headers(headers) from None
    leniency.tolerate(
        "gives a header field as a list, not as a tuple (name, value)", "it is sent as it is"
    )
    return pairs


def _not_headers(headers: object) -> IllegalResponse:
    return IllegalResponse(
        f"headers are {headers!r:.200}, and must be a list of (name, value) tuples"
    )


def _check_hop_by_hop(head: ResponseHead, leniency: Leniency) -> None:
    """Warn of hop-by-hop fields: ``Connection: close`` is obeyed, all others are left out."""
    if head.close and leniency.strict:
        leniency.tolerate("sets the hop-by-hop field connection", "")
    for name in head.dropped:
        leniency.tolerate(
            f"sets the hop-by-hop field {name.decode()}",
            "the field is left out",
        )


def without_length(head: ResponseHead) -> ResponseHead:
    """Return the head without its Content-Length."""
    pairs = [pair for pair in head.fields if TEXT_FIELDS[pair].length < 0]
    return _text_head(head.status, pairs, LENIENT)


def encoded_fields(encoded: bytes) -> RawHeaders:
    """Parse the fields of an encoded head (status line included); names stay as they are."""
    lines = encoded.split(b"\r\n")[1:]
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines) if name]
