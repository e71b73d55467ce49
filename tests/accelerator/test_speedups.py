"""What is read in C is what Python reads: heads, good and bad, and the fields of environs."""

from __future__ import annotations

import random
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import accelerator
from bridge.errors import RequestError
from bridge.server.http1 import parser, request_line
from bridge.server.http1.parser import HeadParser
from bridge.server.request import CONTROL_FIELDS, Request
from bridge.wsgi.environ import ENVIRON_KEYS, add_headers
from tests.fuzz.kinds import Draw
from tests.fuzz.streams import make
from tests.support import compiled
from tests.support.corpus import cases

END = b"\r\n\r\n"
BROWSER = (
    b"GET /items/%d/detail?page=2&sort=name HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Referer: https://www.example.com/items/%d/list\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: session=0123456789abcdef; theme=dark; x=%d\r\n"
    b"Sec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Sec-Fetch-Site: same-origin\r\n\r\n"
)


def head(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: x", *fields, b"", b""])


#: What must not be left to Python: it is what clients send.
PLAIN = [
    BROWSER % (1, 2, 3),
    head(line=b"HEAD /a HTTP/1.1"),
    head(b"Content-Length: 5", line=b"POST /a HTTP/1.1"),
    head(b"Transfer-Encoding: chunked", b"Expect: 100-continue", line=b"PUT /a HTTP/1.1"),
    head(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    head(b"Connection: close", b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Proto: https"),
    head(b"Proxy-Connection: keep-alive", b"X-Empty:", b"X-Blanks: \t ", b"X: \xe9\t y \t"),
    *(head(line=method + b" /%41~?a=%20&b HTTP/1.1") for method in request_line._METHODS),
    b"GET / HTTP/1.1\r\nHOST:www.example.com:8000\r\n\r\n",
]
#: What C leaves to Python, though some of it is allowed.
NOT_PLAIN = [
    b"",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    *(
        b"GET / HTTP/1.1\r\nHost: " + host + END
        for host in (b"a b", b"[::1]:80", b"x:123456", b"x:8o", b"x/y", b":80", b"\xe9", b"x:y:1")
    ),
    head(b"Host: y"),
    *(
        head(line=line)
        for line in (
            *(
                b"GET / HTTP/1.0",
                b"GET / HTTP/2.0",
                b"GET /",
                b"GET  / HTTP/1.1",
                b" GET / HTTP/1.1",
            ),
            *(b"GET / HTTP/1.1 ", b"get / HTTP/1.1", b"FOO / HTTP/1.1", b"CONNECT x:1 HTTP/1.1"),
            *(b"GET http://x/ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET /\xe9 HTTP/1.1"),
            *(b"GET /?\xe9 HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET /{ HTTP/1.1"),
        )
    ),
    *(
        head(field)
        for field in (
            *(b"X", b": y", b"X : y", b" X: y", b"X\xe9: y", b"X: \0", b"X: \x7f", b"X: a\rb"),
            *(b"X: a\nY: b", b"X: a\r\n b", b"Content-Length:", b"Content-Length: +1"),
            *(b"Content-Length: 1, 1", b"Content-Length: 1\r\nContent-Length: 1"),
            *(b"Content-Length: 1 ", b"Content-Length: " + b"1" * 19, b"Transfer-Encoding: gzip"),
            *(b"Transfer-Encoding: chunked\t", b"Transfer-Encoding: chunked\r\nContent-Length: 1"),
        )
    ),
]


# ------------------------------------------------------------- both readings


def everything(request: Request) -> dict[str, object]:
    """All that is public of a request."""
    names = (name for name in dir(request) if not name.startswith("_"))
    values = {name: getattr(request, name) for name in names}
    return {name: value for name, value in values.items() if not callable(value)}


def outcome(parser: HeadParser, data: bytes) -> object:
    try:
        return everything(parser.parse(data))
    except RequestError as error:
        return error.status, str(error)


class Comparison:
    """Two parsers: one that uses C, and one that does not."""

    def __init__(self, *limits: int) -> None:
        self.read_head = compiled.speedups().read_head
        self.mixed, self.python = HeadParser(*limits), HeadParser(*limits)
        self.mixed.read_plain, self.python.read_plain = self.read, None
        #: Heads that were looked at, and those that C has read.
        self.seen = self.read_in_c = 0

    def read(self, data: bytes, count_limit: int) -> Any:
        found = self.read_head(data, count_limit)
        self.read_in_c += found is not None
        return found

    def check(self, data: bytes) -> None:
        """Compare the readings of each head that is in `data`."""
        while (end := data.find(END) + 4) >= 4:
            one, data = data[:end], data[end:]
            self.seen += 1
            assert outcome(self.mixed, one) == outcome(self.python, one), one


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison(8190, 65536, 100)


def test_plain_heads_are_read_in_c(comparison: Comparison) -> None:
    """What clients send is not left to Python, which would be slower."""
    for data in PLAIN:
        assert comparison.read_head(data, 100) is not None, data
        comparison.check(data)


def test_other_heads_are_left_to_python(comparison: Comparison) -> None:
    """S3: what is unusual or wrong is not read in C: Python decides, and tells why."""
    for data in NOT_PLAIN:
        assert comparison.read_head(data, 100) is None, data
        comparison.check(data)


def test_only_a_whole_head_is_read(comparison: Comparison) -> None:
    """S3: nothing is read of a part of a head, or of a head and more."""
    for data in PLAIN:
        for end in range(len(data)):
            assert comparison.read_head(data[:end], 100) is None
        for more in (b"\r\n", b"\0", b" ", data):
            assert comparison.read_head(data + more, 100) is None


def test_every_field_that_does_something(comparison: Comparison) -> None:
    """S3: each field that the server or llhttp acts on has its effect, in any case."""
    names = {*CONTROL_FIELDS, *parser._FRAMING_FIELDS, b"host", b"x-other"}
    values = (b"", b"1", b"chunked", b"close", b"keep-alive", b"Upgrade", b"websocket", b"x:1")
    for name in sorted(names):
        for spelling in (name, name.title(), name.upper()):
            for value in values:
                comparison.check(head(spelling + b": " + value))
                comparison.check(head(b"Connection: upgrade", spelling + b": " + value))


@pytest.mark.parametrize("count", [0, 1, 3, 127, 128, 129, 1 << 70, -1, -(1 << 70)])
def test_no_more_fields_than_are_allowed(comparison: Comparison, count: int) -> None:
    """S2: heads with more fields are left to Python; so are those with more than 128."""
    for fields in (1, 2, 3, 4, 126, 127, 128, 129, 200):
        data = head(*(b"A: 1",) * (fields - 1))
        found = comparison.read_head(data, count)
        assert (found is not None) == (fields <= min(count, 128))


@pytest.mark.parametrize("limits", [(40, 60, 2), (8190, 65536, 100, 45), (60, 200, 200, 80)])
def test_limits(limits: tuple[int, ...]) -> None:
    """S2: each limit is the same with C."""
    comparison = Comparison(*limits)
    for size in range(60):
        comparison.check(head(b"X: " + b"a" * size))
        comparison.check(head(line=b"GET /" + b"a" * size + b" HTTP/1.1"))
        comparison.check(head(*(b"A: 1",) * size))
    assert comparison.read_in_c > 10


# ------------------------------------------------------------- any heads

#: What is put into heads.
ODD = (
    *(
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"\x7f",
        b"\xff",
        b"_",
        b"?",
        b"#",
        b"%",
        b"[",
    ),
    *(b"Host: y\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0"),
    *(b"Connection: close\r\n", b"Forwarded: for=x\r\n", b"/"),
)


def changed(data: bytes, draw: random.Random) -> bytes:
    """`data` with one to three changes, anywhere but in its end."""
    head = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        at, chance = draw.randrange(len(head) - 3), draw.random()
        if chance < 0.5:
            head[at] = draw.randrange(256)
        elif chance < 0.7:
            del head[at : at + draw.randint(1, 5)]
        elif chance < 0.95:
            head[at:at] = draw.choice(ODD)
        else:
            head[at:at] = head[-at : draw.randint(1, 40) - at]
    return bytes(head)


def test_the_corpus(comparison: Comparison) -> None:
    """S3: each head of the corpus is read alike."""
    for case in cases():
        comparison.check(case.data)


@pytest.mark.parametrize("part", range(4))
def test_changed_heads(comparison: Comparison, part: int) -> None:
    """S3: 100,000 heads of clients with a few changes are read alike."""
    draw, before = random.Random(part), comparison.read_in_c
    for _ in range(25_000):
        comparison.check(changed(draw.choice(PLAIN), draw))
    assert comparison.read_in_c - before > 1500


@pytest.mark.parametrize("part", range(4))
def test_streams(comparison: Comparison, part: int) -> None:
    """S3: so are the heads of 24,000 streams of all kinds."""
    draw, before, seen = Draw(), comparison.read_in_c, comparison.seen
    for number in range(6000):
        draw.begin(part, number)
        comparison.check(make(draw))
    assert comparison.seen - seen > 6000
    assert comparison.read_in_c - before > 1500


lines = st.binary(max_size=12) | st.sampled_from([b"A: b", b"Host: x", b"Content-Length: 0", b"B:"])


@given(
    st.sampled_from([b"GET / HTTP/1.1", b"POST /a?b HTTP/1.1"]) | st.binary(max_size=24),
    st.lists(lines, max_size=5),
)
def test_any_lines(line: bytes, fields: list[bytes]) -> None:
    """S3: lines of any bytes are read alike."""
    Comparison(8190, 65536, 100).check(head(*fields, line=line))


# ------------------------------------------------------------- environs

Fields = list[tuple[bytes, bytes]]
field_names = st.sampled_from([b"host", b"accept", b"cookie", b"content-length", b"proxy", b"a_b"])
some_fields = st.lists(
    st.tuples(field_names | st.binary(max_size=4), st.sampled_from([b"", b"1", b"\xe9"])),
    max_size=6,
)


def environ_of(fields: Fields, module: object) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "add_headers", getattr(module, "add_headers", None))
        environ: dict[str, Any] = {"HTTP_X_PLACEHOLDER": None, "REQUEST_METHOD": "GET"}
        try:
            add_headers(environ, fields)
        except RequestError as error:
            return error.status, str(error)
    return list(environ.items())


@given(some_fields)
def test_environs(fields: Fields) -> None:
    """W8: any fields make the same environ, in the same order; repeated ones are Python's."""
    assert environ_of(fields, compiled.speedups()) == environ_of(fields, None)


def test_an_index_says_how_many_fields_are_added() -> None:
    """W8: C stops at the first field that is repeated, or no pair of bytes."""
    add: Any = compiled.speedups().add_headers
    pairs: list[Any] = [(b"a", b"1"), (b"a_b", b"x"), (b"B", b"1"), (b"b", b"1"), (b"c", b"3")]
    environ: dict[str, str] = {}
    assert add(environ, pairs, ENVIRON_KEYS) == 3
    assert environ == {"HTTP_A": "1", "HTTP_B": "1"}
    assert add({}, pairs[:3], ENVIRON_KEYS) == 3
    for odd in ((b"a",), [b"a", b"1"], (b"a", "1"), ("a", b"1"), None):
        assert add({}, [(b"c", b"3"), odd], ENVIRON_KEYS) == 1


def test_an_error_of_a_table_is_passed_on() -> None:
    """An exception of Python code that C calls is what the caller gets."""

    class Broken(dict[bytes, Any]):
        def __missing__(self, key: bytes) -> Any:
            raise ZeroDivisionError

    add: Any = compiled.speedups().add_headers
    with pytest.raises(ZeroDivisionError):
        add({}, [(b"a", b"1")], Broken())
    assert add({}, [(b"a", b"1")], {b"a": 5}) == 0
    with pytest.raises(KeyError):
        add({}, [(b"a", b"1")], {})
    join: Any = compiled.speedups().join_fields
    length = (b"content-length", b"5")
    with pytest.raises(ZeroDivisionError):
        join(b"", [length, (b"a", b"1")], Broken({length[0]: 1}), bytes)
    with pytest.raises(KeyError):
        join(b"", [(b"a", b"1")], {}, bytes)
    with pytest.raises(TypeError):
        join(b"", [(b"a", b"1")], {b"a": "1"}, bytes)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_head", ()),
        ("read_head", ("GET", 1)),
        ("read_head", (bytearray(b"GET"), 1)),
        ("read_head", (b"GET", "1")),
        ("read_head", (b"GET", 1, 1)),
        ("add_headers", ()),
        ("add_headers", ({}, ((b"a", b"1"),), {})),
        ("add_headers", ([], [], {})),
        ("add_headers", ({}, [], [])),
        ("join_fields", ()),
        ("join_fields", ("", [], {}, bytes)),
        ("join_fields", (b"", (), {}, bytes)),
        ("join_fields", (b"", [], [], bytes)),
        ("join_fields", (b"", [], {}, bytearray)),
    ],
)
def test_wrong_arguments(name: str, arguments: tuple[object, ...]) -> None:
    """What is no head, no list and no table is a mistake of the caller, not a crash."""
    with pytest.raises(TypeError):
        getattr(compiled.speedups(), name)(*arguments)


