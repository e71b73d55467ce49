"""Heads and chunked bodies, without a connection: every cut, and any bytes (S2, S3, S4)."""

from __future__ import annotations

import pytest
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RequestError
from bridge.server.http1.parser import HeadParser
from bridge.server.request import CHUNKED, Request
from tests.support.corpus import cases
from tests.support.raw import request

HEADS = sorted({case.data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for case in cases()})

pytestmark = pytest.mark.usefixtures("with_and_without_accelerator")


def parser() -> HeadParser:
    return HeadParser(8192, 65536, 100)


def parsed(heads: HeadParser, data: bytes) -> tuple[object, ...]:
    """What a head comes to: its parts, or the status that refuses it."""
    try:
        head = heads.parse(data)
    except RequestError as error:
        return ((heads.first_error(data) or error).status,)
    return parts(head)


def parts(head: Request) -> tuple[object, ...]:
    return (
        head.method, head.target, head.headers, head.http11, head.close, head.length,
        head.expects_continue, head.websocket, head.forwarded,
    )  # fmt: skip


# ------------------------------------------------------------- heads


def test_parts_of_a_head() -> None:
    """S3: names in lower case, values without blanks around them, in order, repeats kept."""
    head = parser().parse(
        b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-A:\t1 \r\nx-a: \r\nB: \xe9 y\t\r\nX-A: 3\r\n\r\n"
    )
    assert (head.method, head.target) == ("GET", b"/a?b")
    assert head.headers == [
        (b"host", b"x"),
        (b"x-a", b"1"),
        (b"x-a", b""),
        (b"b", b"\xe9 y"),
        (b"x-a", b"3"),
    ]
    assert (head.length, head.close, head.expects_continue, head.websocket) == (
        0,
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("fields", "attribute", "value"),
    [
        (("Content-Length: 12",), "length", 12),
        (("Transfer-Encoding: chunked",), "length", CHUNKED),
        (("Connection: close",), "close", True),
        (("Connection: foo, Close",), "close", True),
        (("Expect: 100-Continue", "Content-Length: 1"), "expects_continue", True),
        (("Connection: Upgrade", "Upgrade: WebSocket"), "websocket", True),
        (("Connection: Upgrade", "Upgrade: h2c, websocket"), "websocket", True),
        (("Connection: Upgrade", "Upgrade: h2c"), "websocket", False),
        (("Upgrade: websocket",), "websocket", False),
        (("X-Forwarded-For: 1.2.3.4",), "forwarded", True),
        (("Forwarded: for=x",), "forwarded", True),
    ],
)
def test_fields_with_an_effect(fields: tuple[str, ...], attribute: str, value: object) -> None:
    """S3: a field has its effect each time, and none on the next head."""
    heads = parser()
    for _ in range(3):
        assert getattr(heads.parse(request("/", *fields)), attribute) == value
        assert parts(heads.parse(request("/")))[3:] == (True, False, 0, False, False, False)


def test_an_upgrade_behind_a_field_that_only_llhttp_knows() -> None:
    """S3, S20: what llhttp makes of one head has no effect on the next, also if that upgrades."""
    heads = parser()
    for _ in range(2):
        assert not heads.parse(request("/", "Proxy-Connection: close", "X-New: 1")).close
        upgrade = heads.parse(request("/", "Connection: Upgrade", "Upgrade: websocket"))
        assert upgrade.websocket


def test_a_head_s_reading_does_not_depend_on_others() -> None:
    """S3: every head means the same whatever was read before it, by the same parser."""
    heads = parser()
    alone = {data: parsed(parser(), data) for data in HEADS}
    for before in HEADS[::7]:
        for data in HEADS:
            parsed(heads, before)
            assert parsed(heads, data) == alone[data], (before, data)


@given(st.lists(st.sampled_from(HEADS), max_size=8))
def test_any_sequence_of_heads(sequence: list[bytes]) -> None:
    """S3: the same for any sequence."""
    heads = parser()
    assert [parsed(heads, data) for data in sequence] == [
        parsed(parser(), data) for data in sequence
    ]


def test_no_part_of_an_accepted_head_is_refused() -> None:
    """S3: what is refused early could not have become a request."""
    heads = parser()
    for data in HEADS:
        if len(parsed(heads, data)) > 1:
            assert heads.first_error(data) is None
            for at in range(1, len(data), 1 if len(data) < 3000 else 97):
                heads.check_partial(data[:at])
                heads.check_partial(data[:at], max(at - 3, 0))


@given(st.binary(max_size=60), st.sampled_from(HEADS), st.data())
def test_first_fault_is_the_same_however_looked_at(
    noise: bytes, head: bytes, data: st.DataObject
) -> None:
    """S3: bytes are refused for the same reason, and as early, whatever pieces they came in."""
    at = data.draw(st.integers(0, min(len(head), 200)))
    mixed = (head[:at] + noise + head[at:])[:2000]
    heads = HeadParser(64, 256, 10)
    whole = heads.first_error(mixed)
    found, looked = None, 0
    for end in range(1, len(mixed) + 1):
        try:
            heads.check_partial(mixed[:end], looked)
        except RequestError as error:
            found = error
            break
        looked = max(end - 3, 0)
    assert (found and found.status) == (whole and whole.status)


