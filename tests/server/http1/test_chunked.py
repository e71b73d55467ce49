"""Chunked bodies, without a connection: every cut, and any bytes (S2, S3)."""

from __future__ import annotations

import pytest
from httptools import HttpParserError, HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.errors import RequestError
from bridge.server.http1.chunked import ChunkedBody
from tests.support.raw import chunked


def unchunked(pieces: list[bytes], limit: int = 65536) -> tuple[bytes, bytes, bool]:
    """The body, what followed it, and whether it ended."""
    coded = ChunkedBody(limit)
    body, rest = b"", b""
    for piece in pieces:
        if coded.complete:
            rest += piece
        else:
            some, rest = coded.feed(piece)
            body += some
    return body, rest, coded.complete


@given(
    st.lists(st.binary(min_size=1, max_size=40) | st.just(b"\r\n\r\n"), max_size=6),
    st.sampled_from([b"", b"X: 1\r\n", b"X: 1\r\nY: 2\r\n"]),
    st.sampled_from([b"", b"GET", b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"0\r\n\r\n"]),
    st.data(),
)
def test_chunks_in_any_pieces(
    chunks: list[bytes], trailers: bytes, behind: bytes, data: st.DataObject
) -> None:
    """S3: a chunked body and what follows it are told apart, wherever the bytes are cut."""
    wire = chunked(*chunks, trailers=trailers) + behind
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=8).map(sorted))
    pieces = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    expected = (b"".join(chunks), behind, True)
    assert unchunked([wire]) == expected
    assert unchunked([piece for piece in pieces if piece]) == expected
    assert unchunked([wire[i : i + 1] for i in range(len(wire))]) == expected


@given(st.binary(max_size=60), st.integers(0, 30))
def test_malformed_chunks(noise: bytes, at: int) -> None:
    """S3: any bytes are a body, part of one, or refused, and the same byte by byte."""
    wire = b"5\r\nhello\r\n0\r\n\r\n"
    mixed = wire[:at] + noise + wire[at:]

    def outcome(pieces: list[bytes]) -> object:
        try:
            return unchunked(pieces)
        except RequestError as error:
            return error.status

    assert outcome([mixed]) == outcome([mixed[i : i + 1] for i in range(len(mixed))])


def test_overhead_is_bounded() -> None:
    """S2: sizes, extensions and trailers may be longer than the body, but not without end."""
    coded = ChunkedBody(1000)
    for _ in range(1000):
        assert coded.feed(b"1;abcd\r\nx\r\n") == (b"x", b"")
    too_much = b"".join(b"1;" + b"a" * 100 + b"\r\nx\r\n" for _ in range(30))
    with pytest.raises(RequestError) as caught:
        coded.feed(too_much)
    assert caught.value.status == 431


@pytest.mark.parametrize("line", [b"1;" + b"a" * 2000, b"1;" + b'a="' + b'\\"' * 1000])
def test_a_line_without_an_end_is_bounded(line: bytes) -> None:
    """S2: a line that does not end is refused when it is longer than all lines may be."""
    with pytest.raises(RequestError) as caught:
        unchunked([line[at : at + 1] for at in range(len(line))], 1000)
    assert caught.value.status == 431


def test_a_long_line_takes_time_in_proportion() -> None:
    """S2: an extension of 60 kB, wrong at its end, is refused at its first reading."""
    for line in (b'1;a="' + b"\\a" * 30000, b"1" + b" ; a = b" * 8000, b"1" + b" " * 60000):
        with pytest.raises(RequestError) as caught:
            ChunkedBody(65536).feed(line + b"\x00\r\n")
        assert caught.value.status == 400


# ------------------------------------------------------------- beside llhttp


class Reference:
    """A chunked body as llhttp reads it."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True

    def read(self, data: bytes) -> tuple[bytes, bool] | None:
        """The body and whether it ended; None where it is refused."""
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        try:
            HttpRequestParser(self).feed_data(head + data)
        except HttpParserError:
            return None
        return self.body, self.complete


sizes = st.sampled_from([b"1", b"01", b"5;a", b"2;a=b", b'2;a="b c";d', b"0", b"g", b"3;", b"A"])
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""])
contents = st.sampled_from([b"h", b"he", b"hello", b"0123456789", b"", b"X: y\r\n"])


@given(st.lists(st.tuples(sizes, ends, contents, ends), max_size=4))
@example([(b"1", b"\r\n", b"h", b"\r\n"), (b"0", b"\r\n", b"", b"\r\n")])
def test_what_is_accepted_llhttp_reads_alike(parts: list[tuple[bytes, ...]]) -> None:
    """S3: without blanks in its extensions, a body that is accepted has no second reading."""
    wire = b"".join(b"".join(part) for part in parts)
    coded = ChunkedBody(65536)
    try:
        body, rest = coded.feed(wire)
    except RequestError:
        return
    whole = wire.endswith(b"\n")  # what ends in a line can be refused when the line does
    if whole and not rest:
        assert Reference().read(wire) == (body, coded.complete)
