"""Parse the head of a request, with llhttp and with the rules that it leaves to the server.

This is the only file that knows httptools. It is given whole heads, each up to its blank line
(RFC 9112 §2.1), and makes a `Request` of each, or raises `RequestError`. One parser serves every
connection of a loop: from one whole head to the next it remembers nothing that changes what a head
means. What llhttp accepts although two servers could read it differently (S3) is refused here.
"""

from __future__ import annotations

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from bridge.caches import BoundedDict, Memo, key_up_to
from bridge.errors import RequestError
from bridge.server.http1.request_line import RequestLines, malformed
from bridge.server.request import HOST, Line, Request, RequestTarget, read_line

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

#: A field line that llhttp accepts, if the field has no effect.
_FIELD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
#: Only heads with fewer bytes are cached.
SHORT = 512
#: Only lines of at most so many bytes are cached, and none that may be a secret.
_CACHED_LENGTH = 200
_SECRETS = re.compile(rb"cookie|auth|token|key|secret|session|password")


def _is_secret(name: bytes) -> bool:
    return _SECRETS.search(name) is not None


#: Names of fields -> whether the value may be a secret, by the name.
_SECRET: Memo[bytes, bool] = Memo(_is_secret, key_up_to(64))


def _are_plain_fields(lines: list[tuple[bytes, Line]]) -> bool:
    """Whether these lines are well-formed fields that have no effect on the server."""
    for raw, line in lines:  # noqa: SIM110  a generator costs more than the matches
        if line[1] or _FIELD_LINE.fullmatch(raw) is None:
            return False
    return True


def _check_host(value: bytes) -> bytes:
    if _HOST.fullmatch(value) is None:
        raise RequestError(f"Host is {value[:80]!r}, and must be a name and perhaps a port")
    return value