@given(st.binary(max_size=200))
def test_any_bytes(noise: bytes) -> None:
    """S3: a head of any bytes is read or refused; nothing else happens."""
    heads = parser()
    for data in (noise + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + noise + b"\r\n\r\n"):
        if data.find(b"\r\n\r\n") + 4 == len(data):
            parsed(heads, data)
    assert len(parsed(heads, request("/"))) > 1


def test_limits() -> None:
    """S2: each limit is met to the byte."""
    heads = HeadParser(100, 50, 3)
    line = b"GET /" + b"a" * 86 + b" HTTP/1.1\r\n"
    assert heads.parse(line + b"Host: x\r\n\r\n")
    for data, status in (
        (line.replace(b"a", b"aa", 1) + b"Host: x\r\n\r\n", 414),
        (line + b"Host: x\r\nX: " + b"a" * 37 + b"\r\n\r\n", 431),
        (line + b"Host: x\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", 431),
    ):
        with pytest.raises(RequestError) as caught:
            heads.parse(data)
        assert caught.value.status == status
        assert "raise --limit-" in str(caught.value)


def test_a_long_field() -> None:
    """S2: the limit of one field is met to the byte, each time."""
    heads = HeadParser(8192, 65536, 100, 50)
    for _ in range(3):
        assert heads.parse(request("/", "X: " + "a" * 47))
        with pytest.raises(RequestError, match="a header field of 51 bytes") as e:
            heads.parse(request("/", "X: " + "a" * 48))
        assert e.value.status == 431


@pytest.mark.parametrize(
    "field",
    ["Content-Length: 1", "Transfer-Encoding: chunked", "Connection: close", "Upgrade: x"],
)
def test_too_many_fields_have_no_effect_on_the_next_head(field: str) -> None:
    """S2, S3: a head that is refused for their number does not begin a body, or end anything."""
    heads = HeadParser(8192, 65536, 3)
    for _ in range(2):
        with pytest.raises(RequestError, match="read 4 header fields, limit is 3"):
            heads.parse(request("/", "Connection: Upgrade", "X: y", field))
        assert heads.parse(request("/next", "X: y")).target == b"/next"


@pytest.mark.parametrize("more", [0, 20000])
def test_fields_are_counted_first(more: int) -> None:
    """S2: too many fields are refused before one of them is looked at."""
    heads = HeadParser(8192, 65536, 3, 50)
    fields = ["X: " + "a" * 60, *(f"A{n}: 1" for n in range(3)), "bad line" * 2, "Y: " + "b" * more]
    with pytest.raises(RequestError, match="read 7 header fields, limit is 3") as caught:
        heads.parse(request("/", *fields))
    assert caught.value.status == 431


# ------------------------------------------------------------- beside llhttp alone


class Reference:
    """The fields of a head as llhttp alone reads them."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.strip(b" \t")))

    def read(self, head: bytes) -> list[tuple[bytes, bytes]] | None:
        """None where it refuses the head."""
        try:
            HttpRequestParser(self).feed_data(head)
        except HttpParserUpgrade:
            pass
        except HttpParserError:
            return None
        return self.fields


odd = st.sampled_from(
    [bytes([code]) for code in (0, 9, 10, 11, 13, 32, 34, 58, 64, 95, 127, 128, 255)]
)
words = st.lists(odd | st.sampled_from([b"a", b"X-B", b"1", b"host", b"te", b" "]), max_size=5)
odd_lines = st.builds(lambda name, value: b"".join(name) + b":" + b"".join(value), words, words)
good_lines = st.sampled_from(
    [b"Accept: */*", b"Cookie: a=b; c", b"X-Empty:", b"Connection: keep-alive"]
)


@given(st.lists(odd_lines | good_lines | words.map(b"".join), max_size=4))
def test_fields_as_llhttp_reads_them(lines: list[bytes]) -> None:
    """S3: nothing is accepted that llhttp refuses, and the fields are those that it reads."""
    head = b"\r\n".join([b"GET / HTTP/1.1", b"Host: x", *lines, b"", b""])
    if head.find(b"\r\n\r\n") + 4 != len(head):
        return  # it ends before: the rest would be another request's
    heads = parser()
    for _ in range(4):
        try:
            fields = heads.parse(head).headers
        except RequestError:
            continue
        assert fields == Reference().read(head)


@given(st.lists(good_lines, min_size=1, max_size=4), st.binary(max_size=4))
def test_every_plain_head_is_accepted(lines: list[bytes], value: bytes) -> None:
    """S3: a head that llhttp accepts, of fields without an effect on the server, is accepted."""
    head = b"\r\n".join([b"GET / HTTP/1.1", b"Host: x", *lines, b"X-Any: " + value, b"", b""])
    reference = Reference().read(head)
    if reference is not None and head.endswith(value + b"\r\n\r\n") and b"\r\n" not in value:
        assert parser().parse(head).headers == reference
