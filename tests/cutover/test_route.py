"""Routes, and what they may be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.cutover.canary.settings import CanarySettings
from bridge.cutover.route import Route, check_routes, unknown_route
from bridge.errors import ConfigError


def test_values_may_be_written_in_several_ways() -> None:
    """M1: one path or several, methods in any case, a share as a number or as text."""
    route = Route("invoices", "/invoices/{id}", methods="get", mode="CANARY", share="5%")
    assert route.paths == ("/invoices/{id}",)
    assert route.methods == {"GET", "HEAD"}
    assert (route.mode, route.share) == ("canary", 5.0)
    assert Route("a", ["/a", "/b"], methods=["POST", "put"]).methods == {"POST", "PUT"}
    assert Route("a", "/a").mode == "old"


@pytest.mark.parametrize(
    ("given", "method", "host", "accepted"),
    [
        ({}, "DELETE", "", True),
        ({"methods": "GET"}, "GET", "", True),
        ({"methods": "GET"}, "HEAD", "", True),
        ({"methods": "GET"}, "POST", "", False),
        ({"methods": "POST"}, "HEAD", "", False),
        ({"host": "Shop.example.com"}, "GET", "shop.EXAMPLE.com:8000", True),
        ({"host": "shop.example.com"}, "GET", "example.com", False),
        ({"host": "*.example.com"}, "GET", "a.b.example.com", True),
        ({"host": "*.example.com"}, "GET", "example.com", False),
        ({"host": "*.example.com"}, "GET", "badexample.com", False),
        ({"methods": "POST", "host": "example.com"}, "GET", "example.com", False),
    ],
)
def test_methods_and_hosts(given: dict[str, Any], method: str, host: str, accepted: bool) -> None:
    """M1: a route may be for some methods and one host only; HEAD goes with GET."""
    assert Route("a", "/a", **given).accepts(method, host) is accepted


def test_a_switched_route_is_another_one() -> None:
    """M3: what is in force is never changed, but replaced; the share stays if none is given."""
    route = Route("a", ["/a", "/b"], methods="GET", host="*.example.com", share=5)
    canary = route.switched("canary")
    assert (canary.mode, canary.share) == ("canary", 5.0)
    assert (canary.paths, canary.methods, canary.host) == (route.paths, route.methods, route.host)
    assert canary.switched("canary", "50").share == 50.0
    assert route.mode == "old"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": ""}, "the name of a route is ''; allowed are letters"),
        ({"name": "my route"}, "the name of a route is 'my route'"),
        ({"name": "-"}, "the name of a route is '-'"),
        ({"name": 3}, "the name of a route is 3"),
        ({"paths": []}, "route a: paths is []; allowed is one text or several"),
        ({"paths": None}, "paths is None"),
        ({"paths": ["/a", 3]}, "paths has 3"),
        ({"paths": "a"}, "route a: the path 'a' is no pattern"),
        ({"methods": "GE T"}, "methods has 'GE T'"),
        ({"methods": [None]}, "methods has None"),
        ({"host": "a:80"}, "host is 'a:80'; allowed is a name, or *.name, without a port"),
        ({"host": "*"}, "host is '*'"),
        ({"host": 3}, "host is 3"),
        ({"mode": "canari"}, "route a: mode is 'canari'; allowed is one of old, shadow, canary"),
        ({"mode": "canari"}, "did you mean canary?"),
        ({"mode": None}, "mode is None"),
        ({"share": 150}, "route a: share is 150; allowed is a number of percent from 0 to 100"),
        ({"share": "many"}, "share is 'many'"),
        ({"share": True}, "share is True"),
        ({"share": float("nan")}, "share is nan"),
        ({"mode": "canary"}, "mode is canary, and share says nothing; say share=5 for 5 %"),
    ],
)
def test_what_cannot_be_right_is_refused(given: dict[str, Any], says: str) -> None:
    """M5: one line says which route it is, what was seen and what is allowed."""
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        Route(**{"name": "a", "paths": "/a", **given})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ([Route("a", "/a"), Route("a", "/b")], "two routes are called a"),
        (["/a"], "routes has '/a'; allowed is Route(name, paths, ...)"),
        (b"/a", "routes is b'/a'; allowed is a list of Route(...), or a file"),
        (None, "routes is None"),
    ],
)
def test_lists_that_are_refused(routes: Any, says: str) -> None:
    """M5: two routes of one name, and what is no route."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        check_routes(routes)


def test_a_name_that_does_not_exist() -> None:
    """M5: the error names what there is, or what was probably meant."""
    routes = [Route("invoices", "/a"), Route("users", "/b")]
    assert str(unknown_route("invoice", routes)).endswith("did you mean invoices?")
    assert str(unknown_route("x", routes)).endswith("there are invoices, users")
    assert str(unknown_route("x", [])).endswith("there are none")


def test_what_is_said_of_a_canary_is_read_with_the_route() -> None:
    """M20-M22: a route without any of it has none; a canary begins with its first step."""
    assert Route("a", "/a").canary is None
    plain = Route("a", "/a", mode="canary", share=5)
    assert plain.canary == CanarySettings()
    gate = {"window": 60, "max_error_points": 1}
    climbing = Route("a", "/a", mode="canary", steps=[1, 100], gate=gate, sticky="header:X-Id")
    assert climbing.share == 1.0
    later = Route("a", "/a", gate=gate, rescue=True)
    assert later.canary == CanarySettings(gate=gate, rescue=True)
    assert later.switched("canary", 5).canary == later.canary


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gate": {"min_requests": 5}}, "route a: a gate has no window"),
        ({"sticky": "ip"}, "route a: sticky is 'ip'"),
        ({"steps": [1, 5]}, "route a: steps is set, and there is no gate"),
    ],
)
def test_what_is_wrong_of_a_canary_names_the_route(given: dict[str, Any], said: str) -> None:
    """M5: one line, whatever the mode is now."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        Route("a", "/a", **given)
