"""Patterns: what they match, which covers which, and which have a path in common."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.route_tables.patterns.pattern import (
    EVERYTHING,
    NOT_EMPTY,
    Parameter,
    Part,
    Pattern,
    Rest,
    Text,
    covers,
    literal,
    overlaps,
)
from bridge.route_tables.patterns.tokens import parse_braces as braces


@pytest.mark.parametrize(
    ("written", "matched", "others"),
    [
        ("/", ["/"], ["/a", "//"]),
        ("/a", ["/a"], ["/a/", "/b", "/"]),
        ("/a/", ["/a/"], ["/a"]),
        ("/{id}", ["/7", "/x"], ["/", "/7/", "/7/8"]),
        ("/{id:int}", ["/7"], ["/x", "/-7"]),
        ("/files/{path:path}", ["/files/", "/files/a", "/files/a/b/"], ["/files"]),
        ("/{path:path}/edit", ["/a/edit", "/a/b/edit"], ["/edit", "/a/b"]),
        ("/v{major}.{minor}", ["/v1.2"], ["/v1", "/1.2"]),
    ],
)
def test_paths_that_match(written: str, matched: list[str], others: list[str]) -> None:
    """M50: a parameter is one segment that is not empty, a rest is any number of them."""
    pattern = braces(written)
    assert [path for path in matched if not pattern.matches(path)] == []
    assert [path for path in others if pattern.matches(path)] == []


@pytest.mark.parametrize(
    ("one", "other", "one_covers", "other_covers", "common"),
    [
        ("/users", "/users", True, True, True),
        ("/users", "/items", False, False, False),
        ("/users", "/users/", False, False, False),
        ("/{name}", "/users", True, False, True),
        ("/{name}", "/{number:int}", True, False, True),
        ("/{a}", "/{b}", True, True, True),
        ("/{a:int}", "/{b:uuid}", False, False, True),
        ("/{a:int}", "/users", False, False, False),
        ("/a/{x}", "/{y}/b", False, False, True),
        ("/a/{x}", "/b/{y}", False, False, False),
        ("/a/{rest:path}", "/a/b/{c}/d", True, False, True),
        ("/a/{rest:path}", "/a", False, False, False),
        ("/{rest:path}", "/a/{more:path}", True, False, True),
        ("/{rest:path}/edit", "/a/{x}/edit", True, False, True),
        ("/{rest:path}/edit", "/a/{x}/show", False, False, False),
        ("/{rest:path}/edit", "/{more:path}/x/edit", True, False, True),
        ("/{a:float}", "/{b:float}", True, True, True),
    ],
)
def test_two_patterns(
    one: str, other: str, one_covers: bool, other_covers: bool, common: bool
) -> None:
    """M50: which of two patterns covers the other, and whether they overlap."""
    first, second = braces(one), braces(other)
    assert covers(first, second) is one_covers
    assert covers(second, first) is other_covers
    assert overlaps(first, second) is overlaps(second, first) is common


def test_expressions_of_parameters() -> None:
    """M50: those that are plain are compared; of any other only the same one is covered."""

    def one(regex: str) -> Pattern:
        return Pattern((Parameter("x", regex),))

    slug, digits, year = one("[-a-zA-Z0-9_]+"), one("[0-9]+"), one("[0-9]{4}")
    assert covers(slug, digits)
    assert covers(digits, year)
    assert not covers(year, digits)
    assert not covers(digits, one(""))
    assert not overlaps(one("[a-z]+"), digits)
    assert not overlaps(one("[0-9]{3}"), year)
    odd = one("(?:a|b)+")
    assert covers(odd, odd)
    assert not covers(odd, one("(?:a|c)+"))
    assert overlaps(odd, one("(?:c|d)"))  # it is not known that they do not
    assert not overlaps(odd, literal("/c"))


def test_expressions_of_rests() -> None:
    """M50: one that may not be empty, and one that is an expression of the app's."""

    def rest(regex: str) -> Pattern:
        return Pattern((Text("a"), Rest("x", regex)))

    some = rest(NOT_EMPTY)
    assert not some.matches("/a/")
    assert some.matches("/a/b/c")
    assert covers(rest(""), some)
    assert not covers(some, rest(""))
    assert covers(some, rest(NOT_EMPTY))
    assert covers(some, braces("/a/{x}"))
    assert covers(some, braces("/a/{x}/{rest:path}"))
    odd = rest("(?:b|c)/.*")
    assert odd.matches("/a/b/x/y")
    assert not odd.matches("/a/d/x")
    assert covers(odd, Pattern((Text("a"), Rest("other name", "(?:b|c)/.*"))))
    assert not covers(odd, braces("/a/b/{x}"))  # it is so, but nothing here is sure of it


def test_a_place_and_what_is_below_it() -> None:
    """M50: a mount takes its own path, and all below it; routes of its app get its prefix."""
    mount = literal("/api").and_below()
    assert str(mount) == "/api/*"
    assert [path for path in ("/api", "/api/", "/api/a/b") if not mount.matches(path)] == []
    assert not mount.matches("/apiary")
    assert str(braces("/users/{id}").below(literal("/api"))) == "/api/users/{id}"
    assert covers(mount, braces("/users/{id}").below(literal("/api")))
    assert covers(EVERYTHING, mount)
    assert str(Pattern(())) == "/"
    assert literal("/api").first == "api"
    assert EVERYTHING.first is Pattern(()).first is None


def test_a_slash_that_makes_no_difference() -> None:
    """M50: with it, and without it; both must be covered."""
    either = Pattern((Text("a"),), optional_slash=True)
    assert either.matches("/a")
    assert either.matches("/a/")
    assert covers(either, braces("/a/"))
    assert not covers(braces("/a"), either)
    assert covers(literal("/a").and_below(), either)
    assert overlaps(either, braces("/a/"))


_PARTS: st.SearchStrategy[Part] = st.sampled_from(
    [
        *map(Text, ("", "a", "1")),
        Parameter("p"),
        Parameter("n", "[0-9]+"),
        Parameter("o", "(?:a|1)"),
        Rest("r"),
        Rest("s", NOT_EMPTY),
        Rest("t", "a/.*"),
        Rest("u", least=0),
    ]
)
_PATTERNS = st.builds(Pattern, st.lists(_PARTS, min_size=1, max_size=3).map(tuple), st.booleans())
_PATHS = [
    "/" + "/".join(segments)
    for segments in [
        *([a] for a in ("", "a", "1", "b")),
        *([a, b] for a in ("", "a", "1", "b") for b in ("", "a", "1", "b")),
        *([a, b, c] for a in ("", "a", "1") for b in ("", "a", "b") for c in ("", "a", "1")),
    ]
]


@settings(max_examples=300, deadline=None)
@given(_PATTERNS, _PATTERNS)
def test_what_is_told_is_sure(one: Pattern, other: Pattern) -> None:
    """M50: whatever the patterns, no path says otherwise."""
    mine = {path for path in _PATHS if one.matches(path)}
    theirs = {path for path in _PATHS if other.matches(path)}
    if covers(one, other):
        assert theirs <= mine
    if not overlaps(one, other):
        assert not theirs & mine