# ------------------------------------------------------------- memory


def test_nothing_is_leaked() -> None:
    """S2: 100,000 heads, with names that never come again, leave nothing behind."""
    read, add = compiled.speedups().read_head, compiled.speedups().add_headers
    join = compiled.speedups().join_fields
    name = read(BROWSER % (1, 2, 3), 100)[4][1][0]

    def work(number: int) -> None:
        for data in (BROWSER % (number, 1, 2), head(b"X-%d: 1" % number, b"Y" * 70 + b": 1")):
            _, _, _, _, headers, _ = read(data, 100)
            add({}, headers, {name: "K" for name, _ in headers})
        for data in (head(b"X-%d: 1" % number, b"Host: y"), head(b"Z: 1\0"), b"GET /%d" % number):
            assert read(data, 100) is None
        pairs: list[Any] = [("X", f"{number}"), ("Content-Length", f"{number}")]
        roles = {"X": 6, "Content-Length": 1}
        assert join(b"", pairs, roles, str)[1:] == (number, False)
        for wrong in (pairs * 2, [*pairs, ("X", "\n")], [("Content-Length", "a")], [5], [("X",)]):
            assert join(b"", wrong, roles, str) is None

    tracemalloc.start()
    try:
        for number in range(2000):  # fills the table of names
            work(number)
        references, before = sys.getrefcount(name), tracemalloc.get_traced_memory()[0]
        for number in range(2000, 22_000):
            work(number)
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
        assert sys.getrefcount(name) == references
    finally:
        tracemalloc.stop()


def test_names_are_shared() -> None:
    """A known name is one object, in every head; another spelling of it is another."""
    read = compiled.speedups().read_head
    first, second = (read(BROWSER % (n, n, n), 100)[4] for n in (1, 2))
    for one, other in zip(first, second, strict=True):
        assert one[0] is other[0]
