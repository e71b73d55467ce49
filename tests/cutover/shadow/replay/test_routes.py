"""The routes of a cutover in a recording."""

from __future__ import annotations

from bridge.cutover.route import Route
from bridge.cutover.shadow.records import RecordedRequest
from bridge.cutover.shadow.replay.routes import route_finder


def test_routes_take_what_they_take_of_a_server() -> None:
    """M13: path, decoded, and method and host say which route a recorded request is of."""
    find = route_finder(
        [
            Route("items", ["/items", "/items/{id:int}"], methods="GET"),
            Route("spaced", "/a b"),
            Route("api", "/{rest:path}", host="api.example"),
        ]
    )
    host = (("host", "api.example:8000"),)
    for request, name in (
        (RecordedRequest("GET", "/items/7", "page=2"), "items"),
        (RecordedRequest("HEAD", "/items"), "items"),
        (RecordedRequest("POST", "/items"), None),
        (RecordedRequest("GET", "/items/x"), None),
        (RecordedRequest("GET", "/a%20b"), "spaced"),
        (RecordedRequest("POST", "/items", headers=host), "api"),
    ):
        assert find(request) == name
