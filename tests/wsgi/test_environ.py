"""The environ of a request: every key, from every kind of scope."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import quote
from wsgiref.util import request_uri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asgi.scope import scope_from_environ
from bridge.errors import RequestError
from bridge.types import Scope
from bridge.wsgi.environ import (
    BASE_ENVIRON,
    add_client,
    add_headers,
    base_environ,
    environ_from_scope,
    error_stream,
    pop_transfer_encoding,
    server_name_port,
    with_placeholders,
)
from bridge.wsgi.file_wrapper import FileWrapper
from tests.support.remembered import is_remembered

pytestmark = pytest.mark.usefixtures("with_and_without_accelerator")


def a_scope(**changes: object) -> Scope:
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.org")],
        "client": ("192.0.2.7", 51234),
        "server": ("192.0.2.1", 8000),
    }
    scope.update(changes)
    return scope


def headers_of(*headers: tuple[bytes, bytes]) -> dict[str, str]:
    environ: dict[str, str] = {}
    add_headers(environ, headers)
    return environ


# ------------------------------------------------------------- request line


def test_request_line() -> None:
    """W1: method, protocol and query are those of the request; any byte passes in the query."""
    every_byte = bytes(range(256))
    environ = environ_from_scope(a_scope(method="MUX", http_version="1.0", query_string=every_byte))
    assert environ["REQUEST_METHOD"] == "MUX"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert environ["QUERY_STRING"].encode("latin-1") == every_byte


def test_the_least_scope() -> None:
    """W1, W4, W6, W7: keys that the ASGI specification makes optional may be missing."""
    scope = {"type": "http", "method": "GET", "http_version": "2", "path": "/é x"}
    environ = environ_from_scope(scope)
    assert environ["SERVER_PROTOCOL"] == "HTTP/2"
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/%C3%A9%20x"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
    assert environ["QUERY_STRING"] == ""
    assert "REMOTE_ADDR" not in environ
    assert "HTTP_HOST" not in environ


def test_target_as_sent() -> None:
    """W4: RAW_URI and REQUEST_URI keep the percent-encoding and the query."""
    scope = a_scope(path="/a/b", raw_path=b"/a%2Fb", query_string=b"x=%2F&y")
    environ = environ_from_scope(scope)
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/a%2Fb?x=%2F&y"
    scope = a_scope(path="/a", raw_path=b"/a?q", query_string=b"q")
    assert environ_from_scope(scope)["RAW_URI"] == "/a?q", "some hosts put the query in raw_path"


# ------------------------------------------------------------- path


def test_options_for_the_server() -> None:
    """W2, W11: `OPTIONS *` has an empty path, which PEP 3333 allows, and `*` in REQUEST_URI."""
    environ = environ_from_scope(a_scope(method="OPTIONS", path="*", raw_path=b"*"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "")
    assert environ["REQUEST_URI"] == "*"


# ------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("server", "host", "scheme", "expected"),
    [
        (("192.0.2.1", 8000), "example.org", "http", ("192.0.2.1", "8000")),
        (["192.0.2.1", 8000], None, "http", ("192.0.2.1", "8000")),
        (("::1", 8000), None, "http", ("[::1]", "8000")),
        (None, None, "http", ("localhost", "80")),
        (None, None, "https", ("localhost", "443")),
        (None, None, "wss", ("localhost", "443")),
        (("/run/app.sock", None), "example.org", "https", ("example.org", "443")),
        (("/run/app.sock", None), "example.org:8443", "https", ("example.org", "8443")),
        (("/run/app.sock", None), "[2001:db8::1]", "http", ("[2001:db8::1]", "80")),
        (("/run/app.sock", None), "[2001:db8::1]:81", "http", ("[2001:db8::1]", "81")),
        (("/run/app.sock", None), "example.org:x", "http", ("example.org", "80")),
        (("/run/app.sock", None), ":81", "http", ("localhost", "81")),
        (("", None), "", "http", ("localhost", "80")),
    ],
)
def test_server_name_and_port(
    server: tuple[str, int | None] | None, host: str | None, scheme: str, expected: tuple[str, str]
) -> None:
    """W6: SERVER_NAME and SERVER_PORT are text always, and right for a Unix socket."""
    assert server_name_port(server, host, scheme) == expected


def test_client() -> None:
    """W7: REMOTE_ADDR and REMOTE_PORT are text; both are absent without a client."""
    environ = environ_from_scope(a_scope())
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.7", "51234")
    for client in (None, ("", 0)):
        environ = environ_from_scope(a_scope(client=client))
        assert not {"REMOTE_ADDR", "REMOTE_PORT"} & environ.keys()
    only_address: dict[str, str] = {}
    add_client(only_address, ("192.0.2.7", None))
    assert only_address == {"REMOTE_ADDR": "192.0.2.7"}


# ------------------------------------------------------------- header fields


def test_header_keys() -> None:
    """W8: Content-Type and Content-Length have keys of their own, the others HTTP_ before them."""
    environ = headers_of(
        (b"Content-Type", b"text/plain"),
        (b"content-length", b"5"),
        (b"X-Custom-Name", b"caf\xe9"),
        (b"accept", b"*/*"),
    )
    assert environ == {
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
        "HTTP_X_CUSTOM_NAME": "caf\xe9",
        "HTTP_ACCEPT": "*/*",
    }


def test_repeated_fields() -> None:
    """W8: repeated fields are joined with a comma, cookies with a semicolon, in their order."""
    environ = headers_of(
        (b"accept", b"text/html"),
        (b"cookie", b"a=1"),
        (b"Accept", b"text/plain"),
        (b"Cookie", b"b=2"),
        (b"cookie", b"c=3"),
        (b"x-other", b"1"),
    )
    assert environ["HTTP_ACCEPT"] == "text/html,text/plain"
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"
    assert environ["HTTP_X_OTHER"] == "1"


def test_many_repeated_fields() -> None:
    """W8: the work is linear: 200,000 repeats are joined once, not each time."""
    value = b"v" * 50
    environ = headers_of(*[(b"x-a", value)] * 200_000)
    assert len(environ["HTTP_X_A"]) == 200_000 * 51 - 1


def test_dropped_fields() -> None:
    """W8: a name with an underscore, which would pose as its twin, and Proxy are dropped."""
    environ = headers_of(
        (b"x_forwarded_for", b"evil"),
        (b"X-Forwarded-For", b"good"),
        (b"content_length", b"9"),
        (b"Proxy", b"http://evil"),
        (b"proxy", b"http://evil"),
        (b"Proxy-Authorization", b"fine"),
    )
    assert environ == {"HTTP_X_FORWARDED_FOR": "good", "HTTP_PROXY_AUTHORIZATION": "fine"}


def test_take_coding() -> None:
    """W8: no app is told of a coding that its host has taken off."""
    environ: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "HTTP_HOST": "example.com"}
    assert pop_transfer_encoding(environ)
    assert environ == {"HTTP_HOST": "example.com"}
    assert not pop_transfer_encoding(environ)


def test_content_length() -> None:
    """W8: equal repeated Content-Lengths collapse; unequal and malformed ones are a 400."""
    equal = [(b"content-length", b"5"), (b"content-length", b"5")]
    assert environ_from_scope(a_scope(headers=equal))["CONTENT_LENGTH"] == "5"
    assert (
        environ_from_scope(a_scope(headers=[(b"content-length", b"5, 5")]))["CONTENT_LENGTH"] == "5"
    )
    for wrong in ([b"5", b"6"], [b"5, 6"], [b""], [b"+5"], [b"5 5"], [b"x"], [b"-1"], [b"\xb2"]):
        with pytest.raises(RequestError) as caught:
            environ_from_scope(a_scope(headers=[(b"content-length", value) for value in wrong]))
        assert caught.value.status == 400


def test_many_spellings() -> None:
    """W8: names are right however many there are, and long ones are not remembered."""
    for number in range(3000):
        name = b"x-%d" % number
        assert headers_of((name, b"v")) == {f"HTTP_X_{number}": "v"}
    assert headers_of((b"too-long-a-name-" + b"x" * 64, b"v"))
    assert not is_remembered("too-long-a-name-")


# ------------------------------------------------------------- wsgi.* and the rest


def test_nothing_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """W5: no variable of the process environment gets into the environ."""
    monkeypatch.setenv("HTTP_X_SECRET", "secret")
    environ = environ_from_scope(a_scope())
    assert "HTTP_X_SECRET" not in environ
    assert not set(os.environ) & environ.keys()


def test_wsgi_keys() -> None:
    """W9: the wsgi.* keys tell the truth of the host; two requests share no dictionary."""
    base = base_environ(multithread=False, multiprocess=False, scheme="https")
    environ = environ_from_scope(a_scope(scheme="https"), base)
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["wsgi.multithread"] is False
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.file_wrapper"] is FileWrapper
    assert type(environ) is dict
    assert environ is not base
    environ["x"] = 1
    assert "x" not in base
    assert "x" not in BASE_ENVIRON


def test_room_for_the_keys_of_each_request() -> None:
    """W9: what a host says stays, and each request finds the keys that it sets."""
    base = base_environ(multithread=True, multiprocess=False)
    roomy = with_placeholders(base, "SERVER_PORT")
    assert {**roomy, **base} == roomy
    added = roomy.keys() - base.keys()
    assert {"PATH_INFO", "wsgi.input", "asgi.scope", "SERVER_PORT"} <= added
    assert {roomy[key] for key in added} == {None}


def test_where_errors_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """W9: `wsgi.errors` is standard error; a process that has none drops what is written."""
    assert error_stream() is sys.stderr
    monkeypatch.setattr(sys, "stderr", None)
    stream = error_stream()
    assert stream.write("nobody reads this") == 17
    stream.writelines(["nor", "this"])
    stream.flush()


def test_websocket_scope() -> None:
    """W9, W60: a WebSocket scope is a GET over http or https."""
    environ = environ_from_scope({"type": "websocket", "scheme": "wss", "path": "/"})
    assert (environ["REQUEST_METHOD"], environ["wsgi.url_scheme"]) == ("GET", "https")


def test_scope_is_there() -> None:
    """W10: `asgi.scope` is the scope itself."""
    scope = a_scope()
    assert environ_from_scope(scope)["asgi.scope"] is scope


def test_url_can_be_rebuilt() -> None:
    """W2, W3, W6: PEP 3333's URL reconstruction gives back what the client asked for."""
    scope = a_scope(
        path="/sub/caf\ufffd", raw_path=b"/sub/caf%E9", root_path="/sub", query_string=b"q=1"
    )
    assert request_uri(environ_from_scope(scope)) == "http://example.org/sub/caf%E9?q=1"


