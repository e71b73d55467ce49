"""The HTTP scope of a request on the server."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.server.apps.scope import base_scope, fill_scope, http_scope
from bridge.server.proxy.forwarded import Resolved
from tests.server.apps.connections import connection, request


def test_a_plain_request() -> None:
    """S13: the scope says what the request line, the fields and the addresses say."""
    assert http_scope(connection(), request(), {"pool": 1}) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"x=1",
        "root_path": "",
        "headers": [(b"host", b"example.com")],
        "client": ("192.0.2.7", 51234),
        "server": ("192.0.2.1", 8000),
        "state": {"pool": 1},
        "extensions": {"http.response.early_hint": {}, "http.response.trailers": {}},
    }


def test_nothing_is_shared() -> None:
    """S13: what an app changes in its scope, no other request sees."""
    state: dict[str, Any] = {}
    asked = request()
    first = http_scope(connection(), asked, state)
    first["asgi"].clear()
    first["headers"].clear()
    first["state"]["mine"] = 1
    first["extensions"].clear()
    again = http_scope(connection(), asked, state)
    assert again["asgi"]
    assert again["headers"]
    assert again["extensions"]
    assert again["state"] == {}


def test_a_template_is_left_alone() -> None:
    """What requests to one place have in common is copied, not filled."""
    base = base_scope(connection(), "/mount")
    filled = fill_scope(base, request())
    assert (base["path"], base["method"]) == (None, None)
    assert (filled["path"], filled["root_path"]) == ("/a b", "/mount")


@pytest.mark.parametrize(
    ("line", "path", "raw_path"),
    [
        ("GET /a%20b HTTP/1.1", "/ü/a b", b"/%C3%BC/a%20b"),
        ("GET /%C3%BC/a HTTP/1.1", "/ü/a", b"/%C3%BC/a"),
        ("OPTIONS * HTTP/1.1", "*", b"*"),
    ],
)
def test_a_root_path(line: str, path: str, raw_path: bytes) -> None:
    """W3: what a proxy took off the path, an app finds in it; what it left there, once."""
    below = connection(root_path="/ü")
    scope = http_scope(below, request(line), {}, "/mount")
    assert (scope["path"], scope["raw_path"]) == (path, raw_path)
    assert scope["root_path"] == "/ü/mount"


def test_http_1_0() -> None:
    """S13: the version is the request's."""
    assert http_scope(connection(), request("GET / HTTP/1.0"), {})["http_version"] == "1.0"


def test_what_a_trusted_proxy_says() -> None:
    """S32: client, scheme and server are those that it names."""
    asked = request()
    asked.fast = False
    asked.resolved = Resolved(("203.0.113.9", 0), "https", ("example.com", 443))
    scope = http_scope(connection(), asked, {})
    assert scope["client"] == ("203.0.113.9", 0)
    assert (scope["scheme"], scope["server"]) == ("https", ("example.com", 443))


def test_extensions_of_the_connection() -> None:
    """S13: ``tls`` is the request's own copy; pathsend is offered if the operator wants it."""
    tls = {"client_cert_chain": ["pem"], "tls_version": 772}
    secure = connection(tls=tls, pathsend=True)
    extensions = http_scope(secure, request(), {})["extensions"]
    assert extensions["tls"] == tls
    assert extensions["http.response.pathsend"] == {}
    extensions["tls"]["client_cert_chain"].clear()
    assert tls["client_cert_chain"] == ["pem"]
