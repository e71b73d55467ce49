"""Split and check request lines: ``GET /path?query HTTP/1.1`` (S3, S4).

A target that is accepted reaches the app as it came: nothing is encoded, only the path is decoded.
"""

from __future__ import annotations

import re
from typing import Final

from bridge.errors import RequestError
from bridge.http.headers import is_token
from bridge.server.request import Request

#: The bytes that a path and a query may have, for `bytes.translate` to delete: those that RFC 3986
#: §3.3 and §3.4 allow, and those that browsers do not encode (URL standard, "percent-encode sets"),
#: such as a `%` that begins no escape.
_PATH: Final = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@!$&'()*+,;=%[]|"
)
_QUERY: Final = _PATH + b'?{}^\\`"' + bytes(range(0x80, 0x100))
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#]*)([^#]*)")
#: The methods that llhttp knows, except HEAD, CONNECT and those of other protocols.
_METHODS: Final = {
    method: method.decode("ascii")
    for method in (
        *(b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"),
        *(b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"SEARCH"),
        *(b"REPORT", b"MKACTIVITY", b"CHECKOUT", b"MERGE", b"SUBSCRIBE", b"UNSUBSCRIBE"),
        *(b"PURGE", b"LINK", b"UNLINK"),
    )
}
_LONGEST_METHOD = 64


def read_request_line(line: bytes) -> Request:
    """Make a request without fields of its line. Raises `RequestError` (400, 501, 505)."""
    try:
        method, target, version = line.split(b" ")
    except ValueError:
        raise malformed(line) from None
    name = _METHODS.get(method)
    if version != b"HTTP/1.1" or name is None or not target.startswith(b"/"):
        return _read_unusual(line, method, target, version)
    path, _, query = target.partition(b"?")
    if path.translate(None, _PATH) or query.translate(None, _QUERY):
        raise _not_encoded(target)
    request = Request(name, target, path, query)
    if not query.isascii():
        request.fast = False
        request.unknown_line = True
    return request


def _read_unusual(line: bytes, method: bytes, target: bytes, version: bytes) -> Request:
    """Slow path: HTTP/1.0, HEAD, a method that llhttp does not know, any form of target."""
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if version.startswith(b"HTTP/") and len(version) == len(b"HTTP/1.1"):
            raise RequestError(
                f"the protocol is {version!r}; HTTP/1.1 and HTTP/1.0 are spoken here", 505
            )
        raise malformed(line)
    known = method in _METHODS or method == b"HEAD"
    if not known:
        if method == b"CONNECT":
            raise RequestError("CONNECT is for proxies, and this is none", 501)
        if len(method) > _LONGEST_METHOD or not is_token(method):
            raise malformed(line)
    origin, authority = _origin_form(method, target)
    path, _, query = origin.partition(b"?")
    if path.translate(None, _PATH) or query.translate(None, _QUERY):
        raise _not_encoded(origin)
    request = Request(method.decode("ascii"), origin, path, query)
    request.fast = False
    request.http11 = version == b"HTTP/1.1"
    request.unknown_line = not known or not query.isascii()
    request.authority = authority
    return request


def _origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Return the target in origin form, and the authority if it was absolute (RFC 9112 §3.2)."""
    if target == b"*":
        if method != b"OPTIONS":
            raise RequestError(f"the target * is for OPTIONS, not for {method.decode()}")
        return target, None
    if target.startswith(b"/"):
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or absolute[1].count(b"@"):
        raise RequestError(f"malformed target {target[:80]!r}")
    authority, target = absolute[1], absolute[2]
    return target if target.startswith(b"/") else b"/" + target, authority


def malformed(line: bytes) -> RequestError:
    """Return the error for bytes that are not a request line."""
    return RequestError(f"malformed request line {line[:80]!r}; METHOD TARGET HTTP/1.1 is expected")


def _not_encoded(target: bytes) -> RequestError:
    return RequestError(f"the target {target[:80]!r} has characters that must be percent-encoded")
