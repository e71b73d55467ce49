"""The fields of a response as apps give them: one, and lists of them, for both kinds of app."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import IllegalMessage, IllegalResponse
from bridge.http.headers import HOP_BY_HOP
from bridge.http.response_fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    DROPPED,
    NO_ROLE,
    RAW_FIELDS,
    SERVER,
    TEXT_FIELDS,
    Field,
    all_cacheable,
    as_fields,
    as_pair,
    encode_text,
    end_head,
    is_cacheable,
    raw_fields,
    text_fields,
)
from tests.support.remembered import is_remembered


def both(name: str, value: str) -> tuple[Field, Field]:
    """The field of an ASGI app, and the same of a WSGI app."""
    raw = RAW_FIELDS[name.encode("latin-1"), value.encode("latin-1")]
    return raw, TEXT_FIELDS[name, value]


ROLES = [
    ("X-A", "b", NO_ROLE),
    ("Content-Length", "5", CONTENT_LENGTH),
    ("DATE", "now", DATE),
    ("server", "us", SERVER),
    ("Connection", "Close", CONNECTION),
    ("Connection", "keep-alive", DROPPED),
    ("Keep-Alive", "5", DROPPED),
    ("Transfer-Encoding", "chunked", DROPPED),
]


@pytest.mark.parametrize(("name", "value", "role"), ROLES)
def test_forms(name: str, value: str, role: int) -> None:
    """S10, W34: in lower case for ASGI, as spelled on the wire; the host's own has no line."""
    for field in both(name, value):
        assert field.raw == (name.lower().encode(), value.encode())
        assert field.role == role
        line = b"" if role in (CONNECTION, DROPPED) else f"{name}: {value}\r\n".encode()
        assert field.line == line
        assert field.length == (5 if role == CONTENT_LENGTH else -1)


def test_end_of_a_head() -> None:
    """S10: an empty line ends a head, after its last lines or alone."""
    assert end_head(b"a: b\r\n") == b"a: b\r\n\r\n"
    assert end_head(b"") == b"\r\n"


def test_hop_by_hop() -> None:
    """S10, A25: no hop-by-hop field leaves; ASGI apps alone can announce trailers."""
    for name in HOP_BY_HOP:
        raw, text = both(name.decode(), "x")
        assert text.role == DROPPED
        assert raw.role == (NO_ROLE if name == b"trailer" else DROPPED)


@pytest.mark.parametrize("blank", [" ", "\t", " \t "])
def test_blanks(blank: str) -> None:
    """S10: blanks around a value are no part of it."""
    for value in ("", "a", "a b"):
        for field in both("A", f"{blank}{value}{blank}"):
            assert field.raw == (b"a", value.encode())
    assert [field.length for field in both("Content-Length", f"{blank}5{blank}")] == [5, 5]


WRONG = [
    ("A b", "c", "header name 'A b' is not a token"),
    ("", "c", "header name '' is not a token"),
    ("\xe9", "c", "header name 'é' is not a token"),
    ("A", "b\r\nc: d", "value of header 'A' has a control character: 'b"),
    ("A", "\0", "value of header 'A' has a control character"),
    ("Content-Length", "+1", "Content-Length is '[+]1', and must be digits only"),
    ("content-length", "", "Content-Length is '', and must be digits only"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_what_is_refused(name: str, value: str, words: str) -> None:
    """A21, W34: each time, in the same words for both kinds of app."""
    for _ in range(2):
        with pytest.raises(IllegalMessage, match=words):
            _ = RAW_FIELDS[name.encode("latin-1"), value.encode("latin-1")]
        with pytest.raises(IllegalResponse, match=words):
            _ = TEXT_FIELDS[name, value]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("A",), "is not a pair of name and value"),
        (5, "is not a pair of name and value"),
        ("ab", "header 'ab' is no tuple"),
        ((5, "b"), "header name is int 5; PEP 3333 wants a native str"),
        (("A", b"b"), "value of header 'A' is bytes b'b'; PEP 3333 wants a native str"),
        (("A", "\u20ac"), "value of header 'A' has characters outside latin-1"),
        (("\u20ac", "b"), "header name has characters outside latin-1"),
    ],
)
def test_what_is_no_field_of_wsgi(pair: Any, words: str) -> None:
    """W34: what is no pair of native text is named."""
    with pytest.raises(IllegalResponse, match=words):
        _ = TEXT_FIELDS[pair]


@pytest.mark.parametrize("pair", [("a", b"b"), (b"a", "b"), (b"a",), (b"a", b"b", b"c"), 5, "ab"])
def test_what_is_no_field_of_asgi(pair: Any) -> None:
    """A21: what is no pair of bytes is named."""
    with pytest.raises(IllegalMessage, match="is not a pair"):
        as_pair(pair)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_like_bytes(kind: Any) -> None:
    """A20: it is taken, and not remembered: its bytes may be somebody's buffer."""
    (field,) = raw_fields([[kind(b"X-Like-Bytes"), kind(b"b")]])
    assert field.raw == (b"x-like-bytes", b"b")
    assert RAW_FIELDS[memoryview(b"X-View-Of-Bytes"), b"b"].raw == (b"x-view-of-bytes", b"b")  # type: ignore[index]
    assert not any(type(name) is memoryview for name, _ in RAW_FIELDS)


def test_what_is_remembered() -> None:
    """W34, S10: short values that may come again; no secrets, no long ones."""
    assert is_cacheable((b"x", b"a" * 200))
    assert not is_cacheable((b"x", b"a" * 201))
    for name in ("Set-Cookie", "ETag", "Location", "Last-Modified", "X-Request-ID"):
        assert not is_cacheable((name.lower().encode(), b"a"))
        both(name, "this-is-a-secret")
    assert not is_remembered("this-is-a-secret")
    both("X-Plain", "this-is-no-secret")
    assert is_remembered("this-is-no-secret")
    assert all_cacheable([(b"x", b"a")] * 16)
    assert not all_cacheable([(b"x", b"a")] * 17)
    assert not all_cacheable([(b"x", b"a"), (b"etag", b"a")])


def test_encoded_text() -> None:
    """W34: native text is latin-1."""
    assert encode_text("it", "\xe9\xff") == b"\xe9\xff"


def test_as_wsgi_takes_them() -> None:
    """A25: in order and with repeats, as they are spelled, without those of the connection."""
    given = [
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"Connection", b"close"),
        (b"Trailer", b"X"),
        (b"X-Latin", b"\xfc: a"),
        (b"X-Empty", b" "),
    ]
    assert text_fields(given) == [
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("X-Latin", "ü: a"),
        ("X-Empty", ""),
    ]
    assert text_fields(None) == []


class TestShape:
    def test_left_out(self) -> None:
        """A20: headers may be left out."""
        assert as_fields(None) == []

    @pytest.mark.parametrize("made", [tuple, iter, list])
    def test_any_iterable(self, made: Any) -> None:
        """A20: the fields may come as any iterable of pairs."""
        assert as_fields(made([(b"a", b"b")])) == [(b"a", b"b")]

    @pytest.mark.parametrize("headers", ["a: b", b"a", {b"a": b"b"}, 5])
    def test_wrong_shape(self, headers: Any) -> None:
        """A21: what is not an iterable of pairs is named."""
        with pytest.raises(IllegalMessage, match=type(headers).__name__):
            as_fields(headers)
