"""Heads compared."""

from __future__ import annotations

import pytest

from bridge.cutover.shadow.heads import compare_heads
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse, as_fields
from bridge.cutover.shadow.rules import parse_rules

REQUEST = RecordedRequest("GET", "/items/3", "", (("host", "shop.example"),))


def response(*fields: tuple[str, str], status: int = 200, error: str | None = None):
    """A response without a body."""
    return RecordedResponse(status, as_fields(fields), error=error)


def told(old: RecordedResponse, new: RecordedResponse, *rules: str, more: tuple[str, ...] = ()):
    """What differs, for people."""
    these = parse_rules(rules).rules_for("", "/")
    return [str(each) for each in compare_heads(REQUEST, old, new, these, more)]


def test_the_status() -> None:
    """M11: statuses are compared, but for a pair that a rule names, in this order."""
    old, new = response(status=301), response(status=302)
    assert told(old, new) == ["status: 301 -> 302"]
    assert told(old, new, "status:301=302") == []
    assert told(new, old, "status:301=302") == ["status: 302 -> 301"]


def test_a_side_without_a_response() -> None:
    """M11: an app that raises differs from one that answers; two that raise alike are alike."""
    broken = response(status=0, error="ValueError")
    assert told(response(), broken) == ["error: 200 -> ValueError"]
    assert told(broken, broken) == []


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("text/html; charset=utf-8", "Text/HTML;charset=UTF8", []),
        ("text/html", "text/html; charset=utf-8",
         ["header:content-type: text/html -> text/html; charset=utf-8"]),
        ("application/json", "application/json; charset=utf-8", []),
        ("application/json", "application/problem+json",
         ["header:content-type: application/json -> application/problem+json"]),
        ("multipart/form-data; boundary=a", "multipart/form-data; boundary=b", []),
        ("text/html", None, ["header:content-type: text/html -> nothing"]),
        (None, "text/html", ["header:content-type: nothing -> text/html"]),
    ],
)  # fmt: skip
def test_content_type(old: str | None, new: str | None, difference: list[str]) -> None:
    """M11: of Content-Type the media type and the charset are compared."""
    sides = [response(*([("Content-Type", value)] if value else [])) for value in (old, new)]
    assert told(*sides) == difference
    assert told(*sides, "header:Content-Type") == []


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("/items/", "http://shop.example/items/", True),
        ("http://SHOP.example:80/a", "//shop.example/a", True),
        ("../a", "/a", True),
        ("4", "/items/4", True),
        ("http://shop.example", "/", True),
        ("/items/", "/items", False),
        ("https://shop.example/", "/", False),
        ("http://[", "/", False),
    ],
)
def test_location(old: str, new: str, same: bool) -> None:
    """M11: Location is compared as a client of the request understands it."""
    found = told(response(("Location", old)), response(("Location", new)))
    assert (found == []) is same
    assert told(response(("Location", old)), response(), "header:location") == []


def test_a_slash_is_told_with_both_addresses() -> None:
    """M11: a redirect's slash is a difference; secrets in addresses are not shown."""
    old, new = response(("Location", "/a/?token=x")), response(("Location", "/a?token=x"))
    (difference,) = told(old, new)
    assert difference == (
        "header:location: http://shop.example/a/?token=*** -> http://shop.example/a?token=***"
    )


def cookies(*values: str) -> RecordedResponse:
    """A response that sets these cookies."""
    return response(*(("Set-Cookie", value) for value in values))


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("a=1; Path=/", "a=2; path=/", []),
        ("a=1; HttpOnly", "a=1", ["cookie:a httponly: yes -> no"]),
        ("a=1; SameSite=Lax", "a=1; samesite=lax", []),
        ("a=1", "a=1; SameSite=None", ["cookie:a samesite: not set -> none"]),
        ("a=1; Path=/a", "a=1; Path=/A", ["cookie:a path: /a -> /A"]),
        ("a=1; Domain=.x.example", "a=1; Domain=X.example", []),
        ("a=1; Max-Age=60", "a=1", ["cookie:a lasts: yes -> for the session"]),
        ("a=1; Max-Age=60; Expires=Fri, 27 Nov 2026 08:00:00 GMT", "a=1; Max-Age=60", []),
        ("a=1; Max-Age=60", "a=1; Max-Age=61", ["cookie:a max-age: 60 -> 61"]),
        ("a=; Max-Age=0", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", []),
        ("a=; Expires=Thu, 01-Jan-70 00:00:00 GMT", "a=; Max-Age=-1", []),
        ("a=1", "b=1", ["cookie:a: set -> nothing", "cookie:b: nothing -> set"]),
    ],
)
def test_cookies(old: str, new: str, difference: list[str]) -> None:
    """M11: of cookies the names and attributes are compared, never their values."""
    assert told(cookies(old), cookies(new)) == difference
    assert told(cookies(old), cookies(new), "cookie:*") == []
    assert told(cookies(old), cookies(new), "header:set-cookie") == []


def test_more_fields_can_be_compared() -> None:
    """M11: other fields are compared if they are named; secrets in them are not shown."""
    old, new = response(("Cache-Control", "no-store")), response(("X-Token", "abc"))
    assert told(old, new) == []
    assert told(old, new, more=("cache-control", "x-token", "location")) == [
        "header:cache-control: no-store -> nothing",
        "header:x-token: nothing -> ***",
    ]
    assert told(old, new, "header:cache-control", more=("cache-control",)) == []
