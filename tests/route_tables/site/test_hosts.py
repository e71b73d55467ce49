"""Hosts of routes and mounts."""

from __future__ import annotations

import pytest

from bridge.route_tables.site.hosts import both_hosts, host_covers, hosts_overlap, plain_host


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("", ""),
        ("Example.ORG:8000", "example.org"),
        ("example.org.", "example.org"),
        ("<tenant>.example.org", "*.example.org"),
        ("{tenant}.example.org", "*.example.org"),
        ("www.{name}.org", "www.{name}.org"),
        ("[::1]:80", "[::1]"),
    ],
)
def test_hosts_as_mounts_write_them(written: str, plain: str) -> None:
    """M50: without a port, in lower case; a parameter at the beginning is a wildcard."""
    assert plain_host(written) == plain


@pytest.mark.parametrize(
    ("one", "other", "covered", "common", "both"),
    [
        ("", "a.org", True, True, "a.org"),
        ("a.org", "", False, True, "a.org"),
        ("a.org", "a.org", True, True, "a.org"),
        ("a.org", "b.org", False, False, None),
        ("*.org", "a.org", True, True, "a.org"),
        ("*.org", "org", False, False, None),
        ("*.org", "*.a.org", True, True, "*.a.org"),
        ("*.a.org", "*.org", False, True, "*.a.org"),
        ("www.{x}.org", "www.a.org", False, True, "www.{x}.org"),
    ],
)
def test_two_hosts(one: str, other: str, covered: bool, common: bool, both: str | None) -> None:
    """M50: which one covers the other, and which hosts are of both."""
    assert host_covers(one, other) is covered
    assert hosts_overlap(one, other) is common
    assert both_hosts(one, other) == both
