"""Heads of responses: what apps give, checked and encoded, and kept where it comes again."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from http import HTTPStatus
from typing import Any

import pytest

from bridge.errors import IllegalMessage, IllegalResponse
from bridge.http.leniency import Leniency
from bridge.http.response_fields import text_fields
from bridge.http.response_head import (
    ResponseHead,
    encoded_fields,
    raw_head,
    text_head,
    without_length,
)
from tests.support.remembered import is_remembered

TYPE = ("Content-Type", "text/plain")


def test_the_forms_of_a_head() -> None:
    """W34, S10: on the wire as the app spells it, in ASGI's form in lower case."""
    head = text_head("200 Fine", [("X-One", "\xe9"), ("CONTENT-LENGTH", "7"), ("x-one", "")])
    assert head.encoded == b"HTTP/1.1 200 Fine\r\nX-One: \xe9\r\nCONTENT-LENGTH: 7\r\nx-one: \r\n"
    assert head.raw_headers == [(b"x-one", b"\xe9"), (b"content-length", b"7"), (b"x-one", b"")]
    assert (head.status_code, head.length, head.fast, head.has_no_body) == (200, 7, True, False)


def test_both_kinds_of_apps() -> None:
    """S10: the same fields of an ASGI app and of a WSGI app come to the same bytes."""
    raw = raw_head(404, [(b"content-type", b"text/plain"), (b"date", b"now")])
    text = text_head("404 Not Found", [("content-type", "text/plain"), ("date", "now")])
    for name in set(ResponseHead.__slots__) - {"key", "status", "fields"}:
        assert getattr(raw, name) == getattr(text, name), name
    assert raw.has_date
    assert not raw.has_server
    assert not raw.fast


def test_connection_belongs_to_the_server() -> None:
    """S10: an ASGI app can ask for a close; of hop-by-hop fields that is all that it can say."""
    head = raw_head(200, [(b"connection", b"Close"), (b"transfer-encoding", b"chunked")])
    assert head.encoded == b"HTTP/1.1 200 OK\r\n"
    assert head.close
    kept = raw_head(200, [(b"connection", b"keep-alive")])
    assert (kept.encoded, kept.close, kept.fast) == (b"HTTP/1.1 200 OK\r\n", False, True)


def test_what_comes_again() -> None:
    """W34: a head that equals the one before it is the same object; any other is made anew."""
    first = text_head("200 OK", [("X-Again-And-Again", "1"), TYPE])
    assert text_head("200 OK", [("X-Again-And-Again", "1"), TYPE]) is first
    text_head("204 No Content", [])
    again = text_head("200 OK", [("X-Again-And-Again", "1"), TYPE])
    assert again is not first
    assert again.encoded == first.encoded


@pytest.mark.parametrize("kind", ["text", "raw"])
def test_the_last_head_again(kind: str) -> None:
    """W34, S10: the same head twice in a row is the same; one that differs in anything is not.

    What the app does to its own list afterwards changes nothing.
    """
    make, status, other = (
        (text_head, "200 OK", "201 Created") if kind == "text" else (raw_head, 200, 201)
    )
    field, more = (TYPE, ("X", "1")) if kind == "text" else ((b"x", b"1"), (b"y", b"2"))
    given = [field]
    first = make(status, given)
    assert make(status, [field]).encoded == first.encoded
    given.append(more)
    for differing in (
        make(status, given),
        make(status, []),
        make(other, [field]),
        make(status, [more]),
    ):
        assert differing.encoded != first.encoded
    assert make(status, [field]).encoded == first.encoded


@pytest.mark.parametrize("kind", ["text", "raw"])
def test_a_secret_is_not_the_last_head(kind: str) -> None:
    """W34: a head with a cookie leaves no trace when its response is over."""
    make, status = (text_head, "200 OK") if kind == "text" else (raw_head, 200)
    field = ("Set-Cookie", "a=1") if kind == "text" else (b"set-cookie", b"a=1")
    for _ in range(3):
        assert make(status, [field]).encoded.lower().endswith(b"set-cookie: a=1\r\n")
    assert make(status, [field]) is not make(status, [field])


