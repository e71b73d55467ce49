"""Plain fields, encoded in one go: they come to what they come to one by one (W34, S10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import accelerator
from bridge.accelerator import PlainFields
from bridge.errors import IllegalMessage, IllegalResponse
from bridge.http.plain_fields import encode_plain_raw, encode_plain_text
from bridge.http.response_fields import RAW_FIELDS, TEXT_FIELDS
from tests.support import compiled

PLAIN = [("Content-Type", "text/html"), ("X-Empty-Not", "a: b"), ("content-length", "12")]


def as_raw(pairs: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


LINE = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True, params=["Python", "C"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encode by Python alone, and by the accelerator."""
    join = compiled.speedups().join_fields if request.param == "C" else None
    monkeypatch.setattr(accelerator, "join_fields", join)


def text_lines(pairs: Any) -> tuple[bytes, int | None, bool] | None:
    """Encode fields of a WSGI app, if they are plain."""
    return without_line(encode_plain_text(LINE, pairs))


def raw_lines(pairs: Any) -> tuple[bytes, int | None, bool] | None:
    """Encode fields of an ASGI app, if they are plain."""
    return without_line(encode_plain_raw(LINE, pairs))


def without_line(found: PlainFields | None) -> PlainFields | None:
    if found is None:
        return None
    assert found[0].startswith(LINE)
    return found[0][len(LINE) :], *found[1:]


def test_plain_fields() -> None:
    """S10: their lines as the app spells them, and their Content-Length."""
    lines = b"Content-Type: text/html\r\nX-Empty-Not: a: b\r\ncontent-length: 12\r\n"
    assert text_lines(PLAIN) == raw_lines(as_raw(PLAIN)) == (lines, 12, True)
    assert text_lines([]) == raw_lines([]) == (b"", None, True)


@pytest.mark.parametrize("name", ["Set-Cookie", "ETag", "location", "Last-Modified"])
def test_fields_that_hardly_come_twice(name: str) -> None:
    """W34: their head is not kept."""
    pairs = [*PLAIN, (name, "x")]
    for found in (text_lines(pairs), raw_lines(as_raw(pairs))):
        assert found is not None
        assert found[1:] == (12, False)


@pytest.mark.parametrize(
    "pair",
    [
        ("Connection", "close"), ("Date", "x"), ("SERVER", "x"), ("transfer-encoding", "chunked"),
        ("Content-Length", "12"), ("A B", "x"), ("", "x"), ("X:Y", "x"), ("X\xe9", "x"),
        ("X", "a\rb"), ("X", "a\nb"), ("X", "a\r\nb"), ("X", "a\x00b"), ("X", "\x7f"),
        ("X", " a"), ("X", "\ta"), ("X", "a "), ("X", "a\t"), ("X", ""), ("X\r\nY", "z"),
    ],
)  # fmt: skip
def test_what_is_not_plain(pair: tuple[str, str]) -> None:
    """S10, W34: what the server acts on, blanks, controls and bad names need a closer look."""
    pairs = [*PLAIN, pair]
    assert text_lines(pairs) is None
    assert raw_lines(as_raw(pairs)) is None


@pytest.mark.parametrize("value", ["", "-1", "1_0", "+1", "\xb2", "1" * 20, "1 "])
def test_a_length_that_is_none(value: str) -> None:
    """W36, S10: only digits are a length."""
    pairs = [("Content-Length", value)]
    assert text_lines(pairs) is None
    assert raw_lines(as_raw(pairs)) is None


@pytest.mark.parametrize(
    "pairs",
    [
        [["X", "a"]], [("X",)], [("X", "a", "b")], [5], ["X"], [None], [("X", 5)], [(5, "X")],
        [("X", None)], [(["X"], "a")], [(b"X", "a")], [("X", b"a")], [("X", bytearray(b"a"))],
    ],
)  # fmt: skip
def test_what_is_no_field(pairs: Any) -> None:
    """W34: pairs of other things are for the closer look, which says what is wrong."""
    assert text_lines(pairs) is None
    assert text_lines([("X", "\u20ac")]) is None
    if pairs != [("X", b"a")]:
        assert raw_lines(pairs) is None


bits = st.sampled_from([*' \t\r\n\x00\x7f\x80\xff:;="aZ-', "Content-Length", "12", "X-A", "date"])
texts = st.lists(bits, max_size=4).map("".join)


@given(st.lists(st.tuples(texts, texts) | st.sampled_from(PLAIN), max_size=4))
def test_the_same_as_one_by_one(pairs: list[tuple[str, str]]) -> None:
    """S10, W34: what is encoded in one go is valid field by field, and comes to the same lines."""
    for found, each, error, given_pairs in (
        (text_lines(pairs), TEXT_FIELDS, IllegalResponse, pairs),
        (raw_lines(as_raw(pairs)), RAW_FIELDS, IllegalMessage, as_raw(pairs)),
    ):
        try:
            fields = [each[pair] for pair in given_pairs]  # type: ignore[index]
        except error:
            assert found is None
            continue
        if found is not None:
            lengths = [field.length for field in fields if field.length >= 0]
            assert found[0] == b"".join(field.line for field in fields)
            assert [found[1]] == (lengths or [None])
