"""Parse the head of a request, with llhttp and with the rules that it leaves to the server.

This is the only file that knows httptools. It is given whole heads, each up to its blank line
(RFC 9112 §2.1), and makes a `Request` of each, or raises `RequestError`. One parser serves every
connection of a loop: from one whole head to the next it remembers nothing that changes what a head
means. What llhttp accepts although two servers could read it differently (S3) is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from bridge import accelerator
from bridge.caches import Memo, key_up_to
from bridge.errors import RequestError
from bridge.server.http1.request_line import malformed, read_request_line
from bridge.server.request import CONTROL_FIELDS, Request

_END = b"\r\n\r\n"
_HOST = re.compile(
    rb"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?)?"
    rb"|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
)
#: The beginning of a request line of which more may come.
_LINE_START = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{0,64}(?: [^\x00-\x20\x7f-\xff?]*(?:\?[^\x00-\x20\x7f]*)?"
    rb"(?: (?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9](?:\r(?:\n.*)?)?)?)?)?)?)?)?)?)?)?)?",
    re.DOTALL,
)

# What a field does; plain numbers, for they are looked at for every field.
_NO_EFFECT: Final = 0
_HOST_FIELD: Final = 1
_CONNECTION: Final = 2
#: The server acts on it.
_CONTROL: Final = 4
#: llhttp acts on it, and is not ready for the next head.
_FRAMING: Final = 8

#: The fields on which llhttp acts, `Connection` aside.
_FRAMING_FIELDS: Final = {
    b"content-length",
    b"transfer-encoding",
    b"upgrade",
    b"proxy-connection",
}


def _read_name(name: bytes) -> tuple[bytes, int]:
    """Return the name of a field in lower case, and what it does."""
    name = name.lower()
    if name == b"host":
        return name, _HOST_FIELD
    if name == b"connection":
        return name, _CONNECTION
    if name in _FRAMING_FIELDS:
        return name, _FRAMING
    return name, _CONTROL if name in CONTROL_FIELDS else _NO_EFFECT


def _check_host(value: bytes) -> bytes:
    if _HOST.fullmatch(value) is None:
        raise RequestError(f"Host is {value[:80]!r}, and must be a name and perhaps a port")
    return value


def _with_known_line(head: bytes, request: Request) -> bytes:
    """Return `head` with a request line that llhttp knows; its own has been checked already."""
    version = b"1.1" if request.http11 else b"1.0"
    return b"POST / HTTP/" + version + head[head.find(b"\r\n") :]


class HeadParser:
    """Make a `Request` of each whole head; one parser for all connections of a loop.

    `line_limit`, `size_limit` and `field_limit` (0: any) are bytes, `count_limit` is a number of
    fields (S2).

    llhttp reads each head once, and calls `on_header` for each field. The parser is kept for the
    next head only if that is what it expects: not after a head that announces a body, the end of
    the connection or another protocol, and not after an error.
    """

    def __init__(
        self, line_limit: int, size_limit: int, count_limit: int, field_limit: int = 0
    ) -> None:
        self._line_limit = line_limit
        self.size_limit = size_limit
        self._count_limit = count_limit
        self._field_limit = field_limit or size_limit
        #: A head of at most so many bytes exceeds none of the limits of bytes.
        self._small = min(line_limit, size_limit, self._field_limit)
        #: Reads heads that are plain, in C; it returns None for others.
        self.read_plain = accelerator.read_head
        #: Names as they are sent -> in lower case, and what the field does.
        self._names: Memo[bytes, tuple[bytes, int]] = Memo(_read_name, key_up_to(64))
        #: Hosts that are well formed.
        self._hosts: Memo[bytes, bytes] = Memo(_check_host, key_up_to(64))
        #: Of the head that is being read: its fields, what they do, and its hosts.
        self._headers: list[tuple[bytes, bytes]] = []
        self._effects = _NO_EFFECT
        self._host = b""
        self._host_count = 0
        #: Has the kept parser read; None if there is none, and while it reads.
        self._feed: Callable[[bytes], object] | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: llhttp has read a field; blanks may follow its value."""
        name, effect = self._names[name]
        value = value.strip()
        if effect:
            if effect == _HOST_FIELD:
                self._host = value
                self._host_count += 1
            elif effect != _CONNECTION:
                self._effects |= effect
            elif value.lower() != b"keep-alive":  # the default of HTTP/1.1
                self._effects |= _FRAMING
        self._headers.append((name, value))

    def parse(self, head: bytes) -> Request:
        """Read a head that ends with its blank line. Raises `RequestError` (S2, S3, S4)."""
        is_small = len(head) <= self._small
        if not is_small or self.read_plain is None:
            return self._read(head, is_small)
        plain = self.read_plain(head, self._count_limit)
        if plain is None:
            return self._read(head, is_small)
        method, target, path, query, headers, acts = plain
        request = Request(method, target, path, query)
        request.headers = headers
        if acts:
            request.apply_control_fields()
        return request

    def _read(self, head: bytes, is_small: bool) -> Request:
        """Read any head with llhttp, and with the rules that it leaves to the server."""
        line_end = head.find(b"\r\n")
        if not is_small:
            self._check_sizes(head, line_end, len(head) - line_end - 4)
        request = read_request_line(head[:line_end])
        if not is_small:
            self._check_fields(head, line_end)
        self._headers = headers = request.headers
        self._effects = self._host_count = 0
        feed, self._feed = self._feed or HttpRequestParser(self).feed_data, None
        try:
            feed(_with_known_line(head, request) if request.unknown_line else head)
        except HttpParserUpgrade:
            pass  # its fields have been told
        except HttpParserError as error:
            self._check_count(head.count(b"\r\n") - 2)
            raise RequestError(f"malformed request: {error}") from None
        if request.http11 and not self._effects & _FRAMING:
            self._feed = feed
        self._check_count(len(headers))
        if self._effects or not request.fast:
            request.apply_control_fields()
        if self._host_count != 1 or request.authority is not None:
            self._check_hosts(request)
        else:
            self._hosts[self._host]
        return request

    def _check_hosts(self, request: Request) -> None:
        if self._host_count > 1:
            raise RequestError(f"the request has {self._host_count} Host fields; send one")
        if self._host_count:
            self._hosts[self._host]
        elif request.http11:
            raise RequestError("the request has no Host field; HTTP/1.1 wants one")
        if request.authority is not None:
            request.replace_host(self._hosts[request.authority])

    def _check_count(self, count: int) -> None:
        if count > self._count_limit:
            raise RequestError(
                f"read {count} header fields, limit is {self._count_limit}; "
                "raise --limit-header-count to allow more",
                431,
            )

    def _check_sizes(self, head: bytes, line: int, fields: int) -> None:
        if line > self._line_limit:
            raise self.line_too_long(line)
        if fields > self.size_limit:
            raise self.head_too_long(fields)
        self._check_count(head.count(b"\r\n", line + 2) - 1)

    def _check_fields(self, head: bytes, line_end: int) -> None:
        for field in head[line_end + 2 :].split(b"\r\n"):
            if len(field) > self._field_limit:
                raise RequestError(
                    f"read a header field of {len(field)} bytes, limit is {self._field_limit}; "
                    "raise --limit-header-field-size to allow more",
                    431,
                )

    # --------------------------------------------------------- heads that are not whole yet

    def check_partial(self, part: bytes | bytearray, since: int = 0) -> None:
        """Refuse early what cannot become a request, whatever follows. Raises `RequestError`.

        `since`: the offset of the first unchecked byte, minus 3 (a CR LF CR LF may be cut), or 0.
        The error is the first in the order of the bytes, so that it does not depend on how they
        were cut; for the same reason a whole head that was refused is checked here too
        (`first_error`).
        """
        most = self._line_limit + len(b"\r\n")
        line_end = part.find(b"\r\n", 0, most)
        if line_end < 0 or line_end >= since:
            if _LINE_START.fullmatch(part, 0, most) is None:
                raise malformed(bytes(part[:80]).partition(b"\r\n")[0])
            if line_end < 0:
                if len(part) >= most:
                    raise self.line_too_long(len(part))
                return
        most = line_end + self.size_limit + len(_END)
        start = max(line_end, since)
        if part[start] == 10:
            start += 1  # its CR stands before it
        new = part[start:most]
        if new.count(b"\n") != new.count(b"\r\n"):
            raise RequestError("a line ends with a bare LF; lines end with CR LF (RFC 9112 §2.2)")
        if len(part) >= most and part.find(_END, line_end, most) < 0:
            raise self.head_too_long(len(part) - line_end)

    def first_error(self, head: bytes) -> RequestError | None:
        """The error that `check_partial` would have raised if `head` had come byte by byte."""
        try:
            self.check_partial(head)
        except RequestError as error:
            return error
        return None

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
            f"read {size} bytes of headers, limit is {self.size_limit}; "
            "raise --limit-header-size to allow more",
            431,
        )
