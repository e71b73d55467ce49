"""Who answered, in the head of a response."""

from __future__ import annotations

from bridge.http.response_head import ResponseHead, raw_head
from bridge.server.logs.served import BY_THE_APP, Served


def head(*fields: tuple[bytes, bytes]) -> ResponseHead:
    return raw_head(200, [*fields, (b"content-length", b"2")])


def test_a_field_of_the_same_name_is_replaced() -> None:
    """M2: in whatever case; the head itself, which others share, is not changed."""
    served = Served("a", "new", b"x-served-by: new\r\n", b"x-served-by")
    for name in (b"x-served-by", b"X-Served-By"):
        given = head((name, b"somebody"), (b"x-other", b"x-served-by: 1"))
        before = given.encoded
        changed, lines = served.applied(given)
        assert changed.encoded == before.replace(name + b": somebody\r\n", b"")
        assert changed.raw_headers == [(b"x-other", b"x-served-by: 1"), (b"content-length", b"2")]
        assert (given.encoded, lines) == (before, b"x-served-by: new\r\n")
        assert (changed.length, changed.fast) == (2, True)
    other = head((b"x-other", b"1"))
    assert served.applied(other)[0] is other


def test_lines_may_depend_on_what_the_app_says() -> None:
    """M20: they come behind those that are always there."""
    served = Served("a", "new", b"a: 1\r\n", more=lambda head: b"b: %d\r\n" % head.status_code)
    assert served.applied(head())[1] == b"a: 1\r\nb: 200\r\n"
    assert BY_THE_APP.applied(head())[1] == b""
