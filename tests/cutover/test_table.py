"""Which route takes a request."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.route import Route
from bridge.cutover.table import Table

ROUTES = (
    Route("home", "/"),
    Route("post", "/invoices/{id}", methods="POST"),
    Route("special", "/invoices/special"),
    Route("invoice", ["/invoices/{id:int}", "/bills/{id}"], methods="GET"),
    Route("shop", "/{page}", host="shop.example.com"),
    Route("tenant", "/{tenant}/invoices"),
    Route("rest", "/invoices/{rest:path}"),
)
TABLE = Table(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "host", "name"),
    [
        ("GET", "/", "", "home"),
        ("POST", "/invoices/special", "", "post"),
        ("GET", "/invoices/special", "", "special"),
        ("GET", "/invoices/7", "", "invoice"),
        ("HEAD", "/invoices/7", "", "invoice"),
        ("PUT", "/invoices/7", "", "rest"),
        ("GET", "/bills/x", "", "invoice"),
        ("POST", "/bills/x", "", None),
        ("GET", "/acme/invoices", "", "tenant"),
        ("GET", "/about", "", None),
        ("GET", "/about", "shop.example.com:80", "shop"),
        ("GET", "/invoices/invoices", "", "tenant"),
        ("GET", "/invoices/", "", "rest"),
        ("GET", "/invoices", "", None),
        ("GET", "/nothing/of/it", "", None),
        ("OPTIONS", "*", "", None),
        ("GET", "//", "", None),
    ],
)
def test_the_first_route_that_fits(method: str, path: str, host: str, name: str | None) -> None:
    """M1: the order of the list decides, among those whose path, method and host fit."""
    found = TABLE.find(path, method, host)
    assert (found.name if found else None) == name


@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    st.lists(st.sampled_from(["invoices", "special", "7", "bills", "x", "", "a b"]), max_size=4),
    st.sampled_from(["", "shop.example.com", "x.example.com"]),
)
def test_the_quick_way_finds_what_the_list_says(method: str, parts: list[str], host: str) -> None:
    """M1: it is the same as asking one route after the other."""
    path = "/" + "/".join(parts)
    slow = next(
        (
            route
            for route in ROUTES
            if any(re.fullmatch(each.regex, path, re.DOTALL) for each in route.patterns)
            and route.accepts(method, host)
        ),
        None,
    )
    assert TABLE.find(path, method, host) is slow


def test_a_table_tells_whether_it_looks_at_hosts_and_finds_names() -> None:
    """M1: a host is only looked up if some route wants one."""
    assert TABLE.uses_host
    assert not Table(ROUTES[:3]).uses_host
    assert TABLE.route("rest") is ROUTES[-1]
    assert TABLE.route("other") is None
    assert Table(()).find("/", "GET") is None