@pytest.mark.parametrize(
    "field",
    [
        ("Set-Cookie", "a=nobody-keeps-it"),
        ("ETag", '"nobody-keeps-it"'),
        ("Location", "/nobody-keeps-it"),
        ("X-Long", "nobody-keeps-it" + 200 * "a"),
    ],
    ids=lambda field: field[0],
)
def test_what_is_not_kept(field: tuple[str, str]) -> None:
    """W34: secrets, and what hardly comes twice, stay nobody's but their response's."""
    raw = (field[0].encode(), field[1].encode())
    for _ in range(4):
        for head in (text_head("200 OK", [TYPE, field]), raw_head(200, [raw])):
            assert b"nobody-keeps-it" in head.encoded
    assert not is_remembered("nobody-keeps-it")


def test_a_length_that_the_server_adds() -> None:
    """W35: it stands behind the fields of the app, whatever these are."""
    for fields in ([TYPE], [TYPE, ("Date", "now")], [TYPE, ("Connection", "close")]):
        head = text_head("200 OK", fields)
        whole = text_head("200 OK", [*fields, ("Content-Length", "3")])
        for name in ("encoded", "raw_headers", "length", "fast", "close", "has_date", "text"):
            assert getattr(head.with_length(3), name) == getattr(whole, name)
        assert head.with_length(3) is head.with_length(3)
        assert head.with_length(4).length == 4


def test_a_status_without_a_reason() -> None:
    """W34: it gets the usual one."""
    assert text_head("404 ", []).encoded == b"HTTP/1.1 404 Not Found\r\n"


def test_heads_of_many_fields() -> None:
    """W34: a head of many fields is as any other."""
    fields = [(f"X-Many-Fields-{number}", "1") for number in range(17)]
    for _ in range(3):
        assert len(text_head("200 OK", fields).raw_headers) == 17


def test_content_length() -> None:
    """W35, W36: said twice it must be the same; the bridge adds it, and takes it away."""
    twice = text_head("200 OK", [("Content-Length", "5"), ("content-length", "5")])
    assert twice.encoded == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
    with pytest.raises(IllegalResponse, match="set twice: 5 and 6"):
        text_head("200 OK", [("Content-Length", "5"), ("Content-Length", "6")])
    length = (b"content-length", b"5")
    for again in (length, (b"Content-Length", b"5"), (b"content-length", b"05")):
        raw = raw_head(200, [length, (b"a", b"b"), again])
        assert raw.encoded == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\na: b\r\n"
        assert raw.length == 5
    with pytest.raises(IllegalMessage, match="set twice: 5 and 6"):
        raw_head(200, [(b"content-length", b"5"), (b"content-length", b"6")])
    plain = text_head("200 OK", [TYPE])
    assert plain.with_length(3).length == 3
    assert without_length(plain.with_length(3)).encoded == plain.encoded
    assert plain.length is None


BESIDE_PEP_3333: dict[str, tuple[Any, str]] = {
    "lists": ([["A", "b"], ("C", "d")], "header field as a list"),
    "tuple": ((("A", "b"), ("C", "d")), "as tuple, not as a list"),
    "iterator": (lambda: iter([["A", "b"], ["C", "d"]]), "iterator, not as a list"),
    "items": ({"A": "b", "C": "d"}.items(), "as dict_items, not as a list"),
    "hop-by-hop": (
        [("Connection", "keep-alive"), ("A", "b"), ("C", "d")],
        "hop-by-hop field connection",
    ),
    "coding": (
        [("Transfer-Encoding", "chunked"), ("A", "b"), ("C", "d")],
        "hop-by-hop field transfer-encoding",
    ),
    "trailer": ([("A", "b"), ("C", "d"), ("Trailer", "E")], "hop-by-hop field trailer"),
}


