"""The mount rule (D8)."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asgi.scope import scope_from_environ
from bridge.dispatcher import Dispatcher
from bridge.http.paths import (
    mount_point,
    native_str,
    split_native_path,
    split_path,
    strip_prefix,
    without_root,
)
from bridge.wsgi.environ import environ_from_scope
from tests.adapters.asgi_on_wsgi.direct import environ

SAME = ["/api", "/api/", "api", "api/", "//api//"]


@pytest.mark.parametrize("written", SAME)
def test_one_place(written: str) -> None:
    """D8: a slash more or less, in front or at the end, is the same place."""
    assert mount_point(written) == "/api"


@pytest.mark.parametrize("written", ["", "/", "//"])
def test_the_whole_site(written: str) -> None:
    """D8: no place in particular is the whole site."""
    assert mount_point(written) == ""
    assert strip_prefix("/x", written) == ("", "/x")


@pytest.mark.parametrize("written", SAME)
@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/api/x", "/x"),
        ("/api", ""),
        ("/api/", "/"),
        ("/apiary", "/apiary"),
        ("/x", "/x"),
        ("/", "/"),
        ("/x/api/y", "/x/api/y"),
    ],
)
def test_strip_prefix(written: str, path: str, rest: str) -> None:
    """D8 W3: a place ends where a segment does; a path that is elsewhere is left whole."""
    assert strip_prefix(path, written) == ("/api", rest)


@pytest.mark.parametrize("written", ["/api/", "api", "api/"])
def test_glued(written: str) -> None:
    """D8: hosts that put a place before the path just as it was written are understood."""
    assert strip_prefix(written + "/x", written) == ("/api", "/x")


@given(st.text("/ab", max_size=6), st.text("/ab", max_size=6))
def test_nothing_is_lost(root: str, rest: str) -> None:
    """D8: what was put together comes apart again, whatever the two are."""
    known, below = mount_point(root), f"/{rest}"
    if not rest.startswith("/"):
        assert strip_prefix(known + below, known) == (known, below)
        assert strip_prefix(known + below, root) == (known, below)


@pytest.mark.parametrize("written", SAME)
def test_everywhere(written: str) -> None:
    """D8: an environ, a scope and a dispatcher tell the place in the same way."""
    scope = {"type": "http", "method": "GET", "path": "/api/x", "root_path": written}
    made = environ_from_scope(scope)
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("/api", "/x")
    told = scope_from_environ(environ(path="/x", SCRIPT_NAME=written))
    assert (told["root_path"], told["path"]) == ("/api", "/api/x")
    (route,) = Dispatcher({"/v1/": made_for_nothing}).routes
    assert route.rebase("/api/v1/x", written) == ("/api/v1/x", "/api/v1")
    assert route.rebase("/v1/x", written) == ("/api/v1/x", "/api/v1")


async def made_for_nothing(scope: object, receive: object, send: object) -> None: ...


@pytest.mark.parametrize(
    ("path", "raw_path", "root", "rest", "raw_rest"),
    [
        ("/a/x", b"/a/x", "/a", "/x", b"/x"),
        ("/a", b"/a", "/a", "/", b"/"),
        ("/a/", b"/a/", "/a", "/", b"/"),
        ("/a/a/x", b"/%61/a%2Fx", "/a", "/a/x", b"/a%2Fx"),
        ("/ü/ü", b"/%C3%BC/%C3%BC", "/ü", "/ü", b"/%C3%BC"),
        ("/a%zz/x", b"/a%zz/x", "/a%zz", "/x", b"/x"),
        ("/a b/x", b"/a%20b/x", "/a b/", "/x", b"/x"),
        ("/a/x", b"/a%2Fx", "/a", "/x", b"/x"),
        ("/x", b"/x", "", "/x", b"/x"),
        ("/a/x", b"/elsewhere", "/a", "/x", b"/elsewhere"),
        ("/a/x", None, "/a", "/x", None),
        ("/apiary", b"/apiary", "/api", "/apiary", b"/apiary"),
        ("*", b"*", "/a", "*", b"*"),
    ],
)
def test_a_path_without_its_root(
    path: str, raw_path: bytes | None, root: str, rest: str, raw_rest: bytes | None
) -> None:
    """D9: what is below the place, decoded and as it was sent."""
    assert without_root(path, raw_path, root) == (rest, raw_rest)


# ------------------------------------------------------------- native text


@pytest.mark.parametrize(
    ("path", "raw_path", "expected"),
    [
        ("/", b"/", b"/"),
        ("/caf\N{LATIN SMALL LETTER E WITH ACUTE}", b"/caf%C3%A9", b"/caf\xc3\xa9"),
        ("/caf\N{LATIN SMALL LETTER E WITH ACUTE}", None, b"/caf\xc3\xa9"),
        ("/caf\N{REPLACEMENT CHARACTER}", b"/caf%E9", b"/caf\xe9"),
        ("/caf\udce9", b"/caf%E9", b"/caf\xe9"),
        ("/caf\udce9", None, b"/caf\xe9"),
        ("/\ud800", None, b"/?"),
        ("/rewritten/\N{SNOWMAN}", b"/as/sent", "/rewritten/\N{SNOWMAN}".encode()),
        ("/caf\N{REPLACEMENT CHARACTER}", b"/caf%E9?q=1", b"/caf\xe9"),
        ("", b"", b""),
    ],
)
def test_path_info(path: str, raw_path: bytes | None, expected: bytes) -> None:
    """W2: PATH_INFO carries the path's bytes; raw_path saves what is no UTF-8, if it agrees."""
    assert split_path(path, raw_path, "")[1].encode("latin-1") == expected


