"""The environ of a request on the server, before it is this one request's own."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.server.apps.wsgi.environ import complete_environ, fill_environ, place_environ
from bridge.server.proxy.forwarded import Resolved
from bridge.types import Environ
from bridge.wsgi.environ import base_environ
from tests.server.apps.connections import connection, request

BASE = base_environ(multithread=True, multiprocess=False) | {"SERVER_PROTOCOL": "HTTP/1.1"}


def environ_of(asked: Any, prefix: str = "", **more: Any) -> Environ:
    at = connection(**more)
    return fill_environ(place_environ(BASE, at, prefix), at, asked, prefix)


def test_a_plain_request() -> None:
    """W1, W2: the request line and the fields, as native text."""
    environ = environ_of(request("POST /a%20b?x=%20 HTTP/1.1", "Host: h", "X-A: 1", "X-A: 2"))
    assert environ["REQUEST_METHOD"] == "POST"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/a b")
    assert environ["QUERY_STRING"] == "x=%20"
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/a%20b?x=%20"
    assert (environ["HTTP_HOST"], environ["HTTP_X_A"]) == ("h", "1,2")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("192.0.2.1", "8000")
    assert environ["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(
    ("line", "script_name", "path_info"),
    [
        ("GET /root/mount/a HTTP/1.1", "/root/mount", "/a"),
        ("GET /mount/a HTTP/1.1", "/root/mount", "/a"),
        ("OPTIONS * HTTP/1.1", "/root/mount", ""),
    ],
)
def test_a_mounted_app(line: str, script_name: str, path_info: str) -> None:
    """W3: SCRIPT_NAME is the app's mount point, whether a proxy left that in the path or not."""
    environ = environ_of(request(line), "/mount", root_path="/root")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


def test_options_for_the_server() -> None:
    """W2: ``OPTIONS *`` asks for no path."""
    assert environ_of(request("OPTIONS * HTTP/1.1"))["PATH_INFO"] == ""


@pytest.mark.parametrize("server", [("/run/app.sock", None), None])
def test_a_unix_socket(server: Any) -> None:
    """W6: the name is the one that the client used."""
    environ = environ_of(request("GET / HTTP/1.1", "Host: example.com:81"), server=server)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("example.com", "81")


def test_a_body_in_chunks() -> None:
    """W8: a body is handed on without its coding, and the field is gone with it."""
    chunked = request("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked")
    assert "HTTP_TRANSFER_ENCODING" not in environ_of(chunked)


def test_a_place_is_left_alone() -> None:
    """What requests to one place have in common is copied, not filled."""
    at = connection()
    base = place_environ(BASE, at, "")
    before = base.copy()
    fill_environ(base, at, request(), "")
    assert base == before


def test_http_1_0() -> None:
    """W42: HTTP/1.0 knows no early hints."""
    asked = request("GET / HTTP/1.0")
    environ = environ_of(asked)
    environ["wsgi.early_hints"] = print
    complete_environ(environ, asked)
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "wsgi.early_hints" not in environ


def test_what_a_trusted_proxy_says() -> None:
    """S32: client, scheme and server are those that it names, and nothing is left of the others."""
    asked = request()
    asked.resolved = Resolved(None, "https", ("example.com", 443))
    environ = environ_of(asked)
    environ["REMOTE_ADDR"] = environ["REMOTE_PORT"] = "the proxy's"
    complete_environ(environ, asked)
    assert "REMOTE_ADDR" not in environ
    assert "REMOTE_PORT" not in environ
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("example.com", "443")
