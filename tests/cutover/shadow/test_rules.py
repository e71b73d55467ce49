"""Rules: what may differ."""

from __future__ import annotations

import pytest

from bridge.cutover.shadow.json_walk import ABSENT, Path
from bridge.cutover.shadow.rules import Rules, parse_rules
from bridge.errors import ConfigError


def one(*texts: str, route: str = "", path: str = "/") -> Rules:
    """The rules for one request."""
    return parse_rules(texts).rules_for(route, path)


@pytest.mark.parametrize(
    ("rule", "path", "covers"),
    [
        ("$.items[*].updated_at", ("items", 3, "updated_at"), True),
        ("$.items[*].updated_at", ("items", 3, "updated_at", "day"), True),
        ("$.items[*].updated_at", ("items", 3), False),
        ("$.items[*].updated_at", ("items", "3", "updated_at"), False),
        ("$.items[3]", ("items", 3, "x"), True),
        ("$.items[3]", ("items", 4), False),
        ("$..id", ("id",), True),
        ("$..id", ("a", 1, "b", "id", "c"), True),
        ("$..id", ("a", "ids"), False),
        ("$..a[*].b", ("a", "a", 1, "b"), True),
        ("$..a..b", ("a", "x", "b"), True),
        ("$..a..b", ("b", "a"), False),
        ("$..[0]", ("a", 0), True),
        ("$.*.name", ("x", "name"), True),
        ("$.*.name", (0, "name"), False),
        ("$..*", (0, "name"), True),
        ('$["odd key"].x', ("odd key", "x"), True),
        ('$["a\\"b"]', ('a"b',), True),
        ("$.snake-key", ("snake-key",), True),
        ("$", ("a",), True),
        ("$", (), True),
    ],
)
def test_paths_name_a_place_and_all_below_it(rule: str, path: Path, covers: bool) -> None:
    """M11: a path in JSON, with wildcards, says what may differ, with all that is in it."""
    assert one(rule).allow_json(path, "value", "a", "b") is covers


def test_numbers_and_nulls() -> None:
    """M11: numbers written otherwise may differ, and a null may be a missing key, not an item."""
    assert one("numbers").allow_json(("a",), "number", b"1", b"1.0")
    assert not one("numbers").allow_json(("a",), "value", b"1", b"2")
    rules = one("null=missing")
    assert rules.allow_json(("a",), "missing", None, ABSENT)
    assert rules.allow_json(("a",), "added", ABSENT, None)
    assert not rules.allow_json(("a", 0), "added", ABSENT, None)
    assert not rules.allow_json(("a",), "added", ABSENT, "x")
    assert not rules.allow_json(("a",), "type", None, "x")
    assert not rules.allow_json((), "type", None, "x")


def test_other_rules() -> None:
    """M11: rules for fields, cookies, statuses, texts and whole bodies."""
    rules = one(
        "header: ETag", "cookie:ab_*", "status:301=302", r"text:/v=\d+/", "body", " numbers "
    )
    assert rules.headers == {"etag"}
    assert rules.allow_cookie("ab_x")
    assert not rules.allow_cookie("x")
    assert rules.statuses == {(301, 302)}
    assert [each.pattern for each in rules.texts] == [r"v=\d+"]
    assert rules.body
    assert rules.numbers


def test_rules_of_a_route_or_path_are_for_it_alone() -> None:
    """M11: a rule may be for one route, or for the paths that a pattern takes."""
    rules = parse_rules(["numbers", "@invoices body", "@/api/* header:location"])
    assert rules.rules_for("invoices", "/") == Rules(numbers=True, body=True)
    assert rules.rules_for("", "/api/x/y") == Rules(numbers=True, headers=frozenset({"location"}))
    assert rules.rules_for("other", "/x") == Rules(numbers=True)
    assert rules.rules_for("other", "/x") is rules.rules_for("more", "/y")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("nonsense", "'nonsense' is no rule for what may differ; allowed are"),
        ("", "'' is no rule"),
        ("header:", "is no rule"),
        ("header:a b", "is no rule"),
        ("cookie:", "is no rule"),
        ("status:301", "is no rule"),
        ("status:301=999", "is no rule"),
        ("text:/(/", "has no regular expression of Python's: missing"),
        ("text:abc", "is no rule"),
        ("$items", r"is no path in JSON, from 'items' on; write it as"),
        ("$.a[x]", r"from '\[x\]' on"),
        ("$.a[-1]", "is no path"),
        ('$["\\x"]', "is no key"),
        ("@invoices", "is no rule; write @ROUTE RULE"),
        ("@ $..id", "is no rule"),
    ],
)
def test_what_is_no_rule_is_said(rule: str, text: str) -> None:
    """M11: a bad rule is an error that says what was seen, and what is allowed."""
    with pytest.raises(ConfigError, match=text):
        parse_rules([rule])


def test_rules_are_a_list_of_texts() -> None:
    """M11: a text alone is not taken for a list of rules, nor a number for a rule."""
    with pytest.raises(ConfigError, match="allowed is a list"):
        parse_rules("numbers")
    with pytest.raises(ConfigError, match="5 is no rule, as it is no text but int"):
        parse_rules([5])  # type: ignore[list-item]
