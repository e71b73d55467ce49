"""What routes take, in one form."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cutover.conflicts.region import Region, common, is_taken, regions_of_route
from bridge.cutover.route import Route


def region(path: str = "/a", **more: Any) -> Region:
    (found,) = regions_of_route(Route("r", path, **more))
    return found


def test_a_route_has_a_region_for_each_path() -> None:
    """M4: a WebSocket is a GET, and goes with no other method."""
    one, two = regions_of_route(
        Route("r", ["/a", "/b/{id}"], methods=["POST", "PUT"], host="x.org")
    )
    assert (one.shown(one.asked), two.shown()) == ("POST,PUT x.org/a", "x.org/b/{id}")
    assert (one.kinds, region().kinds) == (("http",), ("http", "websocket"))
    assert region(methods="GET").asked == ("GET",)
    assert region(methods="HEAD").asked == ("HEAD",)
    assert region().asked == ("",)
    assert Region(one.paths, kinds=("websocket",)).shown(["GET"]) == "WebSocket /a"


@pytest.mark.parametrize(
    ("one", "other", "overlap", "cover"),
    [
        (region("/{x}"), region("/a"), True, True),
        (region("/a"), region("/{x}"), True, False),
        (region("/a/b"), region("/b/b"), False, False),
        (region("/a/{x:int}"), region("/a/b"), False, False),
        (region(host="*.org"), region(host="x.org"), True, True),
        (region(host="y.org"), region(host="x.org"), False, False),
        (region(), region(methods="POST"), True, True),
        (region(methods="POST"), region(), True, True),
    ],
)
def test_two_regions(one: Region, other: Region, overlap: bool, cover: bool) -> None:
    """M4: only what is sure."""
    assert (one.overlaps(other), one.covers(other)) == (overlap, cover)


def test_what_both_take() -> None:
    """M4: the narrower path, with the methods of both; None if that cannot be told."""
    wide, narrow = region("/{x:path}", methods=["GET", "POST"]), region("/a", methods="POST")
    for both in (common(wide, narrow), common(narrow, wide)):
        assert both is not None
        assert both.shown(both.asked) == "POST /a"
    assert common(region("/{x}"), region("/{y}/b")) is None
    assert common(region(methods="PUT"), narrow) is None
    every = common(region("/{x}"), region("/a"))
    assert every is not None
    assert every.asked == ("",)


def test_what_comes_before() -> None:
    """M4: an unknown method is taken by what takes every method only."""
    assert is_taken(region(), "", [region()])
    assert not is_taken(region(), "", [region("/{x}", methods="GET")])
    assert is_taken(region(methods="PUT"), "PUT", [region("/b"), region("/{x}", methods="PUT")])
    assert region(methods="GET").has("")
    assert not region(methods="GET").has("PUT")
