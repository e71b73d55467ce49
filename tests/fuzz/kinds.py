"""Requests of many kinds, as browsers, proxies, scripts and attackers send them, made by chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tests.support.corpus import cases

T = TypeVar("T")

#: Names of fields on which the server, or llhttp, acts; these come together in one head.
ACTED_ON: Final = (
    *(b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Proxy-Connection"),
    *(b"Upgrade", b"Expect", b"Keep-Alive", b"TE", b"Trailer"),
    *(b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"),
)
VALUES: Final = (
    *(b"close", b"keep-alive", b"Keep-Alive, Upgrade", b"upgrade", b"CLOSE , x", b"x", b"", b" \t"),
    *(b"0", b"4", b"4, 4", b"4, 5", b"+4", b"-1", b"0x4", b"4 4", b"00004", b"9" * 18, b"9" * 19),
    *(b"9" * 20, b"18446744073709551616", b"chunked", b"Chunked", b"gzip, chunked", b"identity"),
    *(b"chunked, chunked", b"chunked, gzip", b"chunked;q=1", b",chunked", b"chunked,", b"xchunked"),
    *(b"websocket", b"h2c, websocket", b"h2c", b"WebSocket/13", b"100-continue", b"100-Continue"),
    *(b"200-ok", b"x", b"x:81", b"x:y", b"u@x", b"[::1]:8", b"x, y", b"a b"),
    *(b"for=1.2.3.4", b"https"),
    *(b"1.2.3.4, 5.6.7.8", b"\xc3\xa9", b"a\x00b", b"a\x7fb", b"a\tb", b"a\x0bb", b"a\rb", b"a\nb"),
)
#: Lines that may stand in a head by mistake, or in bad faith.
ODD_LINES: Final = (
    *(b" folded", b"\tfolded: x", b"X : y", b"X: y ", b"X:\ty\t", b": x", b":", b"X", b"", b" "),
    *(b"X\tA: 1", b"X\x00A: 1", b"X(A): 1", b"X\xc3\xa9: 1", b'"X": 1', b"X: \x00", b"X: \x1f"),
    *(b"X: \x7f", b"X: \xff\x80", b"X: a\rb", b"X: a\nb", b"X: a\nY: b", b"X: a\r"),
    *(b"\rX: a", b"\n"),
    *(b"Host : x", b" Host: x", b"Host:x\tHost: y"),
    *(b"Content-Length : 4", b"Transfer-Encoding\t:x"),
    *(b"Content_Length: 4", b"transfer-encoding:chunked", b"GET / HTTP/1.1", b"HTTP/1.1 200 OK"),
    *(b"Host: \xe9", b"Host:", b"Host: x", b"host: y"),
    *(b"PRI * HTTP/2.0", b"X-" + b"n" * 80 + b": 1"),
)
METHODS: Final = (
    *(b"GET", b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"),
    *(b"PROPFIND", b"PURGE", b"REPORT", b"SEARCH", b"LINK", b"MKCALENDAR", b"ACL"),
    *(b"BIND", b"NOTIFY"),
    *(b"M-SEARCH", b"QUERY", b"SOURCE", b"DESCRIBE", b"PLAY", b"SETUP", b"ANNOUNCE", b"FLUSH"),
    *(b"CONNECT", b"PRI", b"FOO", b"get", b"Get", b"G", b"GETT", b"POS", b"!x"),
    *(b"a" * 64, b"a" * 65),
    *(b"", b"G T", b"G\x00T", b"G:T", b"(GET)", b"G\xc3\xa9T", b"\x16\x03\x01"),
    *(b" GET", b"HTTP/1.1"),
)
TARGETS: Final = (
    *(b"/", b"/a", b"/a/b?c=d", b"/?", b"//x/y", b"/a%20b?c=%20", b"/%", b"/%zz", b"*", b"/*", b""),
    *(b"/\xc3\xa9", b"/?\xc3\xa9", b"/\xff", b"/?\xff\xfe", b"/a|b[c]", b"/{a}", b'/"a"', b"/a\\b"),
    *(b'/?{}^`\\"|', b"/a#b", b"/?a#b", b"/a\tb", b"/a b", b"/a\x00", b"/?\x7f", b"/?a\x1fb", b"a"),
    *(b"http://other/", b"http://other:81/x?y", b"HTTPS://other", b"http://other?x", b"http://"),
    *(b"http://u@h/", b"http:///x", b"http://[::1]:8/", b"http://a b/", b"ftp://other/x", b"x:80"),
    *(b"http://other/\xc3\xa9", b"http://other/?\xc3\xa9"),
    *(b"http://ot\xc3\xa9r/", b"http://o%74her/"),
    *(b"http://other/#x", b"http://other:x/", b"http://oth\\er/", b"?x", b"/a;b=c"),
    *(b"/.", b"/../x"),
)
VERSIONS: Final = (
    *(b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9"),
    *(b"http/1.1", b"HTTP/1.1 ", b" HTTP/1.1", b"HTTP/11", b"HTTP/1.10", b"HTTP/1,1"),
    *(b"HTTP/1.", b""),
    *(b"RTSP/1.0", b"ICE/1.0", b"HTTP/1.1\t", b"HTTPS/1.1", b"HTTP/x.y", b"HTTP/01.1"),
)
BYTES: Final = b'\x00\x01\t\n\x0b\r\x1f !"#%()*,/0:;=?@A[\\]_`az{|}~\x7f\x80\xc3\xff'
BROWSER: Final = (
    *(b"Host: shop.example", b"Connection: keep-alive", b'sec-ch-ua: "Chromium";v="142"'),
    *(b"sec-ch-ua-mobile: ?0", b'sec-ch-ua-platform: "Linux"', b"Upgrade-Insecure-Requests: 1"),
    *(b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", b"Sec-Fetch-Site: none"),
    *(b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", b"Accept-Encoding: gzip, br"),
    *(b"Accept-Language: de-DE,de;q=0.9", b"Cache-Control: max-age=0", b"DNT: 1", b"X-Empty:"),
)
#: Beginnings of connections, each of whole requests that are accepted.
GREETINGS: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a?b HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nProxy-Connection: close\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
    b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"GET /d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"HEAD http://y/e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /f HTTP/1.0\r\n\r\n",
    b"FOO /g HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
)


@dataclass(frozen=True)
class Limits:
    """The limits of a `HeadParser`, in its order."""

    line: int = 8192
    size: int = 65536
    count: int = 100
    field: int = 0


USUAL: Final = Limits()
#: Limits that ordinary heads come near to.
NARROW: Final = Limits(64, 256, 8, 48)
#: A limit that they meet in heads that are short.
FEW: Final = Limits(count=3)


class Draw:
    """Numbers by chance, faster than those of `random.Random` and the same for the same seed."""

    def __init__(self) -> None:
        self._source = random.Random()
        self.chance = self._source.random
        #: Bytes of the corpus, and how they go on.
        self.known = [case.data for case in cases() if len(case.data) < 600]

    def begin(self, seed: int, number: int) -> None:
        """Begin stream `number`."""
        self._source.seed(seed << 40 | number)

    def below(self, end: int) -> int:
        """A number from 0 to `end` - 1; 0 if there is none."""
        return int(self.chance() * end)

    def one(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[int(self.chance() * len(choices))]


# ------------------------------------------------------------- requests


def _request(line: bytes, fields: list[bytes], body: bytes = b"") -> bytes:
    return b"\r\n".join([line, *fields, b"", body])


def _browser(draw: Draw) -> bytes:
    number = draw.below(1 << 30)
    fields = [*BROWSER]
    fields.insert(draw.below(14), b"Cookie: session=%d; theme=dark" % number)
    fields.insert(draw.below(14), b"Referer: https://shop.example/%x" % number)
    fields.insert(draw.below(14), b"X-Request-Id: %d" % (number * number))
    return _request(b"GET /items/%d?page=%d HTTP/1.1" % (number % 997, number), fields)


def _short(draw: Draw) -> bytes:
    """One of a few, so that it comes again and again."""
    fields = [b"Host: x", b"Accept: */*", b"Connection: keep-alive", b"X-Empty:"]
    return _request(b"GET /%d HTTP/1.1" % draw.below(8), fields[: 1 + draw.below(4)])


def _with_length(draw: Draw) -> bytes:
    body = bytes(draw.one(BYTES) for _ in range(draw.below(20)))
    length = len(body) + (0, 0, 0, 0, 1, -1, 30)[draw.below(7)]
    field = (b"Content-Length: %d", b"content-length:%d", b"Content-Length: %d ")[draw.below(3)]
    fields = [b"Host: x", field % max(length, 0)]
    if draw.chance() < 0.3:
        fields.append(b"Expect: 100-continue")
    line = (b"POST /b HTTP/1.1", b"PUT /b HTTP/1.1", b"GET /b HTTP/1.1", b"POST / HTTP/1.0")
    return _request(draw.one(line), fields, body)


def _with_chunks(draw: Draw) -> bytes:
    body = b""
    for _ in range(draw.below(4)):
        chunk = bytes(draw.one(BYTES) for _ in range(1 + draw.below(17)))
        extension = (b"", b"", b";a", b';a="b"')[draw.below(4)]
        body += b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk)
    body += (b"0\r\n\r\n", b"0\r\n\r\n", b"00;x\r\n\r\n", b"0\r\nX-T: 1\r\n\r\n")[draw.below(4)]
    fields = [b"Host: x", b"Transfer-Encoding: chunked", b"Trailer: X-T"]
    return _request(b"POST /c HTTP/1.1", fields[: 2 + draw.below(2)], body)


def _acted_on(draw: Draw) -> bytes:
    """Fields that the server acts on, with values of one another."""
    fields = [] if draw.chance() < 0.1 else [b"Host: x"]
    for _ in range(1 + draw.below(4)):
        field = draw.one(ACTED_ON) + (b": ", b":", b":\t")[draw.below(3)] + draw.one(VALUES)
        fields.insert(draw.below(len(fields) + 1), field)
    line = b"%b /d HTTP/1.%d" % (draw.one(METHODS[:9]), draw.chance() < 0.8)
    return _request(line, fields, b"body" if draw.chance() < 0.3 else b"")


def _upgrade(draw: Draw) -> bytes:
    fields = [b"Host: x", b"Connection: Upgrade", b"Upgrade: websocket"]
    fields += [b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13"]
    if draw.chance() < 0.5:
        fields[1] = draw.one((b"connection: keep-alive, upgrade", b"Connection: close, upgrade"))
        fields[2] = b"Upgrade: " + draw.one((b"h2c", b"x, WebSocket", b"", b"TLS/1.0"))
    line = (b"GET /ws HTTP/1.1", b"GET /ws HTTP/1.0", b"POST /ws HTTP/1.1", b"FOO /ws HTTP/1.1")
    return _request(draw.one((line[0], *line)), fields)


def _any_line(draw: Draw) -> bytes:
    method = b"GET" if draw.chance() < 0.4 else draw.one(METHODS)
    target = b"/" if draw.chance() < 0.2 else draw.one(TARGETS)
    version = b"HTTP/1.1" if draw.chance() < 0.6 else draw.one(VERSIONS)
    fields = [b"Host: x", b"Connection: keep-alive", b"X: y"][: draw.below(4)]
    return _request(b" ".join((method, target, version)), fields)


def _odd(draw: Draw) -> bytes:
    fields = [b"Host: x"]
    for _ in range(1 + draw.below(3)):
        line = draw.one(ODD_LINES) if draw.chance() < 0.6 else draw.one(BROWSER)
        fields.insert(draw.below(len(fields) + 1), line)
    return _request(b"GET /e HTTP/1.1", fields)


def _near(draw: Draw) -> bytes:
    """About as long, or as many, as `NARROW` allows; rarely as `USUAL` does."""
    limits = USUAL if draw.chance() < 0.02 else NARROW
    more = draw.below(5) - 2
    line, fields = b"GET /f HTTP/1.1", [b"Host: x"]
    kind = draw.below(4)
    if kind == 0:
        line = b"GET /%b HTTP/1.1" % (b"f" * (limits.line - 14 + more))
    elif kind == 1:
        fields += [b"X: y"] * (limits.count - 1 + more)
    elif kind == 2:
        fields.append(b"X: " + b"y" * ((limits.field or 9000) - 3 + more))
    else:  # the whole section
        line_size = min(limits.field or 8000, 8000)
        while sum(map(len, fields)) + 2 * len(fields) + line_size + 7 < limits.size + more:
            fields.append(b"X: " + b"y" * (line_size - 3))
        rest = limits.size + more - sum(map(len, fields)) - 2 * len(fields) - 4
        fields.append(b"X: " + b"y" * rest)
    return _request(line, fields)


def _corpus(draw: Draw) -> bytes:
    return draw.one(draw.known)


def _greeting(draw: Draw) -> bytes:
    return draw.one(GREETINGS)


KINDS: Final[tuple[Callable[[Draw], bytes], ...]] = (
    *(_browser, _short, _short, _with_length, _with_length, _with_chunks, _acted_on, _acted_on),
    *(_acted_on, _upgrade, _any_line, _any_line, _odd, _odd, _near, _corpus, _greeting),
)
