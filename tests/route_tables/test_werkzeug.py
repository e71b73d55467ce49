"""Rules of a map of Werkzeug's: their order, their paths, their hosts."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import BaseConverter, Map, RequestRedirect, Rule

from bridge.route_tables import covers, read_table
from bridge.route_tables.patterns.pattern import Pattern, literal
from bridge.route_tables.werkzeug import host_of_rule, pattern_of_rule, rules_in_order

PATHS = [
    "/" + "/".join(each)
    for count in (1, 2, 3)
    for each in product(("", "a", "7", "a-7", "static"), repeat=count)
    if "" not in each[:-1]
]

RULES = [
    "/",
    "/<path:rest>",
    "/<name>",
    "/<int:id>",
    "/a",
    "/a/",
    "/static/<path:file>",
    "/<any(a, static):word>/<int:id>",
    "/<path:rest>/a",
    "/<name>-<int:id>",
    "/<string(length=1):one>/7",
    "/a/<name>/<int:id>/",
]


def test_the_first_that_matches_is_the_one_of_the_map() -> None:
    """M50: in the order of the map, whatever the order in which rules were added."""
    for rules in (RULES, RULES[::-1], RULES[5:] + RULES[:5]):
        url_map = Map([Rule(each, endpoint=each, merge_slashes=False) for each in rules])
        url_map.merge_slashes = False
        in_order = [(rule.endpoint, pattern_of_rule(rule)) for rule in rules_in_order(url_map)]
        for path in PATHS:
            found = next((name for name, each in in_order if each.matches(path)), None)
            try:
                expected, _ = url_map.bind("host").match(path)
            except RequestRedirect:
                continue  # to the same path with a slash
            except HTTPException:
                expected = None
            assert found == expected, path


@pytest.mark.parametrize(
    ("written", "matched", "others"),
    [
        ("/a/", ["/a", "/a/"], ["/a/b"]),
        ("/a", ["/a", "/a/"], ["/b"]),
        ("/", ["/"], ["/a"]),
        ("/<int:id>", ["/7", "/7/"], ["/a"]),
    ],
)
def test_slashes_that_make_no_difference(
    written: str, matched: list[str], others: list[str]
) -> None:
    """M50: rules that are not strict take a path with and without a slash at its end."""
    (rule,) = Map([Rule(written, endpoint="x", strict_slashes=False)]).iter_rules()
    assert all(pattern_of_rule(rule).matches(path) for path in matched)
    assert not any(pattern_of_rule(rule).matches(path) for path in others)


def test_converters_of_the_app() -> None:
    """M50: their expressions count."""

    class Day(BaseConverter):
        regex = r"\d{8}"

    url_map = Map([Rule("/<day:day>", endpoint="x")], converters={"day": Day})
    (rule,) = url_map.iter_rules()
    assert pattern_of_rule(rule).matches("/20260101")
    assert not pattern_of_rule(rule).matches("/2026")


def test_hosts_of_rules() -> None:
    """M50: a host, or a subdomain of the name of the server."""
    by_host = Map([Rule("/", endpoint="x", host="<tenant>.example.org")], host_matching=True)
    assert [host_of_rule(rule, None) for rule in by_host.iter_rules()] == ["<tenant>.example.org"]
    by_subdomain = Map([Rule("/", endpoint="x", subdomain="api"), Rule("/a", endpoint="y")])
    hosts = {rule.endpoint: host_of_rule(rule, "example.org") for rule in by_subdomain.iter_rules()}
    assert hosts == {"x": "api.example.org", "y": ""}
    assert host_of_rule(next(by_subdomain.iter_rules("x")), None) == "api.*"


def test_rules_that_only_build_are_none() -> None:
    """M50: they match nothing."""
    url_map = Map([Rule("/a", endpoint="x", build_only=True), Rule("/b", endpoint="y")])
    assert [rule.endpoint for rule in rules_in_order(url_map)] == ["y"]


def test_a_dispatcher_middleware() -> None:
    """M50: its longest mount is asked first, its own app at last."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return []

    table = read_table(DispatcherMiddleware(app, {"/a": app, "/a/b": app, "": app}))
    paths: list[Pattern] = [entry.path for entry in table.entries]
    assert paths == [literal("/a/b"), literal("/a"), Pattern(()), Pattern(())]
    assert covers(paths[0].and_below(), literal("/a/b/c"))
