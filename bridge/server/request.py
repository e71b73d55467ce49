"""Bytes to requests: heads and chunked bodies, by llhttp and by the rules that it leaves to us.

The only file that knows httptools. It never sees a connection: the protocol object cuts the
stream at the blank line that ends a head (RFC 9112 §2.1), hands over the whole head, and gets a
`RequestHead` or a `RequestError`. One parser serves every connection of a loop, because between
two whole heads a parser has no memory. What llhttp lets pass and a server must not (two
readings of one message, S3) is checked here.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from bridge.errors import RequestError
from bridge.headers import Spellings, content_length, is_token
from bridge.server.forwarded import FORWARDING_HEADERS, Resolved

#: `RequestHead.length` of a body whose end the chunks tell.
CHUNKED: Final = -1

_END = b"\r\n\r\n"
_METHODS: Final = {
    name.encode(): name
    for name in (
        *("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"),
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT"),
        *("MKACTIVITY", "CHECKOUT", "MERGE", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE"),
        *("LINK", "UNLINK"),
    )
}
#: What an origin-form target may hold (RFC 3986 §3.3, §3.4), as `bytes.translate` deletes it.
_TARGET: Final = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?@!$&'()*+,;=%[]|"
)
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#]*)([^#]*)")
_HOST = re.compile(
    rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::[0-9]{0,5})?"
    rb"|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
)
#: The beginning of a request line, as far as it is here; a first look before its end has come.
_LINE_START = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{0,64}(?: [^\x00-\x20\x7f-\xff]*(?: (?:H(?:T(?:T(?:P(?:/(?:1(?:\."
    rb"(?:[01](?:\r(?:\n.*)?)?)?)?)?)?)?)?)?)?)?)?",
    re.DOTALL,
)

# Field names that say something to the server itself.
_HOST_FIELD: Final = b"host"
_SPECIAL: Final = FORWARDING_HEADERS | {
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
}


class RequestHead:
    """A request line and its fields, checked.

    Names are lower case, values bytes without blanks around them, in order. Attributes that most
    requests do not need are class attributes and set only where a field speaks of them.
    """

    #: True for HTTP/1.1, False for HTTP/1.0.
    http11 = True
    #: The client will not use the connection again.
    close = False
    #: Bytes of body that follow; `CHUNKED` where the body says so itself.
    length = 0
    #: The client waits for 100 Continue (RFC 9110 §10.1.1).
    expects = False
    #: The lower-case Upgrade field, where the Connection field names it.
    upgrade = b""
    #: Some proxy's word on the client is among the fields.
    forwarded = False
    #: What that word comes to, where the proxy is trusted (S32).
    resolved: Resolved | None = None

    def __init__(self, method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.method = method
        self.target = target
        self.headers = headers


def _learn_host(value: bytes) -> bytes:
    if _HOST.fullmatch(value) is None:
        raise RequestError(f"Host is {value[:80]!r}, and must be a name and perhaps a port")
    return value


class HeadParser:
    """Whole heads to `RequestHead`; one for all connections of a loop.

    `line_limit` and `size_limit` are bytes, `count_limit` is a number of fields (S2).
    """

    def __init__(self, line_limit: int, size_limit: int, count_limit: int) -> None:
        self._line_limit = line_limit
        self._size_limit = size_limit
        self._count_limit = count_limit
        self._fields: list[tuple[bytes, bytes]] = []
        self._hosts: Spellings[bytes, bytes] = Spellings(_learn_host)
        self._parser = HttpRequestParser(self)
        #: A head longer than this breaks one of the limits whatever is in it.
        self.most = line_limit + size_limit + 4

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one field, whole."""
        self._fields.append((name.lower(), value))

    def parse(self, head: bytes) -> RequestHead:
        """Read a head that ends with its blank line. Raises `RequestError` (S2, S3, S4)."""
        line_end = head.find(b"\r\n")
        if line_end > self._line_limit:
            raise self.line_too_long(line_end)
        try:
            method, target, version = head[:line_end].split(b" ")
        except ValueError:
            raise _malformed_line(head) from None
        name = _METHODS.get(method)
        if name is None or version != b"HTTP/1.1":
            name, fed = self._unusual_line(method, version, head)
        else:
            fed = head
        request = RequestHead(name, target, self._parse_fields(fed, line_end))
        if version == b"HTTP/1.0":
            request.http11 = False
            request.close = True
        host = None
        for field, value in request.headers:
            if field in _SPECIAL:
                if field == _HOST_FIELD:
                    if host is not None:
                        raise RequestError("the request has two Host fields; send one")
                    host = self._hosts[value]
                else:
                    self._special(request, field, value)
        if host is None and request.http11:
            raise RequestError("the request has no Host field; HTTP/1.1 wants one")
        if target.translate(None, _TARGET) or target[0] != 47 or target.find(b"%") > 0:
            self._unusual_target(request)
        if request.upgrade or request.length or request.close:
            self._finish_unusual(request)
        return request

    def _parse_fields(self, head: bytes, line_end: int) -> list[tuple[bytes, bytes]]:
        size = len(head) - line_end - 4
        if size > self._size_limit:
            raise self.head_too_long(size)
        fields = self._fields = []
        try:
            self._parser.feed_data(head)
        except HttpParserUpgrade:
            self._parser = HttpRequestParser(self)
        except HttpParserError as error:
            self._parser = HttpRequestParser(self)
            raise RequestError(f"malformed request: {error}") from None
        if len(fields) > self._count_limit:
            raise RequestError(
                f"read {len(fields)} header fields, limit is {self._count_limit}; "
                "raise --limit-header-count to allow more",
                431,
            )
        if head.find(b" \r\n") > 0 or head.find(b"\t\r\n") > 0:
            fields = [(name, value.rstrip(b" \t")) for name, value in fields]
        return fields

    def _unusual_line(self, method: bytes, version: bytes, head: bytes) -> tuple[str, bytes]:
        if version not in (b"HTTP/1.1", b"HTTP/1.0"):
            if version.startswith(b"HTTP/") and len(version) == 8:
                raise RequestError(
                    f"the protocol is {version!r}; HTTP/1.1 and HTTP/1.0 are spoken here", 505
                )
            raise _malformed_line(head)
        if method == b"CONNECT":
            raise RequestError("CONNECT is for proxies, and this is none", 501)
        name = _METHODS.get(method)
        if name is not None:
            return name, head
        if len(method) > 64 or not is_token(method):
            raise _malformed_line(head)
        # llhttp knows a list of methods only; the app may know more (S4).
        return method.decode("ascii"), b"POST" + head[len(method) :]

    def _special(self, request: RequestHead, field: bytes, value: bytes) -> None:
        if field == b"content-length":
            if request.length == CHUNKED:
                raise RequestError("Transfer-Encoding and Content-Length contradict each other")
            request.length = content_length(value)
        elif field == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise RequestError(
                    f"Transfer-Encoding is {value[:80]!r}; only chunked is known", 501
                )
            if not request.http11:
                raise RequestError("Transfer-Encoding in an HTTP/1.0 request")
            request.length = CHUNKED
        elif field == b"connection":
            for option in value.lower().split(b","):
                option = option.strip(b" \t")
                if option == b"close":
                    request.close = True
                elif option == b"keep-alive" and not request.http11:
                    # A later close, in this field or another, wins.
                    request.close = any(
                        b"close" in other.lower().replace(b" ", b"").split(b",")
                        for name, other in request.headers
                        if name == b"connection"
                    )
                elif option == b"upgrade":
                    request.upgrade = request.upgrade or b"?"
        elif field == b"expect":
            if value.lower() != b"100-continue":
                raise RequestError(f"Expect is {value[:80]!r}; only 100-continue is known", 417)
            request.expects = request.http11
        elif field != b"upgrade":
            request.forwarded = True

    def _finish_unusual(self, request: RequestHead) -> None:
        # After a body, a close or an upgrade the parser waits for what we read ourselves.
        self._parser = HttpRequestParser(self)
        if request.upgrade:
            named = [value for name, value in request.headers if name == b"upgrade"]
            request.upgrade = b",".join(named).lower() if request.http11 else b""

    def _unusual_target(self, request: RequestHead) -> None:
        target = request.target
        if target == b"*":
            if request.method != "OPTIONS":
                raise RequestError(f"the target * is for OPTIONS, not for {request.method}")
            return
        if not target.startswith(b"/"):
            absolute = _ABSOLUTE.fullmatch(target)
            if absolute is None or not absolute[1] or b"@" in absolute[1]:
                raise RequestError(f"malformed target {target[:80]!r}")
            # RFC 9112 §3.2.2: the target's authority takes the place of the Host field.
            authority = self._hosts[absolute[1]]
            request.headers = [
                (name, authority if name == _HOST_FIELD else value)
                for name, value in request.headers
            ]
            target = absolute[2]
            target = request.target = target if target.startswith(b"/") else b"/" + target
        if target.translate(None, _TARGET) or _BAD_ESCAPE.search(target):
            raise RequestError(
                f"the target {target[:80]!r} has characters that must be percent-encoded"
            )

    # --------------------------------------------------------- heads that are not whole yet

    def look_at_part(self, part: bytes | bytearray) -> None:
        """Refuse early what cannot become a request, however it goes on. Raises `RequestError`."""
        line_end = part.find(b"\r\n")
        if line_end < 0:
            if len(part) > self._line_limit:
                raise self.line_too_long(len(part))
        elif len(part) - line_end > self._size_limit + 4:
            raise self.head_too_long(len(part) - line_end)
        if _LINE_START.fullmatch(part) is None:
            raise _malformed_line(bytes(part[:80]))
        if part.count(b"\n") != part.count(b"\r\n"):
            raise RequestError("a line ends with a bare LF; lines end with CR LF (RFC 9112 §2.2)")

    def line_too_long(self, size: int) -> RequestError:
        """The error for a request line of `size` bytes or more."""
        return RequestError(
            f"read {size} bytes of request line, limit is {self._line_limit}; "
            "raise --limit-request-line to allow more",
            414,
        )

    def head_too_long(self, size: int) -> RequestError:
        """The error for a header section of `size` bytes or more."""
        return RequestError(
            f"read {size} bytes of headers, limit is {self._size_limit}; "
            "raise --limit-header-size to allow more",
            431,
        )