@pytest.mark.parametrize("case", BESIDE_PEP_3333)
def test_what_is_forgiven(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """W34: what most servers take is taken, and warned of once; strict says that it is an error."""
    given, said = BESIDE_PEP_3333[case]
    make = given if case == "iterator" else lambda: given
    leniency = Leniency("the app")
    for _ in range(3):
        head = text_head("200 OK", make(), leniency)
        assert head.encoded == b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n"
        assert head.raw_headers == [(b"a", b"b"), (b"c", b"d")]
    warnings = [record.getMessage() for record in caplog.records if said in record.getMessage()]
    assert len(warnings) == 1
    assert "'the app'" in warnings[0]
    with pytest.raises(IllegalResponse, match=said):
        text_head("200 OK", make(), Leniency("the app", strict=True))


def test_a_list_of_its_own_kind(caplog: pytest.LogCaptureFixture) -> None:
    """W34: fields in a subclass of list are in a list; nothing is said of it."""

    class Fields(list[tuple[str, str]]):
        pass

    assert text_head("200 OK", Fields([TYPE])).raw_headers == [(b"content-type", b"text/plain")]
    assert not caplog.records


def test_fields_as_they_left() -> None:
    """S50: the fields of a head on the wire, in order, as they are spelled."""
    sent = b"HTTP/1.1 200 OK\r\nA: b\r\nx: y: z\r\ne: \r\n\r\n"
    assert encoded_fields(sent) == [(b"A", b"b"), (b"x", b"y: z"), (b"e", b"")]


def test_an_app_can_ask_for_a_close(caplog: pytest.LogCaptureFixture) -> None:
    """W34: `Connection: close` is obeyed without a word; strict says that it is an error."""
    close = [("Connection", "close")]
    assert text_head("200 OK", close).close
    assert not caplog.records
    with pytest.raises(IllegalResponse, match="the app sets the hop-by-hop field connection"):
        text_head("200 OK", close, Leniency("the app", strict=True))


@pytest.mark.parametrize("blank", [" ", "\t", " \t "])
def test_blanks_around_a_value(blank: str) -> None:
    """S10, W34: they are no part of it, and do not leave."""
    for value in ("", "a", "a b"):
        text = text_head("200 OK", [("A", f"{blank}{value}{blank}")])
        raw = raw_head(200, [(b"a", f"{blank}{value}{blank}".encode())])
        assert text.encoded == f"HTTP/1.1 200 OK\r\nA: {value}\r\n".encode()
        assert raw.encoded == text.encoded.replace(b"A:", b"a:")
        assert text.raw_headers == raw.raw_headers == [(b"a", value.encode())]
    assert text_head("200 OK", [("Content-Length", f"{blank}5{blank}")]).length == 5
    assert raw_head(200, [(b"content-length", f"{blank}5{blank}".encode())]).length == 5


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (200, [], "status is int 200"),
        (["200 OK"], [], "status is list"),
        ("200 OK\r\nX: y", [], "status has a control character"),
        ("99 Low", [], "three digits from 200 up"),
        ("200 OK", None, "headers are None, and must be a list"),
        ("200 OK", [["A"]], "is not a pair"),
        ("200 OK", {"A": "b"}, "and must be a list of"),
        ("200 OK", "ab", "and must be a list of"),
        ("200 OK", [("A",)], "is not a pair"),
        ("200 OK", ["ab"], "is no tuple"),
        ("200 OK", [("A", 1)], "value of header 'A' is int"),
        ("200 OK", [("A", ["b"])], "and must be a list of"),
        ("200 OK", [["A", ["b"]]], "and must be a list of"),
        ("200 OK", [("A b", "c")], "is not a token"),
        ("200 OK", [("A", "b\nc")], "has a control character"),
        ("200 OK", [("A", "\u20ac")], "outside latin-1"),
        ("200 OK", [("Content-Length", "+1")], "must be digits only"),
    ],
)
def test_what_is_refused(status: Any, headers: Any, said: str) -> None:
    """W34: each time, with what is wrong, and nothing of it is kept."""
    for _ in range(3):
        with pytest.raises(IllegalResponse, match=said):
            text_head(status, headers)


#: Prints what is said of the first head of a process.
FIRST = """
from bridge.errors import AppError
from bridge.http.response_head import raw_head, text_head
for make, status in ((raw_head, 0), (text_head, "")):
    try:
        print(make(status, []).encoded)
    except AppError as error:
        print(error)
"""


def test_the_first_head_of_a_process() -> None:
    """S10, W34: it is checked like all others, also if there is nothing in it."""
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, timeout=60)
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
        "status is 0",
        "status is ''",
    ]


def test_control_characters() -> None:
    """S10, W34: a value has none but the tab; in text and in bytes, it is the same ones."""
    for number in range(256):
        value = f"a{chr(number)}b"
        raw = value.encode("latin-1")
        if number in (*range(9), *range(10, 32), 127):
            with pytest.raises(IllegalResponse, match="control character"):
                text_head("200 OK", [("X", value)])
            with pytest.raises(IllegalMessage, match="control character"):
                raw_head(200, [(b"x", raw)])
        else:
            assert text_head("200 OK", [("X", value)]).raw_headers == [(b"x", raw)]
            assert raw_head(200, [(b"x", raw)]).raw_headers == [(b"x", raw)]


