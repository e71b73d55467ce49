"""Split, check and decode request lines: ``GET /path?query HTTP/1.1`` (S3, S4).

A target that is accepted reaches the app as it came: nothing is encoded, only the path is decoded.

Most requests to a site are for a few targets, so the result for a line is kept in a bounded table:
a line that was seen before costs one look-up.
"""

from __future__ import annotations

import re
from typing import Final

from bridge.caches import Memo, key_up_to
from bridge.errors import RequestError
from bridge.http.headers import is_token
from bridge.server.request import RequestTarget

#: The bytes that a path and a query may have, for `bytes.translate` to delete: those that RFC 3986
#: §3.3 and §3.4 allow, and those that browsers do not encode (URL standard, "percent-encode sets"),
#: such as a `%` that begins no escape.
_PATH: Final = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@!$&'()*+,;=%[]|"
)
_QUERY: Final = _PATH + b'?{}^\\`"' + bytes(range(0x80, 0x100))
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#]*)([^#]*)")
#: The methods that llhttp knows, except CONNECT and those of other protocols.
_METHODS: Final = {
    method: method.decode("ascii")
    for method in (
        *(b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"),
        *(b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"SEARCH"),
        *(b"REPORT", b"MKACTIVITY", b"CHECKOUT", b"MERGE", b"SUBSCRIBE", b"UNSUBSCRIBE"),
        *(b"PURGE", b"LINK", b"UNLINK"),
    )
}
_LONGEST_METHOD = 64


class RequestLines(Memo[bytes, RequestTarget]):
    """Lines as they were sent -> `RequestTarget`. Raises `RequestError` (400, 501, 505)."""

    def __init__(self) -> None:
        super().__init__(_read, key_up_to(256))


def _read(line: bytes) -> RequestTarget:
    try:
        method, target, version = line.split(b" ")
    except ValueError:
        raise malformed(line) from None
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if version.startswith(b"HTTP/") and len(version) == len(b"HTTP/1.1"):
            raise RequestError(
                f"the protocol is {version!r}; HTTP/1.1 and HTTP/1.0 are spoken here", 505
            )
        raise malformed(line)
    name = _METHODS.get(method)
    known = name is not None
    if name is None:
        if method == b"CONNECT":
            raise RequestError("CONNECT is for proxies, and this is none", 501)
        if len(method) > _LONGEST_METHOD or not is_token(method):
            raise malformed(line)
        name = method.decode("ascii")
    origin, authority = _origin_form(method, target)
    request = RequestTarget(name, origin, version == b"HTTP/1.1")
    request.unknown_method = not known or not origin.isascii()
    request.authority = authority
    request.fast = request.http11 and authority is None and method != b"HEAD"
    return request


def _origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Return the target in origin form, and the authority if it was absolute (RFC 9112 §3.2)."""
    authority = None
    if target == b"*":
        if method != b"OPTIONS":
            raise RequestError(f"the target * is for OPTIONS, not for {method.decode()}")
        return target, None
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not absolute[1] or absolute[1].count(b"@"):
            raise RequestError(f"malformed target {target[:80]!r}")
        authority, target = absolute[1], absolute[2]
        if not target.startswith(b"/"):
            target = b"/" + target
    path, _, query = target.partition(b"?")
    if path.translate(None, _PATH) or query.translate(None, _QUERY):
        raise RequestError(
            f"the target {target[:80]!r} has characters that must be percent-encoded"
        )
    return target, authority


def malformed(line: bytes) -> RequestError:
    """Return the error for bytes that are not a request line."""
    return RequestError(f"malformed request line {line[:80]!r}; METHOD TARGET HTTP/1.1 is expected")
