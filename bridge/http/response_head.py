"""Response heads: status and fields, checked once, and kept in the forms in which they are needed.

Apps send the same few statuses and fields again and again. So results are cached: single fields
(`Field`), and whole heads that come a second time (`ResponseHead`), by what the app gave. To check
and encode such a head again takes one dictionary look-up; if it equals the last head, which is the
usual case, one comparison.

ASGI apps give numbers and bytes, WSGI apps text; there is one section for each below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.caches import Memo, SecondHitMemo, key_up_to
from bridge.errors import AppError, IllegalMessage, IllegalResponse
from bridge.http.leniency import LENIENT, Leniency
from bridge.http.response_fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    DROPPED,
    NO_ROLE,
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

    One object is shared by all equal heads, and never changed.
    """

    __slots__ = (
        "_text",
        "cacheable",
        "close",
        "dropped",
        "encoded",
        "fast",
        "fields",
        "has_date",
        "has_no_body",
        "has_server",
        "key",
        "length",
        "raw_headers",
        "status",
        "status_code",
    )

    def __init__(
        self, key: tuple[Any, ...], status_code: int, reason: bytes, fields: Iterable[Field]
    ) -> None:
        #: The status and the fields as the app gave them; below, each of the two.
        self.key = key
        self.status, *self.fields = key
        #: The status as a number.
        self.status_code = status_code
        #: Whether a response with this status never has a body.
        self.has_no_body = has_no_body(status_code)
        lines = [b"HTTP/1.1 %d %b\r\n" % (status_code, reason)]
        #: The fields in ASGI's form, without hop-by-hop fields.
        self.raw_headers = RawHeaders()
        #: The Content-Length, if there is one.
        self.length: int | None = None
        #: The names of hop-by-hop fields that were left out.
        self.dropped: list[bytes] = []
        roles = set()
        for field in fields:
            roles.add(field.role)
            if field.role == DROPPED:
                self.dropped.append(field.raw[0])
                continue
            lines.append(field.line)
            self.raw_headers.append(field.raw)
            if field.length >= 0:
                self.length = field.length
        #: Status line and fields as HTTP/1.1, without the blank line that ends a head.
        self.encoded = b"".join(lines)
        #: Whether the app sets these fields itself.
        self.has_date, self.has_server = DATE in roles, SERVER in roles
        #: Whether the app wants the connection closed.
        self.close = CONNECTION in roles
        #: Whether the fast path may send it: no Date, Server or Connection of the app's, and a
        #: status that may have a body.
        self.fast = roles <= {NO_ROLE, CONTENT_LENGTH, DROPPED} and not self.has_no_body
        #: Whether it may come again, and has no secrets.
        self.cacheable = all_cacheable(self.raw_headers)
        self._text: tuple[str, TextHeaders] | None = None

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


def _compute_raw_head(key: tuple[Any, ...]) -> ResponseHead:
    status, *pairs = key
    status = _as_status(status)
    fields = _with_one_length([RAW_FIELDS[pair] for pair in pairs], IllegalMessage)
    return ResponseHead(key, status, reason_phrase(status).encode("ascii"), fields)


def _is_cacheable(_: object, head: ResponseHead) -> bool:
    return head.cacheable


#: (status as int, *fields) -> head of an ASGI response. A subscript raises as `RAW_FIELDS` does.
RAW_HEADS: SecondHitMemo[tuple[Any, ...], ResponseHead] = SecondHitMemo(
    _compute_raw_head, _is_cacheable, (200,)
)


def raw_head(status: Any, headers: Any) -> ResponseHead:
    """Check the head of an ASGI response, for the server and for WSGI hosts alike.

    `status` is an int from 200 to 999 (1xx are early hints, never a response), `headers` an
    iterable of pairs of bytes, or None. Raises `IllegalMessage`, which says what is wrong (ASGI,
    "Response Start"). Most heads equal the last one, and to compare costs a third of a look-up.
    """
    last = RAW_HEADS.last
    if last.fields == headers and (
        last.status is status or (last.status == status and isinstance(status, int))
    ):
        return last
    if type(status) is not int:
        status = _as_status(status)
    pairs = as_fields(headers)
    try:
        head = RAW_HEADS[status, *pairs]
    except TypeError:  # pairs in lists, perhaps
        head = RAW_HEADS[status, *map(as_pair, pairs)]
    if head.cacheable:
        RAW_HEADS.last = head
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
    return int(code), reason if reason.strip() else reason_phrase(int(code)).encode("ascii")


#: Status as text -> number and reason phrase. A subscript raises `IllegalResponse` (W34).
_STATUSES: Memo[str, tuple[int, bytes]] = Memo(_compute_status, key_up_to(64))


def _compute_text_head(key: tuple[Any, ...]) -> ResponseHead:
    status, *pairs = key
    fields = _with_one_length([TEXT_FIELDS[pair] for pair in pairs], IllegalResponse)
    return ResponseHead(key, *_STATUSES[status], fields)


#: (status, *fields) -> head of a WSGI response. A subscript raises as `TEXT_FIELDS` does.
TEXT_HEADS: SecondHitMemo[tuple[Any, ...], ResponseHead] = SecondHitMemo(
    _compute_text_head, _is_cacheable, ("200 OK",)
)


def text_head(status: str, headers: TextHeaders, leniency: Leniency = LENIENT) -> ResponseHead:
    """Check what an app gave to ``start_response`` (W34, W36).

    Raises `IllegalResponse` for what `leniency` does not tolerate. Most heads equal the last one,
    as in `raw_head`.
    """
    last = TEXT_HEADS.last
    if last.fields == headers and last.status == status:
        return last
    if type(headers) is not list:
        headers = _as_list(headers, leniency)
    try:
        head = TEXT_HEADS[status, *headers]
    except TypeError:
        encode_text("status", status)
        head = TEXT_HEADS[status, *_as_tuples(headers, leniency)]
    if head.dropped or head.close:
        _check_hop_by_hop(head, leniency)
    elif head.cacheable:
        TEXT_HEADS.last = head
    return head


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


def with_length(head: ResponseHead, size: int) -> ResponseHead:
    """Return the head with a Content-Length, which the bridge adds for the app (W35)."""
    return TEXT_HEADS[(*head.key, ("Content-Length", str(size)))]


def without_length(head: ResponseHead) -> ResponseHead:
    """Return the head without its Content-Length."""
    status, *pairs = head.key
    return TEXT_HEADS[(status, *[pair for pair in pairs if TEXT_FIELDS[pair].length < 0])]


def encoded_fields(encoded: bytes) -> RawHeaders:
    """Parse the fields of an encoded head (status line included); names stay as they are."""
    lines = encoded.split(b"\r\n")[1:]
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines) if name]