# ------------------------------------------------------------- of ASGI apps


class TestStatus:
    @pytest.mark.parametrize("status", [200, 204, 404, 599, 999, HTTPStatus.IM_A_TEAPOT])
    def test_good(self, status: int) -> None:
        """A20: every final status passes, as a plain int."""
        for _ in range(3):
            number = raw_head(status, []).status_code
            assert number == status
            assert type(number) is int

    @pytest.mark.parametrize(
        "status", [None, "200", 200.0, Fraction(200), True, 0, 100, 101, 199, 1000, -200, [200]]
    )
    def test_bad(self, status: Any) -> None:
        """A21: anything else is an error that shows it, also when its equal is known already."""
        for _ in range(3):
            raw_head(200, [])
            with pytest.raises(IllegalMessage, match=re.escape(f"status is {status!r}")):
                raw_head(status, [])

    def test_as_text(self) -> None:
        """A25: a status has its reason; one without a standard reason gets one all the same."""
        assert raw_head(404, []).text == ("404 Not Found", [])
        assert raw_head(799, None).text == ("799 Unknown", [])


class TestFields:
    @pytest.mark.parametrize("made", [list, tuple, iter, lambda given: [list(*given)]])
    def test_any_iterable_of_pairs(self, made: Any) -> None:
        """A20: fields may come in lists, and in any iterable."""
        for _ in range(3):
            head = raw_head(200, made([(b"Content-Type", b"text/plain")]))
            assert head.text[1] == [TYPE]

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_what_is_like_bytes(self, kind: Any) -> None:
        """A20: it is taken, whether or not an equal head is known already."""
        for _ in range(3):
            assert raw_head(200, [(kind(b"X-A"), kind(b"b"))]).text[1] == [("X-A", "b")]

    def test_text(self) -> None:
        """A25: order and repeats are kept, spellings too; hop-by-hop fields are left out."""
        given = [
            (b"Set-Cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"Connection", b"keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"Trailer", b"X"),
            (b"Upgrade", b"h2c"),
            (b"X-Latin", b"\xfc: a"),
            (b"X-Empty", b" \t"),
        ]
        kept = [("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X-Latin", "ü: a"), ("X-Empty", "")]
        for _ in range(3):
            assert raw_head(200, given).text[1] == text_fields(given) == kept

    @pytest.mark.parametrize(
        "headers",
        [
            "a: b",
            b"a",
            {b"a": b"b"},
            5,
            [(b"a", b"b\r\nc: d")],
            [(b"a", b"b\n")],
            [(b"a", b"\0")],
            [(b"a b", b"c")],
            [(b"", b"c")],
            [(b"a:", b"c")],
            [("a", b"c")],
            [(b"a", "c")],
            [(b"a", None)],
            [(b"a", [b"b"])],
            [(b"a",)],
            [(b"a", b"b", b"c")],
            [5],
            ["ab"],
            [b"ab"],
            [(b"content-length", b"-1")],
            [(b"content-length", b"")],
            [(b"content-length", b"1, 1")],
            [(b"content-length", b"9" * 20)],
            [(b"content-length", b"9" * 5000)],
            [(b"content-length", b"1"), (b"Content-Length", b"2")],
        ],
    )
    def test_bad(self, headers: Any) -> None:
        """A21 S10: what could split a response, or is no field, is an IllegalMessage each time."""
        for _ in range(3):
            raw_head(200, [])
            with pytest.raises(IllegalMessage):
                raw_head(200, headers)

    @pytest.mark.parametrize("name", [b"content-length", b"Content-Length"])
    def test_length(self, name: bytes) -> None:
        """A21: the length that the app names is known, whatever the spelling."""
        assert raw_head(200, [(name, b"12")]).length == 12
        assert raw_head(200, []).length is None


def test_the_last_head_of_a_connection() -> None:
    """S6: the server's own fields, hop-by-hop ones, and the close follow the app's."""
    head = raw_head(426, [(b"a", b"b")])
    assert head.encode_last(b"server: us\r\n", [(b"upgrade", b"websocket")]) == (
        b"HTTP/1.1 426 Upgrade Required\r\na: b\r\nserver: us\r\n"
        b"upgrade: websocket\r\nconnection: close\r\n\r\n"
    )
