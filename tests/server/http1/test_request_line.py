"""Request lines by tables: what they come to, and what is refused (S3, S4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RequestError
from bridge.server.http1.request_line import malformed, read_request_line
from bridge.server.request import Request


def parts(found: Request) -> tuple[object, ...]:
    return (
        found.method, found.target, found.http11, found.authority, found.fast,
        found.unknown_line,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET / HTTP/1.1", ("GET", b"/", True, None, True, False)),
        (b"GET / HTTP/1.0", ("GET", b"/", False, None, False, False)),
        (b"HEAD /a?b HTTP/1.1", ("HEAD", b"/a?b", True, None, False, False)),
        (b"PROPFIND /a HTTP/1.1", ("PROPFIND", b"/a", True, None, True, False)),
        (b"OPTIONS * HTTP/1.1", ("OPTIONS", b"*", True, None, False, False)),
        (b"get / HTTP/1.1", ("get", b"/", True, None, False, True)),
        (b"M-SEARCH! / HTTP/1.1", ("M-SEARCH!", b"/", True, None, False, True)),
        (b"A" * 64 + b" / HTTP/1.1", ("A" * 64, b"/", True, None, False, True)),
        (b"GET /?\xe9 HTTP/1.1", ("GET", b"/?\xe9", True, None, False, True)),
    ],
)
def test_lines(line: bytes, expected: tuple[object, ...]) -> None:
    """S4: any method reaches the app; those that llhttp does not know are marked."""
    assert parts(read_request_line(line)) == expected


@pytest.mark.parametrize(
    ("target", "authority", "origin"),
    [
        (b"http://example.com/a?b", b"example.com", b"/a?b"),
        (b"HTTPS://example.com:8443/a", b"example.com:8443", b"/a"),
        (b"http://example.com", b"example.com", b"/"),
        (b"http://example.com?b", b"example.com", b"/?b"),
        (b"http://[2001:db8::1]/", b"[2001:db8::1]", b"/"),
    ],
)
def test_absolute_targets(target: bytes, authority: bytes, origin: bytes) -> None:
    """S4: an absolute target names its host, and reaches the app in origin form."""
    expected = ("GET", origin, True, authority, False, False)
    assert parts(read_request_line(b"GET " + target + b" HTTP/1.1")) == expected


ANY_QUERY = b"{}|^\\\"`[]%zz?/:@!$&'()*+,;=-._~\x80\xff"
ANY_PATH = b"/%zz|[]:@!$&'()*+,;=-._~//"


@pytest.mark.parametrize(
    "target", [ANY_PATH, b"/?" + ANY_QUERY, ANY_PATH + b"?" + ANY_QUERY, b"//double", b"/?"]
)
def test_what_passes_as_it_came(target: bytes) -> None:
    """S4: what browsers do not encode passes unchanged, a `%` that begins no escape too."""
    assert read_request_line(b"GET " + target + b" HTTP/1.1").target == target


REFUSED = {
    b"": 400,
    b"GET": 400,
    b"GET /": 400,
    b"GET  / HTTP/1.1": 400,
    b"GET / HTTP/1.1 ": 400,
    b" GET / HTTP/1.1": 400,
    b"GET / a HTTP/1.1": 400,
    b"GET / http/1.1": 400,
    b"GET / HTTP/1.10": 400,
    b"GET / HTTP/1": 400,
    b"GET / HTTP/2.0": 505,
    b"GET / HTTP/0.9": 505,
    b"G\xc9T / HTTP/1.1": 400,
    b"G(T / HTTP/1.1": 400,
    b"A" * 65 + b" / HTTP/1.1": 400,
    b"CONNECT example.com:443 HTTP/1.1": 501,
    b"GET * HTTP/1.1": 400,
    b"GET a HTTP/1.1": 400,
    b"GET ftp://example.com/ HTTP/1.1": 400,
    b"GET http:///a HTTP/1.1": 400,
    b"GET http://me@example.com/ HTTP/1.1": 400,
    b"GET http://example.com/#a HTTP/1.1": 400,
    b"GET http://example.com/<a> HTTP/1.1": 400,
    b"GET /#a HTTP/1.1": 400,
    b"GET /a\tb HTTP/1.1": 400,
    b"GET /\xe9 HTTP/1.1": 400,
    b"GET /{a} HTTP/1.1": 400,
    b"GET /?<a> HTTP/1.1": 400,
    b"GET /?\x7f HTTP/1.1": 400,
}


@pytest.mark.parametrize(("line", "status"), REFUSED.items(), ids=map(repr, REFUSED))
def test_refused(line: bytes, status: int) -> None:
    """S3, S4: what can be read in two ways, or may not stand there, is an error."""
    with pytest.raises(RequestError) as caught:
        read_request_line(line)
    assert caught.value.status == status


def test_the_error_shows_the_begin_of_the_line() -> None:
    """S3: 80 bytes of what is no request line, not all of it."""
    error = malformed(b"x" * 81)
    assert error.status == 400
    assert repr(b"x" * 80) in str(error)


@given(st.binary(max_size=40), st.sampled_from([b"", b"GET ", b"GET /", b"GET http://"]))
def test_any_bytes(noise: bytes, begin: bytes) -> None:
    """S3: any line is read or refused, and what is read has a target of the two forms."""
    for line in (begin + noise, begin + noise + b" HTTP/1.1"):
        try:
            target = read_request_line(line).target
        except RequestError as error:
            target = b"/%d" % error.status
        assert target == b"*" or target.startswith(b"/")