@given(st.binary(max_size=30))
def test_any_bytes_in_a_path(sent: bytes) -> None:
    """W2: any bytes of a path come through, however a host decoded them."""
    sent = b"/" + sent
    raw_path = quote(sent).encode()
    for decoded in (sent.decode("utf-8", "replace"), sent.decode("utf-8", "surrogateescape")):
        assert split_path(decoded, raw_path, "")[1].encode("latin-1") == sent


@pytest.mark.parametrize(
    ("root_path", "path", "script_name", "path_info"),
    [
        ("", "/x", "", "/x"),
        ("/", "/x", "", "/x"),
        ("/sub", "/sub/x", "/sub", "/x"),
        ("/sub", "/sub/", "/sub", "/"),
        ("/sub", "/sub", "/sub", ""),
        ("/sub/", "/sub/x", "/sub", "/x"),
        ("/sub/", "/sub", "/sub", ""),
        ("sub", "/sub/x", "/sub", "/x"),
        ("/sub", "/subway", "/sub", "/subway"),
        ("/sub", "/other", "/sub", "/other"),
        ("/sub", "/", "/sub", "/"),
        ("/sub/deep", "/sub/deep/x/y", "/sub/deep", "/x/y"),
        ("/é", "/é/ü", "/Ã©", "/Ã¼"),
    ],
)
def test_root_path(root_path: str, path: str, script_name: str, path_info: str) -> None:
    """W3: root_path is cut off at a segment boundary only; other paths are passed on whole."""
    assert split_path(path, None, root_path) == (script_name, path_info)


def test_root_path_that_raw_path_lacks() -> None:
    """W2, W3: a host that puts root_path into path only loses no bytes."""
    assert split_path("/é/caf\ufffd", b"/caf%E9", "/é") == ("/Ã©", "/caf\xe9")


def test_native_text() -> None:
    """W2: native text has one character for each byte."""
    assert native_str("é") == "Ã©"
    assert native_str("plain") == "plain"


@pytest.mark.parametrize(
    ("path", "root_path", "prefix", "expected"),
    [
        ("/x", "", "", ("", "/x")),
        ("/x", "/api", "", ("/api", "/x")),
        ("/api/x", "/api", "", ("/api", "/x")),
        ("/m/x", "", "/m", ("/m", "/x")),
        ("/m/x", "/api", "/m", ("/api/m", "/x")),
        ("/m", "/api", "/m", ("/api/m", "")),
        ("*", "/api", "/m", ("/api/m", "")),
        ("/m/\xc3\xa9\xff", "/api", "/m", ("/api/m", "/\xc3\xa9\xff")),
    ],
)
def test_native_paths(path: str, root_path: str, prefix: str, expected: tuple[str, str]) -> None:
    """W2, W3: the same for native text on our server, whether or not a proxy took the root off."""
    assert split_native_path(path, root_path, prefix) == expected


def test_the_server_as_a_whole() -> None:
    """W2: `OPTIONS *` has no path, wherever the app is mounted."""
    assert split_path("*", b"*", "/api") == ("/api", "")
    assert split_path("*", None, "") == ("", "")
