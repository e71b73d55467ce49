"""Bytes to requests: whole heads, by llhttp and by the rules that it leaves to us.

The only file that knows httptools. It never sees a connection: the protocol object cuts the
stream at the blank line that ends a head (RFC 9112 §2.1), hands over the whole head, and gets a
`Request` or a `RequestError`. One parser serves every connection of a loop, because between
two whole heads a parser has no memory. What llhttp lets pass and a server must not (two
readings of one message, S3) is checked here.
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
#: The beginning of a request line, as far as it is here; a first look before its end has come.
_LINE_START = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{0,64}(?: [^\x00-\x20\x7f-\xff?]*(?:\?[^\x00-\x20\x7f]*)?"
    rb"(?: (?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9](?:\r(?:\n.*)?)?)?)?)?)?)?)?)?)?)?)?",
    re.DOTALL,
)

#: A field that llhttp would accept; that it says nothing to the server is known otherwise.
_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
#: Heads that are worth keeping have fewer bytes.
SHORT = 512
#: Lines that are worth keeping are short, and nobody's secret.
_KEPT_LENGTH = 200
_SECRETS = re.compile(rb"cookie|auth|token|key|secret|session|password")


def _is_secret(name: bytes) -> bool:
    return _SECRETS.search(name) is not None


#: Names of fields -> whether they sound like a secret.
_SECRET: Memo[bytes, bool] = Memo(_is_secret, key_up_to(64))


def _ordinary(lines: list[tuple[bytes, Line]]) -> bool:
    """Whether new lines need no second look: whole fields that say nothing to the server."""
    for raw, line in lines:  # noqa: SIM110  a generator costs more than the looks
        if line[1] or _LINE.fullmatch(raw) is None:
            return False
    return True


def _check_host(value: bytes) -> bytes:
    if _HOST.fullmatch(value) is None:
        raise RequestError(f"Host is {value[:80]!r}, and must be a name and perhaps a port")
    return value


class HeadParser:
    """Whole heads to `Request`; one for all connections of a loop.

    `line_limit`, `size_limit` and `field_limit` (0: any) are bytes, `count_limit` is a number of
    fields (S2).

    An ordinary line means the same in every head. So it is read here, and kept with what it came
    to, for clients repeat themselves; llhttp is asked about heads in which a line says something
    to the server, or is none. A short head of known lines that comes again is kept as a whole:
    the same bytes are the same request.
    """

    #: Lines that are kept; when there are more, all are learned anew.
    LINES = 2048
    #: Heads that are kept.
    HEADS = 512

    def __init__(
        self, line_limit: int, size_limit: int, count_limit: int, field_limit: int = 0
    ) -> None:
        self._line_limit = line_limit
        self.size_limit = size_limit
        self._count_limit = count_limit
        self._field_limit = field_limit or size_limit
        #: A head of so few bytes keeps both limits of size.
        self._small = min(line_limit, size_limit)
        self._hosts: Memo[bytes, bytes] = Memo(_check_host, key_up_to(64))
        self._request_lines = RequestLines()
        self._lines: BoundedDict[bytes, Line] = BoundedDict(self.LINES)
        self._known_line = self._lines.get
        #: Heads that came again: the same bytes are the same request. To be asked only about fewer
        #: bytes than `SHORT`, as more take long to hash.
        self.cached_heads: BoundedDict[bytes, Request] = BoundedDict(self.HEADS)
        self.cached_head = self.cached_heads.get
        self._renew()

    def _renew(self) -> None:
        """A parser that expects a head: after a body's head, a close or an error."""
        self._parser = HttpRequestParser(None)

    def parse(self, head: bytes) -> Request:
        """Read a head that ends with its blank line. Raises `RequestError` (S2, S3, S4).

        One object stands for all heads of the same bytes; nobody changes it.
        """
        if len(head) < SHORT:
            known = self.cached_head(head)
            if known is not None:
                return known
        return self._read(head)

    def _read(self, head: bytes) -> Request:
        line_end = head.find(b"\r\n")
        if len(head) > self._small:
            self._check_sizes(head, line_end, len(head) - line_end - 4)
        line = self._request_lines[head[:line_end]]
        lines = head[line_end + 2 : -4].split(b"\r\n")
        if len(lines) > self._count_limit:
            raise self._too_many(len(lines))
        known_line = self._known_line
        headers = []
        fresh: list[tuple[bytes, Line]] | None = None
        special = hosts = 0
        for raw in lines:
            field = known_line(raw)
            if field is None:
                if fresh is None:
                    fresh = []
                if len(raw) > self._field_limit:
                    raise self._field_too_long(len(raw))
                field = read_line(raw)
                fresh.append((raw, field))
            headers.append(field[0])
            if field[1]:
                if field[1] == HOST:
                    hosts += 1
                else:
                    special = 1
        request = Request(line, headers)
        if special or hosts != 1 or not line.fast or (fresh is not None and not _ordinary(fresh)):
            self._judge(request, head, fresh, special or not line.fast)
        elif fresh is not None:
            self._keep(fresh)
        if fresh is None:
            if line.seen_before and len(head) < SHORT and not request.forwarded:
                request.cached = True
                self.cached_heads.store(head, request)
            line.seen_before = True
        return request

    def _judge(
        self,
        request: Request,
        head: bytes,
        fresh: list[tuple[bytes, Line]] | None,
        special: object,
    ) -> None:
        """Have llhttp look at a head that is not made of known, ordinary lines only."""
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
            self._judge_afresh(fed)
        if request.headers == [(b"", b"")]:
            request.headers, fresh = [], None  # no field at all
        if special:
            self._unusual(request)
        else:
            self._check_host([value for name, value in request.headers if name == b"host"], line)
        if fresh is not None:
            self._keep(fresh)

    def _keep(self, lines: list[tuple[bytes, Line]]) -> None:
        """Remember lines of a head that was accepted."""
        for raw, line in lines:
            if len(raw) <= _KEPT_LENGTH and not _SECRET[line[0][0]]:
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
        if count > self._count_limit:  # before they are taken apart
            raise self._too_many(count)

    def _judge_afresh(self, fed: bytes) -> None:
        """Have a new parser read what the last one refused. Raises `RequestError`.

        A field that llhttp heeds and we do not (``Proxy-Connection: close``) makes a parser refuse
        the head after it, which can be another client's.
        """
        self._renew()
        try:
            self._parser.feed_data(fed)
        except HttpParserUpgrade:
            self._renew()
        except HttpParserError as error:
            self._renew()
            raise RequestError(f"malformed request: {error}") from None

    def _unusual(self, request: Request) -> None:
        """Heed what plain requests do not have. Raises `RequestError`."""
        # After a body's head, a close or an upgrade the parser waits for what we read ourselves.
        self._renew()
        request.fast = False
        line = request.line
        if not line.http11:
            request.http11 = False
            request.close = True
        hosts = []
        for name, value in request.headers:
            if name == b"host":
                hosts.append(value)
            else:
                request.heed(name, value)
        self._check_host(hosts, line)
        if line.authority is not None:
            # RFC 9112 §3.2.2: the target's authority takes the place of the Host field.
            authority = self._hosts[line.authority]
            request.headers = [
                (name, authority if name == b"host" else value) for name, value in request.headers
            ]
        if request.close or not line.http11 or line.method == "HEAD":
            request.keep_alive_fast = False
        if request.upgrade:
            request.heed_upgrade()

    # --------------------------------------------------------- heads that are not whole yet

    def check_partial(self, part: bytes | bytearray, since: int = 0) -> None:
        """Refuse early what cannot become a request, however it goes on. Raises `RequestError`.

        `since`: a place three bytes before those that were not looked at yet, or 0. What is found
        is the first fault in the order of the bytes, so that it is the same however they were cut:
        for that, a whole head that was refused is looked at as a part too (`first_error`).
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
        """What would have been found first if `head` had come byte by byte."""
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