def _malformed_line(head: bytes) -> RequestError:
    line = head.partition(b"\r\n")[0][:80]
    return RequestError(f"malformed request line {line!r}; METHOD TARGET HTTP/1.1 is expected")


class ChunkedBody:
    """The bytes of one chunked body (RFC 9112 §7.1), taken out of their chunks by llhttp.

    Feed it what comes; it says how much of that belonged to the body. Trailer fields are read,
    counted and dropped: they never mix with the fields of the head.
    """

    #: Overhead (sizes, extensions, trailers) that is allowed for each byte of body, beside the
    #: header limit once: a chunk of one byte has five bytes around it.
    OVERHEAD = 16
    _HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    def __init__(self, size_limit: int) -> None:
        self._limit = size_limit
        self._overhead = 0
        self._chunks: list[bytes] = []
        self._tail = b""
        self.complete = False
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(self._HEAD)

    def on_body(self, data: bytes) -> None:
        """httptools: a part of the body."""
        self._chunks.append(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a trailer field."""

    def on_message_complete(self) -> None:
        """httptools: the body is over."""
        self.complete = True

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take `data` in; give the body bytes in it, and what follows the body.

        A chunked body ends with CR LF CR LF, so it is fed in pieces that end there: the end of
        the message is then always the end of a piece. Raises `RequestError`.
        """
        start = 0
        chunks = self._chunks = []
        try:
            while start < len(data) and not self.complete:
                end = self._piece_end(data, start)
                self._parser.feed_data(memoryview(data)[start:end])
                start = end
        except HttpParserError as error:
            raise RequestError(f"malformed chunked body: {error}") from None
        self._tail = data[-3:] if len(data) >= 3 else (self._tail + data)[-3:]
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._overhead += start - len(body) - self.OVERHEAD * len(body)
        if self._overhead > self._limit:
            raise RequestError(
                f"the chunk sizes, extensions and trailers of the body are longer than "
                f"{self._limit} bytes; raise --limit-header-size to allow more",
                431,
            )
        self._overhead = max(self._overhead, 0)
        return body, data[start:]

    def _piece_end(self, data: bytes, start: int) -> int:
        if start == 0 and self._tail:
            split = (self._tail + data[:3]).find(_END)
            if split >= 0:
                return split + 4 - len(self._tail)
        end = data.find(_END, start)
        return len(data) if end < 0 else end + 4
