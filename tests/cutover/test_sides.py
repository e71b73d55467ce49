"""The two apps, and the share of a canary."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.cutover.draw import COOKIE, draw, number_of
from bridge.cutover.route import Route
from bridge.cutover.sides import Choice, StickyShare, mounted
from bridge.dispatcher import Mount
from bridge.errors import ConfigError
from bridge.types import Environ, StartResponse


def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return []


def test_a_side_is_told_as_in_a_dispatcher() -> None:
    """M1: apps of any kind, or a Mount for the kind and the settings."""
    assert mounted("old", app, {}).kind == "wsgi"
    side = mounted("new", Mount(app, "wsgi", settings={"threads": 1}), {})
    assert (side.kind, side.name) == ("wsgi", "the new app")
    with pytest.raises(ConfigError, match="the old app: "):
        mounted("old", object(), {})


@pytest.mark.parametrize("more", [{"when": bool}, {"strip_prefix": True}, {"keep_prefix": False}])
def test_a_side_has_no_prefix(more: dict[str, Any]) -> None:
    """M5: what belongs to prefixes is refused."""
    with pytest.raises(ConfigError, match=re.escape("the old app is a Mount with when")):
        mounted("old", Mount(app, **more), {})


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        ([], None),
        ([(b"cookie", b"a=1; bridge_canary=7.25; b=2")], 7.25),
        ([(b"Cookie", b"bridge_canary=99.99")], 99.99),
        ([(b"cookie", b"bridge_canary=100.00")], None),
        ([(b"cookie", b"bridge_canary=x")], None),
        ([(b"cookie", b"xbridge_canary=1.00")], None),
        ([(b"x-cookie", b"bridge_canary=1.00")], None),
    ],
)
def test_the_number_of_a_client(headers: Any, number: float | None) -> None:
    """M1: a cookie that is wrong is none."""
    assert number_of(headers) == number


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.05, 0.9999999])
def test_what_is_drawn_comes_back(drawn: float) -> None:
    """M1: the number that a client is given is the one that it brings."""
    number, cookie = draw(lambda: drawn)
    assert 0 <= number < 100
    assert cookie.endswith(b"; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")
    assert number_of([(b"cookie", cookie.partition(b";")[0])]) == number


def test_a_client_stays_where_it_is() -> None:
    """M1: below the share is new; a client without a number gets one with its response."""
    share, route = StickyShare(), Route("a", "/a", mode="canary", share=50)
    known = {"headers": [(b"cookie", f"{COOKIE}=49.99".encode())]}
    assert share.choose(route, known) == Choice("new")
    assert share.choose(route.switched("canary", 49), known) == Choice("old")
    assert share.choose(route.switched("canary", 0), {}).side == "old"
    side, field = share.choose(route.switched("canary", 100), {})
    assert side == "new"
    assert field is not None
    assert number_of([(b"cookie", field[1])]) is not None
    share.observe(route, side, 200, 0.1)
