"""The mount rule (D8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asgi.scope import scope_from_environ
from bridge.dispatcher import Dispatcher
from bridge.http.paths import place, strip_prefix, without_root
from bridge.wsgi.environ import environ_from_scope
from tests.adapters.asgi_on_wsgi.direct import environ

SAME = ["/api", "/api/", "api", "api/", "//api//"]


@pytest.mark.parametrize("written", SAME)
def test_one_place(written: str) -> None:
    """D8: a slash more or less, in front or at the end, is the same place."""
    assert place(written) == "/api"


@pytest.mark.parametrize("written", ["", "/", "//"])
def test_the_whole_site(written: str) -> None:
    """D8: no place in particular is the whole site."""
    assert place(written) == ""
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
    known, below = place(root), f"/{rest}"
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
    assert route.shift("/api/v1/x", written) == ("/api/v1/x", "/api/v1")
    assert route.shift("/v1/x", written) == ("/api/v1/x", "/api/v1")


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