names = st.from_regex(rb"[a-z][a-z-]{0,10}[a-z]", fullmatch=True).filter(
    lambda name: name not in (b"proxy", b"content-length", b"host")
)
values = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=("Cc",)), max_size=20
).map(lambda text: text.encode("latin-1"))


@given(
    path=st.text(st.characters(exclude_categories=("Cs",)), max_size=20).map(lambda t: "/" + t),
    root_path=st.sampled_from(["", "/sub", "/sub/é"]),
    query=st.binary(max_size=20),
    headers=st.dictionaries(names, values, max_size=6),
    method=st.sampled_from(["GET", "HEAD", "POST", "QUERY", "M-SEARCH"]),
    scheme=st.sampled_from(["http", "https"]),
)
def test_there_and_back(
    path: str,
    root_path: str,
    query: bytes,
    headers: dict[bytes, bytes],
    method: str,
    scheme: str,
) -> None:
    """W1, W2, W3, W8, A1: scope -> environ -> scope loses nothing."""
    scope = a_scope(
        path=root_path + path,
        raw_path=quote(root_path + path).encode(),
        root_path=root_path,
        query_string=query,
        headers=[(b"host", b"example.org"), *headers.items()],
        method=method,
        scheme=scheme,
    )
    environ = environ_from_scope(scope)
    environ["wsgi.errors"] = sys.stderr
    back = scope_from_environ(environ)
    for key in ("method", "scheme", "path", "root_path", "query_string", "http_version"):
        assert back[key] == scope[key], key
    assert sorted(back["headers"]) == sorted(scope["headers"])
    assert tuple(back["client"]) == scope["client"]
    assert tuple(back["server"]) == scope["server"]
