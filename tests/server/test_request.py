"""A request by tables: its target, its fields, and what they have the server do."""

from __future__ import annotations

import pytest

from bridge.errors import RequestError
from bridge.server.proxy.forwarded import Forwarded
from bridge.server.request import CHUNKED, Request

Fields = list[tuple[bytes, bytes]]


def new(method: str, *fields: tuple[bytes, bytes]) -> Request:
    request = Request(method, b"/a?b", b"/a", b"b")
    request.headers = list(fields)
    return request


def applied(*fields: tuple[bytes, bytes], method: str = "POST", http11: bool = True) -> Request:
    """A request that has acted on its version and its fields."""
    request = new(method, *fields)
    request.http11 = http11
    request.apply_control_fields()
    return request


@pytest.mark.parametrize(
    ("raw_path", "path", "native_path"),
    [
        (b"/a", "/a", "/a"),
        (b"/a%20b%2Fc", "/a b/c", "/a b/c"),
        (b"/%C3%A9", "/é", "/Ã©"),
        (b"/%FF", "/\ufffd", "/ÿ"),
        (b"/%zz", "/%zz", "/%zz"),
        (b"*", "*", "*"),
    ],
)
def test_paths(raw_path: bytes, path: str, native_path: str) -> None:
    """S4: the path is decoded once: as UTF-8 for ASGI, a character for each byte for WSGI."""
    request = Request("GET", raw_path + b"?q", raw_path, b"q")
    assert (request.path, request.native_path) == (path, native_path)


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
def test_effects_of_fields(fields: Fields, http11: bool, attribute: str, value: object) -> None:
    """S1, S3: each field has its effect, whatever the order of those that belong together."""
    assert getattr(applied(*fields, http11=http11), attribute) == value


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
        applied(*fields, http11=http11)
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
    assert applied(*fields, method=method).websocket is websocket


def test_a_new_request() -> None:
    """S3: a new request takes the fast path; control fields end that."""
    request = new("GET", (b"host", b"x"))
    assert (request.fast, request.keep_alive_fast, request.repeated) == (True, True, False)
    assert (request.method, request.target, request.length) == ("GET", b"/a?b", 0)


def test_the_client_that_a_proxy_names() -> None:
    """S32: the client is what the trusted proxy's word comes to; without one there is none."""
    request = applied((b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https"))
    assert request.client is None
    ours = ("10.1.1.1", 443)
    request.resolve(Forwarded("*"), ("192.0.2.1", 5), "http", ours)
    assert request.client == ("203.0.113.9", 0)
    assert request.resolved == (request.client, "https", ours)


def test_the_host_of_an_absolute_target() -> None:
    """S3: it stands in the Host field, and the other fields are as they were."""
    request = new("GET", (b"host", b"x"), (b"a", b"b"))
    request.replace_host(b"y")
    assert request.headers == [(b"host", b"y"), (b"a", b"b")]


def test_shown_in_a_log() -> None:
    """S50: bytes beyond ASCII are escaped, so that no line of a log can be forged."""
    assert Request("GET", b"/?\xff", b"/", b"\xff").shown == "GET /?\\xff"
