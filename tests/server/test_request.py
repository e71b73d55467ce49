"""What a head says, by tables: its fields, its target, and what of them is the server's."""

from __future__ import annotations

import pytest

from bridge.errors import RequestError
from bridge.server.proxy.forwarded import Resolved
from bridge.server.request import (
    CHUNKED,
    HOST,
    ORDINARY,
    SPECIAL,
    Request,
    RequestTarget,
    read_line,
)

Fields = list[tuple[bytes, bytes]]


def heed(*fields: tuple[bytes, bytes], method: str = "POST", http11: bool = True) -> Request:
    """A request that was told of each of its fields, in their order."""
    request = Request(RequestTarget(method, b"/", http11), list(fields))
    request.http11 = http11
    for name, value in fields:
        request.heed(name, value)
    if request.upgrade:
        request.heed_upgrade()
    return request


@pytest.mark.parametrize(
    ("line", "name", "value", "says"),
    [
        (b"Accept: */*", b"accept", b"*/*", ORDINARY),
        (b"X-A:\t 1: 2 \t", b"x-a", b"1: 2", ORDINARY),
        (b"X-Empty:", b"x-empty", b"", ORDINARY),
        (b"no colon", b"no colon", b"", ORDINARY),
        (b"HOST: example.com", b"host", b"example.com", HOST),
        (b"Connection: Keep-Alive", b"connection", b"Keep-Alive", ORDINARY),
        (b"Connection: close", b"connection", b"close", SPECIAL),
        (b"Content-Length: 1", b"content-length", b"1", SPECIAL),
        (b"Transfer-Encoding: chunked", b"transfer-encoding", b"chunked", SPECIAL),
        (b"Upgrade: websocket", b"upgrade", b"websocket", SPECIAL),
        (b"Expect: 100-continue", b"expect", b"100-continue", SPECIAL),
        (b"X-Forwarded-For: 192.0.2.1", b"x-forwarded-for", b"192.0.2.1", SPECIAL),
        (b"Forwarded: for=x", b"forwarded", b"for=x", SPECIAL),
    ],
)
def test_field_lines(line: bytes, name: bytes, value: bytes, says: int) -> None:
    """S3: a name in lower case, a value without blanks around it, and what it says to us."""
    assert read_line(line) == ((name, value), says)


@pytest.mark.parametrize(
    ("target", "path", "native_path"),
    [
        (b"/a", "/a", "/a"),
        (b"/a%20b%2Fc", "/a b/c", "/a b/c"),
        (b"/%C3%A9", "/é", "/Ã©"),
        (b"/%FF", "/\ufffd", "/ÿ"),
        (b"/%zz", "/%zz", "/%zz"),
        (b"*", "*", "*"),
    ],
)
def test_paths(target: bytes, path: str, native_path: str) -> None:
    """S4: the path is decoded once: as UTF-8 for ASGI, a character for each byte for WSGI."""
    line = RequestTarget("GET", target + b"?q=%20\xe9", True)
    assert (line.path, line.native_path) == (path, native_path)
    assert (line.raw_path, line.query) == (target, b"q=%20\xe9")
    assert line.native_query == "q=%20é"
    assert line.native_target == target.decode() + "?q=%20é"


CHUNKED_FIELD = (b"transfer-encoding", b"Chunked")


@pytest.mark.parametrize(
    ("fields", "http11", "attribute", "value"),
    [
        ([], True, "length", 0),
        ([(b"content-length", b"12")], True, "length", 12),
        ([CHUNKED_FIELD], True, "length", CHUNKED),
        ([(b"connection", b"close")], True, "close", True),
        ([(b"connection", b"x, Close")], True, "close", True),
        ([(b"connection", b"x")], True, "close", False),
        ([(b"connection", b"keep-alive")], True, "close", False),
        ([(b"connection", b"keep-alive")], False, "close", False),
        ([(b"connection", b"keep-alive"), (b"connection", b"close")], False, "close", True),
        ([(b"connection", b"close"), (b"connection", b"keep-alive")], False, "close", True),
        ([(b"expect", b"100-Continue")], True, "expects_continue", True),
        ([(b"expect", b"100-continue")], False, "expects_continue", False),
        ([(b"connection", b"upgrade")], True, "upgrade", True),
        ([(b"connection", b"upgrade")], False, "upgrade", False),
        ([(b"upgrade", b"websocket")], True, "upgrade", False),
        ([(b"forwarded", b"for=x")], True, "forwarded", True),
        ([(b"x-forwarded-proto", b"https")], True, "forwarded", True),
        ([(b"accept", b"*/*")], True, "forwarded", False),
    ],
)
def test_what_fields_say(fields: Fields, http11: bool, attribute: str, value: object) -> None:
    """S1, S3: each field says what it says, whatever the order of those that belong together."""
    assert getattr(heed(*fields, http11=http11), attribute) == value


@pytest.mark.parametrize(
    ("fields", "http11", "status"),
    [
        ([(b"content-length", b"-1")], True, 400),
        ([(b"expect", b"a miracle")], True, 417),
        ([CHUNKED_FIELD], False, 400),
        ([(b"transfer-encoding", b"gzip")], True, 400),
        ([(b"transfer-encoding", b"")], True, 400),
        ([(b"transfer-encoding", b"chunked, gzip")], True, 400),
        ([(b"transfer-encoding", b"chunked, chunked")], True, 400),
        ([CHUNKED_FIELD, CHUNKED_FIELD], True, 400),
        ([(b"transfer-encoding", b"(, chunked")], True, 400),
        ([(b"transfer-encoding", b"chunked ;q=1, chunked")], True, 400),
        ([(b"transfer-encoding", b"gzip, chunked")], True, 501),
        ([(b"transfer-encoding", b"gzip;q=1"), CHUNKED_FIELD], True, 501),
    ],
)
def test_refused_fields(fields: Fields, http11: bool, status: int) -> None:
    """S3: a body whose end could be seen in two places is refused, and codings we do not know."""
    with pytest.raises(RequestError) as caught:
        heed(*fields, http11=http11)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("method", "named", "websocket"),
    [
        ("GET", [b"websocket"], True),
        ("GET", [b"h2c, WebSocket"], True),
        ("GET", [b"h2c", b"websocket"], True),
        ("GET", [b"h2c"], False),
        ("GET", [], False),
        ("POST", [b"websocket"], False),
    ],
)
def test_upgrades(method: str, named: list[bytes], websocket: bool) -> None:
    """S20: a WebSocket is asked for with GET, by one of the protocols that Upgrade names."""
    fields = [(b"connection", b"Upgrade"), *((b"upgrade", value) for value in named)]
    assert heed(*fields, method=method).websocket is websocket


def test_a_new_request() -> None:
    """S3: a request asks for nothing unusual until a field says so."""
    request = Request(RequestTarget("GET", b"/a?b", True), [(b"host", b"x")])
    assert (request.fast, request.keep_alive_fast, request.cached) == (True, True, False)
    assert (request.method, request.target, request.length) == ("GET", b"/a?b", 0)


def test_the_client_that_a_proxy_names() -> None:
    """S32: the client is what the trusted proxy's word comes to; without one there is none."""
    request = heed()
    assert request.client is None
    request.resolved = Resolved(("203.0.113.9", 7), "https", ("10.1.1.1", 443))
    assert request.client == ("203.0.113.9", 7)


def test_shown_in_a_log() -> None:
    """S50: bytes beyond ASCII are escaped, so that no line of a log can be forged."""
    assert Request(RequestTarget("GET", b"/?\xff", True), []).shown == "GET /?\\xff"
