"""Requests and responses as data."""

from __future__ import annotations

from bridge.cutover.shadow.records import (
    RecordedRequest,
    all_of,
    as_fields,
    fields_from,
    first,
)


def test_fields_are_text_in_lower_case() -> None:
    """M11: names of fields are in lower case, values keep each byte."""
    assert fields_from([(b"X-Name", b"caf\xe9")]) == (("x-name", "caf\xe9"),)
    fields = as_fields([("Set-Cookie", "a=1"), ("set-cookie", "b=2")])
    assert first(fields, "set-cookie") == "a=1"
    assert first(fields, "etag") is None
    assert all_of(fields, "set-cookie") == ["a=1", "b=2"]


def test_a_request_knows_its_target_and_its_host() -> None:
    """M11: a request has its target, and where relative addresses in its response begin."""
    request = RecordedRequest("GET", "/a", "b=1", (("host", "shop.example"),), scheme="https")
    assert (request.target, request.base) == ("/a?b=1", "https://shop.example")
    assert (RecordedRequest("GET", "/").target, RecordedRequest("GET", "/").base) == (
        "/",
        "http://localhost",
    )
