"""Bodies decoded, and compared as text and bytes."""

from __future__ import annotations

import gzip
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.shadow.bodies import (
    MOST_DECODED,
    Body,
    body_of,
    compare_bytes,
    compare_words,
    content_type,
    first_difference,
    words_of,
)
from bridge.cutover.shadow.json_walk import MOST_TOLD
from bridge.cutover.shadow.records import RecordedResponse

TEXT = b"some text " * 100


def response(data: bytes, coding: str, truncated: bool = False) -> RecordedResponse:
    """A response with a coded body."""
    fields = (("content-encoding", coding), ("content-type", "text/plain"))
    return RecordedResponse(200, fields, data, truncated)


def packed(data: bytes) -> bytes:
    """Gzip, always the same: names of tests are made of it."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    """Deflate without a frame, as many servers send it."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", packed(TEXT)),
        ("X-GZIP", packed(TEXT[:50]) + packed(TEXT[50:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("deflate, gzip", packed(zlib.compress(TEXT))),
        ("identity", TEXT),
    ],
)
def test_codings_are_undone(coding: str, data: bytes) -> None:
    """M11: bodies are compared without their content codings."""
    body = body_of(response(data, coding))
    assert (body.data, body.truncated, body.unread) == (TEXT, False, None)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_cut(coding: str) -> None:
    """M11: what a compressed body may become is bounded."""
    bomb = b"\0" * (MOST_DECODED + 1)
    data = packed(bomb) if coding == "gzip" else zlib.compress(bomb)
    body = body_of(response(data, coding))
    assert (len(body.data), body.truncated) == (MOST_DECODED, True)


def test_a_cut_body_is_decoded_as_far_as_it_goes() -> None:
    """M11: what was cut while compressed is decoded up to there."""
    body = body_of(response(packed(bytes(range(256)) * 40)[:120], "gzip", truncated=True))
    assert body.truncated
    assert (bytes(range(256)) * 40).startswith(body.data)


@pytest.mark.parametrize(
    ("coding", "data"), [("br", b"x"), ("gzip", b"no gzip"), ("gzip, gzip, gzip, gzip", b"x")]
)
def test_what_cannot_be_undone_is_said(coding: str, data: bytes) -> None:
    """M11: a coding that is unknown or broken is told, and the bytes are compared."""
    body = body_of(response(data, coding))
    assert body.unread == coding.rpartition(" ")[2]
    (difference,) = compare_bytes(body, body_of(response(data + b"y", coding)))
    assert "which cannot be read here" in difference.old


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ('Text/HTML; a=b; charset="UTF8"', ("text/html", "utf-8")),
        ("text/html; charset=latin1", ("text/html", "iso8859-1")),
        ("text/html; charset=Nobody", ("text/html", "nobody")),
        ("text/html; charset=a\0b", ("text/html", "a\0b")),
        (None, ("", None)),
    ],
)
def test_content_types_are_read(value: str | None, read: tuple[str, str | None]) -> None:
    """M11: a Content-Type is its media type and its charset, under one name for each."""
    assert content_type(value) == read


@pytest.mark.parametrize("charset", ["hex", "nobody", "undefined", "punycode", "idna", "utf-16"])
def test_any_charset_gives_a_text(charset: str) -> None:
    """M11: a charset that is none, or does not fit, is no error."""
    assert Body(b"caf\xe9", False, "text/plain", charset).text()


def words(text: str, truncated: bool = False, *left_out: str) -> list[str]:
    """The words of a text."""
    body = Body(text.encode(), truncated, "text/plain", None)
    return words_of(body, [re.compile(each) for each in left_out])


def test_white_space_and_ends_of_lines_only_part_words() -> None:
    """M11: texts are equal if their words are; what an expression finds is left out."""
    assert words("a\r\n b\t\tc\n") == words("a b c")
    assert words("a v=12 b", False, r"v=\d+") == words("a b")
    assert words("a bc", True) == ["a"]
    assert words("a bc ", True) == ["a", "bc"]


NONE: frozenset[str] = frozenset()


def test_each_word_that_differs_is_told() -> None:
    """M11: of texts with as many words each difference is told, but for noise."""
    old, new = ["a", "b", "c", "d"], ["a", "x", "c", "y"]
    told, more = compare_words(old, new, False, False, NONE)
    assert [str(each) for each in told] == ["text[1]: b -> x", "text[3]: d -> y"]
    assert not more
    told, _ = compare_words(old, new, False, False, frozenset({"text[1]"}))
    assert [each.place for each in told] == ["text[3]"]
    assert compare_words(old, new, False, False, frozenset({"text"})) == ([], False)
    told, more = compare_words(["a"] * 999, ["b"] * 999, False, False, NONE)
    assert (len(told), more) == (MOST_TOLD, True)


def test_only_the_first_difference_is_told_if_words_are_missing() -> None:
    """M11: of texts of other lengths the first difference is told, and that there are more."""
    told, more = compare_words(["a", "b", "c"], ["a", "c"], False, False, NONE)
    assert ([str(each) for each in told], more) == (["text[1]: b -> c"], True)
    told, _ = compare_words(["a", "b"], ["a"], False, False, NONE)
    assert [str(each) for each in told] == ["text[1]: b -> nothing"]
    told, _ = compare_words(["a"], ["a", "b"], False, False, NONE)
    assert [(str(each), each.pattern) for each in told] == [("text[1]: nothing -> b", "text")]


def test_cut_texts_are_compared_as_far_as_they_go() -> None:
    """M11: what lies behind the cut is no difference; an end before it is one."""
    assert compare_words(["a"], ["a", "b"], True, False, NONE) == ([], False)
    assert compare_words(["a", "b"], ["a"], False, True, NONE) == ([], False)
    assert compare_words(["a"], ["a", "b"], False, True, NONE)[0]


def test_long_words_are_shown_where_they_differ() -> None:
    """M11: a long line without spaces is shown from a little before it differs."""
    old, new = "<b>" * 1000 + "x" + "<i>" * 1000, "<b>" * 1000 + "y" + "<i>" * 1000
    ((difference,), _) = compare_words([old], [new], False, False, NONE)
    assert difference.old.startswith("b><b><b><b><b><b><b>"[-20:] + "x<i>")
    assert len(difference.old) < 100


def binary(data: bytes, truncated: bool = False) -> Body:
    """A body that is no text."""
    return Body(data, truncated, "image/png", None)


def test_bytes_have_lengths_and_the_first_offset() -> None:
    """M11: other bodies are compared as bytes, as far as they go."""
    (difference,) = compare_bytes(binary(b"abc"), binary(b"abdd"))
    assert str(difference) == "body: 3 bytes -> 4 bytes, other from byte 2 on"
    assert compare_bytes(binary(b"abc"), binary(b"abcd"))
    assert compare_bytes(binary(b"abc", True), binary(b"abcd")) == []
    assert compare_bytes(binary(b"abcd"), binary(b"abc", True)) == []
    assert compare_bytes(binary(b"abcd", True), binary(b"abc"))


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_the_first_difference_is_the_first(one: bytes, other: bytes) -> None:
    """M11: the offset at which bytes differ is found as if they were looked at one by one."""
    both = [at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]]
    assert first_difference(one, other) == (both[0] if both else min(len(one), len(other)))
