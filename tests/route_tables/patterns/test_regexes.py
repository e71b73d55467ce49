"""Routes that are regular expressions, taken apart."""

from __future__ import annotations

import pytest

from bridge.route_tables.patterns.pattern import Parameter, Pattern, Rest, Text
from bridge.route_tables.patterns.regexes import tokens_of_regex
from bridge.route_tables.patterns.tokens import pattern_of


def pattern(regex: str, *, is_end: bool = True) -> Pattern:
    """The pattern of a route of Django that is `regex`."""
    tokens, optional = tokens_of_regex(regex, is_end=is_end)
    return pattern_of(tokens, optional_slash=optional)


@pytest.mark.parametrize(
    ("regex", "parts"),
    [
        (r"^$", (Text(""),)),
        (r"^about/$", (Text("about"), Text(""))),
        (r"\Aabout\Z", (Text("about"),)),
        (r"^a\.b\-c\/d$", (Text("a.b-c"), Text("d"))),
        (r"^(?P<year>[0-9]{4})/$", (Parameter("year", "[0-9]{4}"), Text(""))),
        (r"^(\d+)/x$", (Parameter("...", r"\d+"), Text("x"))),
        (r"^\d+/x$", (Parameter("...", r"\d+"), Text("x"))),
        (r"^(?P<word>[\w-]+)x?$", (Parameter("word", r"[\w-]+x?"),)),
        (r"^(?P<rest>.*)$", (Rest("rest"),)),
        (r"^api/", (Text("api"), Rest("..."))),
        (r"^(?P<x>a)?b$", (Parameter("x", "(?:a)?b"),)),
        (r"^([)(a]|\)/)$", (Rest("...", r"[)(a]|\)/"),)),
    ],
)
def test_what_can_be_taken_apart(regex: str, parts: tuple[object, ...]) -> None:
    """M50: it has the same parts as a path with converters."""
    assert pattern(regex).parts == parts


@pytest.mark.parametrize(
    ("regex", "matched", "others"),
    [
        (r"^(?!api/).*$", ["/about", "/a/b"], ["/api/x"]),
        (r"^foo|bar$", ["/foo", "/bar"], ["/baz"]),
        (r"users\.json$", ["/users.json", "/x/users.json"], ["/users.xml"]),
        (r"^a\Gb$", [], ["/c"]),
        (r"^a[b$", [], ["/c"]),
        (r"^a(b$", [], ["/c"]),
        ("^a\\", [], ["/c"]),
        (r"^(?P<a>x)(?P=a)$", ["/xx"], ["/xy"]),
    ],
)
def test_what_cannot_be_taken_apart(regex: str, matched: list[str], others: list[str]) -> None:
    """M50: it matches as it is, and if it is no expression it matches nothing."""
    read = pattern(regex)
    assert [path for path in matched if not read.matches(path)] == []
    assert [path for path in others if read.matches(path)] == []


def test_prefixes_and_optional_slashes() -> None:
    """M50: after a prefix nothing is missing; `/?` at the end makes no difference."""
    assert pattern(r"^api/", is_end=False).parts == (Text("api"), Text(""))
    either = pattern(r"^users\.(?P<format>[a-z]+)/?$")
    assert either.optional_slash
    assert either.matches("/users.json")
    assert either.matches("/users.json/")
    assert not either.matches("/users.json/x")
