"""Which mount takes a request, as tables: no app, no scope, no server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.http.mounts import MountTable, host_name, parse_mount_key


@dataclass
class Mount:
    """A mount that is nothing but its place."""

    key: str
    when: Callable[[Any], bool] | None = None
    app: Any = "an app"

    def __post_init__(self) -> None:
        self.host, self.prefix = parse_mount_key(self.key)
        self.name = f"app mounted at {self.key}"


def table(*keys: str | Mount) -> MountTable[Mount]:
    return MountTable([key if isinstance(key, Mount) else Mount(key) for key in keys])


def found(mounts: MountTable[Mount], path: str, host: str = "", request: Any = None) -> str | None:
    """The key of the mount that takes a request."""
    mount = mounts.find(path, host, None if request is None else lambda: request)
    return mount.key if mount else None


# ------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("key", "host", "prefix"),
    [
        ("/", "", ""),
        ("/api", "", "/api"),
        ("/api/", "", "/api"),
        ("/a/b", "", "/a/b"),
        ("API.example.com/", "api.example.com", ""),
        ("*.example.com/x/", "*.example.com", "/x"),
        ("[::1]/x", "[::1]", "/x"),
    ],
)
def test_a_key_is_a_host_and_a_prefix(key: str, host: str, prefix: str) -> None:
    """D1 D8: ``/prefix`` or ``host/prefix``; case, and a slash at the end, do not count."""
    assert parse_mount_key(key) == (host, prefix)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (5, "cannot mount at 5: write /prefix, as text"),
        ("api", "cannot mount at 'api': write /prefix, or host.name/prefix"),
        ("example.com:80/", "'example.com:80' is no host name; .* without a port"),
        ("a.*.com/", r"'a\.\*\.com' is no host name"),
        ("example.com./", "no host name"),
    ],
)
def test_a_key_that_is_no_place(key: object, text: str) -> None:
    """D1: the error says what was written, and what to write."""
    with pytest.raises(ConfigError, match=text):
        parse_mount_key(key)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com:8000", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("[::1]:8000", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        (":80", ""),
    ],
)
def test_the_name_in_a_host_field(field: str, name: str) -> None:
    """D1: case, port and the final dot do not count."""
    assert host_name(field) == name


# ------------------------------------------------------------- by prefix


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/", "/"),
        ("", "/"),
        ("*", "/"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/api/x", "/api"),
        ("/apix", "/"),
        ("/ap", "/"),
        ("/api/v2", "/api/v2/"),
        ("/api/v2/x/y", "/api/v2/"),
        ("/api/v20", "/api"),
        ("/api//v2", "/api"),
        ("//api", "/"),
    ],
)
def test_the_longest_prefix_wins_at_segment_boundaries(path: str, key: str) -> None:
    """D1: ``/api`` does not swallow ``/apix``."""
    mounts = table("/", "/api", "/api/v2/")
    assert found(mounts, path) == key
    assert (mounts.uses_host, mounts.uses_request) == (False, False)


def test_a_path_that_nothing_is_mounted_at() -> None:
    """D1: the first and the second time."""
    mounts = table("/api")
    for _ in range(2):
        assert found(mounts, "/") is None
        assert found(mounts, "/apix") is None
        assert found(mounts, "/other/path") is None


KEYS = ["/", "/a", "/a/b", "/ab", "/a//b", "/a/b/cc"]


@given(st.sets(st.sampled_from(KEYS), min_size=1), st.text("/abc", max_size=12))
def test_the_start_of_a_path_decides(keys: set[str], path: str) -> None:
    """D1: as much of a path as the longest prefix, and the slash behind it, tell its mount."""
    mounts = table(*keys)
    assert found(mounts, path[: mounts.deciding]) == found(mounts, path)


def test_a_mount_that_would_never_be_asked() -> None:
    """D1: behind one that takes everything at its prefix, on the same host, is an error."""
    with pytest.raises(ConfigError, match="mounted at /a/ would never be asked: 'an app' takes"):
        table("/a", "/a/")
    assert found(table("/a", "example.com/a"), "/a", "example.com") == "example.com/a"


# ------------------------------------------------------------- by host


@pytest.mark.parametrize(
    ("host", "path", "key"),
    [
        ("api.example.com", "/", "api.example.com/"),
        ("API.EXAMPLE.COM:8000", "/x", "api.example.com/"),
        ("www.example.com", "/", "*.example.com/"),
        ("a.b.example.com", "/x", "*.b.example.com/x"),
        ("a.b.example.com", "/", "*.example.com/"),
        ("example.com", "/x", "/x"),
        ("badexample.com", "/", "/"),
        ("", "/", "/"),
        ("a." * 30_000 + "example.com", "/", "/"),
    ],
)
def test_a_name_goes_before_a_wildcard_before_every_host(host: str, path: str, key: str) -> None:
    """D1: longer wildcards go before shorter ones; a name that is too long is nobody's."""
    mounts = table("/", "/x", "api.example.com/", "*.example.com/", "*.b.example.com/x")
    assert found(mounts, path, host) == key
    assert mounts.uses_host


def test_a_host_that_nothing_is_mounted_for() -> None:
    """D1: mounts of other hosts do not count."""
    assert found(table("one.example.com/x"), "/x", "two.example.com") is None


# ------------------------------------------------------------- by request


def test_predicates_are_asked_in_order() -> None:
    """D1: the next mount at the prefix if one says no, then shorter prefixes."""
    mounts = table(
        Mount("/x", when=lambda request: request == "first"),
        Mount("/x", when=lambda request: request == "second", app="second"),
        "/",
    )
    assert mounts.uses_request
    taken = [mounts.find("/x/y", "", lambda said=said: said) for said in ("first", "second", "no")]
    assert [(mount.key, mount.app) for mount in taken if mount] == [
        ("/x", "an app"),
        ("/x", "second"),
        ("/", "an app"),
    ]
    assert found(mounts, "/x/y") == "/", "without a request no predicate holds"


def test_the_request_is_made_only_for_predicates() -> None:
    """D1: paths that no mount with a predicate is at cost no request."""

    def request() -> Any:
        raise AssertionError("made for nothing")

    mounts = table(Mount("/x", when=bool), "/")
    found_here = mounts.find("/y", "", request)
    assert found_here is not None
    assert found_here.key == "/"