class HeadParser:
    """Make a `Request` of each whole head; one parser for all connections of a loop.

    `line_limit`, `size_limit` and `field_limit` (0: any) are bytes, `count_limit` is a number of
    fields (S2).

    Fast path: clients send the same field lines again and again, and a field that has no effect on
    the server means the same in every head. So lines are cached with their name and value. llhttp
    is asked only if a field of the head has an effect, or a line is not a plain field. A short head
    whose lines were all known is cached as a whole: the same bytes are the same request.
    """

    #: The most lines in the cache.
    LINES = 2048
    #: The most heads in the cache.
    HEADS = 512

    def __init__(
        self, line_limit: int, size_limit: int, count_limit: int, field_limit: int = 0
    ) -> None:
        self._line_limit = line_limit
        self.size_limit = size_limit
        self._count_limit = count_limit
        self._field_limit = field_limit or size_limit
        #: A head of at most so many bytes exceeds neither of the two limits.
        self._small = min(line_limit, size_limit)
        self._hosts: Memo[bytes, bytes] = Memo(_check_host, key_up_to(64))
        self._request_lines = RequestLines()
        self._lines: BoundedDict[bytes, Line] = BoundedDict(self.LINES)
        self._known_line = self._lines.get
        #: Heads that came again -> their request. Ask only about fewer bytes than `SHORT`: to hash
        #: more takes long.
        self.cached_heads: BoundedDict[bytes, Request] = BoundedDict(self.HEADS)
        self.cached_head = self.cached_heads.get
        self._renew()

    def _renew(self) -> None:
        """Make a new parser, which expects a head; the old one expects a body, or has failed."""
        self._parser = HttpRequestParser(None)

    def parse(self, head: bytes) -> Request:
        """Read a head that ends with its blank line. Raises `RequestError` (S2, S3, S4).

        The same object may be returned for the next head of the same bytes: do not change it.
        """
        if len(head) < SHORT:
            cached = self.cached_head(head)
            if cached is not None:
                return cached
        return self._read(head)

    def _read(self, head: bytes) -> Request:
        line_end = head.find(b"\r\n")
        if len(head) > self._small:
            self._check_sizes(head, line_end, len(head) - line_end - 4)
        line = self._request_lines[head[:line_end]]
        lines = head[line_end + 2 : -4].split(b"\r\n")
        if len(lines) > self._count_limit:
            raise self._too_many(len(lines))
        known_line, headers = self._known_line, []
        new_lines: list[tuple[bytes, Line]] | None = None
        control = hosts = 0
        for raw in lines:
            field = known_line(raw)
            if field is None:
                if new_lines is None:
                    new_lines = []
                if len(raw) > self._field_limit:
                    raise self._field_too_long(len(raw))
                field = read_line(raw)
                new_lines.append((raw, field))
            headers.append(field[0])
            if field[1]:
                if field[1] == HOST:
                    hosts += 1
                else:
                    control = 1
        request = Request(line, headers)
        if (
            control
            or hosts != 1
            or not line.fast
            or (new_lines is not None and not _are_plain_fields(new_lines))
        ):
            self._check_with_llhttp(request, head, new_lines, control or not line.fast)
        elif new_lines is not None:
            self._store(new_lines)
        if new_lines is None:
            if line.seen_before and len(head) < SHORT and not request.forwarded:
                request.cached = True
                self.cached_heads.store(head, request)
            line.seen_before = True
        return request

    def _check_with_llhttp(
        self,
        request: Request,
        head: bytes,
        new_lines: list[tuple[bytes, Line]] | None,
        has_effect: object,
    ) -> None:
        """Slow path: have llhttp check the head, then act on what has an effect on the server."""
        line = request.line
        fed = head
        if line.unknown_method:
            version = b"1.1" if line.http11 else b"1.0"
            fed = b"POST / HTTP/" + version + head[head.find(b"\r\n") :]
        try:
            self._parser.feed_data(fed)
        except HttpParserUpgrade:
            self._renew()
        except HttpParserError:
            self._retry_with_new_parser(fed)
        if request.headers == [(b"", b"")]:
            request.headers, new_lines = [], None  # it has no field at all
        if has_effect:
            # After a body's head, a close or an upgrade llhttp expects what is not fed to it.
            self._renew()
            request.apply_control_fields()
        self._check_host([value for name, value in request.headers if name == b"host"], line)
        if line.authority is not None:
            request.replace_host(self._hosts[line.authority])
        if new_lines is not None:
            self._store(new_lines)

    def _store(self, lines: list[tuple[bytes, Line]]) -> None:
        """Cache lines of a head that was accepted."""
        for raw, line in lines:
            if len(raw) <= _CACHED_LENGTH and not _SECRET[line[0][0]]:
                self._lines.store(raw, line)

    def _too_many(self, count: int) -> RequestError:
        return RequestError(
            f"read {count} header fields, limit is {self._count_limit}; "
            "raise --limit-header-count to allow more",
            431,
        )

    def _check_host(self, hosts: list[bytes], line: RequestTarget) -> None:
        if len(hosts) > 1:
            raise RequestError(f"the request has {len(hosts)} Host fields; send one")
        if hosts:
            self._hosts[hosts[0]]
        elif line.http11:
            raise RequestError("the request has no Host field; HTTP/1.1 wants one")

    def _field_too_long(self, size: int) -> RequestError:
        return RequestError(
            f"read a header field of {size} bytes, limit is {self._field_limit}; "
            "raise --limit-header-field-size to allow more",
            431,
        )

    def _check_sizes(self, head: bytes, line: int, fields: int) -> None:
        if line > self._line_limit:
            raise self.line_too_long(line)
        if fields > self.size_limit:
            raise self.head_too_long(fields)
        count = head.count(b"\r\n", line + 2) - 1
        if count > self._count_limit:  # before they are split
            raise self._too_many(count)

    def _retry_with_new_parser(self, fed: bytes) -> None:
        """Have a new parser read what the last one refused. Raises `RequestError`.

        A field on which llhttp acts and the server does not (``Proxy-Connection: close``) makes a
        parser refuse the head after it, which can be another client's.
        """
        self._renew()
        try:
            self._parser.feed_data(fed)
        except HttpParserUpgrade:
            self._renew()
        except HttpParserError as error:
            self._renew()
            raise RequestError(f"malformed request: {error}") from None

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
