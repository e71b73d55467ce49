"""Heads of responses: checked, and known again when they come again."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.asgi_to_wsgi import heads
from bridge.asgi_to_wsgi.heads import Head, head_of
from bridge.errors import IllegalMessage
from bridge.headers import Recurring

TYPE = (b"Content-Type", b"text/plain")


def start(status: Any = 200, headers: Any = None) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Recurring[Head]:
    empty = Recurring(heads._learn)
    monkeypatch.setattr(heads, "_HEADS", empty)
    return empty


class TestWhatIsKnown:
    def test_as_the_host_takes_it(self) -> None:
        """A25: the status has its reason; the fields are text, without those of the host's."""
        head = head_of(start(404, [TYPE, (b"connection", b"close"), (b"x", b"\xe9")]))
        assert head.line == "404 Not Found"
        assert head.fields == [("Content-Type", "text/plain"), ("x", "\xe9")]

    def test_blanks_around_a_length(self) -> None:
        """A25: they are no part of a value, also of one that the adapter reads."""
        head = head_of(start(200, [(b"content-length", b" 5 ")]))
        assert (head.length, head.fields) == (5, [("content-length", "5")])

    def test_unknown_status(self) -> None:
        """A25: a status without a standard reason gets one all the same (PEP 3333)."""
        assert head_of(start(799)).line == "799 Unknown"

    @pytest.mark.parametrize(("status", "bodiless"), [(200, False), (204, True), (304, True)])
    def test_bodiless(self, status: int, bodiless: bool) -> None:
        """A25: 204 and 304 never have a body."""
        assert head_of(start(status)).bodiless is bodiless

    @pytest.mark.parametrize("name", [b"content-length", b"Content-Length"])
    def test_length(self, name: bytes) -> None:
        """A21: the length that the app names is known, whatever the spelling."""
        assert head_of(start(200, [(name, b"12")])).length == 12
        assert head_of(start(200, [TYPE])).length is None

    @pytest.mark.parametrize(
        "headers", [[list(TYPE)], (TYPE,), iter([TYPE]), [TYPE]], ids=["lists", "tuple", "iter", ""]
    )
    def test_any_iterable_of_pairs(self, headers: Any) -> None:
        """A20: fields may come in lists, and in any iterable."""
        assert head_of(start(200, headers)).fields == [("Content-Type", "text/plain")]

    @pytest.mark.parametrize(
        ("status", "headers"),
        [
            (200.0, []),
            (True, []),
            (199, []),
            (1000, []),
            ("200", []),
            (200, "x"),
            (200, [b"ab"]),
            (200, [("a", b"b")]),
            (200, [(b"a", "b")]),
            (200, [(b"a b", b"c")]),
            (200, [(b"a", b"b\r\nc: d")]),
            (200, [(b"content-length", b"-1")]),
            (200, [(b"content-length", b"")]),
        ],
    )
    def test_illegal(self, status: Any, headers: Any) -> None:
        """A21: what is wrong is an error each time, also where its like is known already."""
        for _ in range(3):
            head_of(start(200, []))
            with pytest.raises(IllegalMessage):
                head_of(start(status, headers))


class TestWhatIsKept:
    def test_what_comes_again(self, table: Recurring[Head]) -> None:
        """A head is kept when it comes the second time, and is the same object from then on."""
        first, second, third = (head_of(start(200, [TYPE])) for _ in range(3))
        assert first is not second
        assert second is third
        assert len(table) == 1

    @pytest.mark.parametrize(
        "headers",
        [
            [(b"Set-Cookie", b"secret")],
            [(b"etag", b"x")],
            [(b"x", b"x" * 201)],
            [(b"x", b"%d" % number) for number in range(17)],
        ],
        ids=["secret", "changing", "long", "many"],
    )
    def test_what_is_not_kept(self, table: Recurring[Head], headers: Any) -> None:
        """Heads that are secret, change often or are large are worked out each time."""
        for _ in range(3):
            assert len(head_of(start(200, headers)).fields) == len(headers)
        assert not table

    def test_bounded(self, table: Recurring[Head], monkeypatch: pytest.MonkeyPatch) -> None:
        """However many heads there are, no more than a few are kept."""
        monkeypatch.setattr(table, "MOST_SEEN", 20, raising=False)
        monkeypatch.setattr(table, "SIZE", 10, raising=False)
        for number in range(100):
            for _ in range(2):
                head_of(start(200, [(b"x", b"%d" % number)]))
        assert 0 < len(table) <= 10
        assert 0 < len(table._seen) <= 20
