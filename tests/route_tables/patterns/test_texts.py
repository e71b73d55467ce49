"""Expressions: what is known of the texts that they take."""

from __future__ import annotations

import pytest

from bridge.route_tables.patterns.texts import may_cross_slash, takes, texts_of

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def test_what_is_known_of_an_expression() -> None:
    """M50: its characters, its lengths, and what must be in it."""
    known = texts_of(UUID)
    assert known is not None
    assert (known.shortest, known.longest) == (36, 36)
    assert known.needed == {"-"}
    assert not known.all
    digits = texts_of(r"\d+")
    assert digits is not None
    assert digits.characters >= set("0123456789٣")
    assert (digits.shortest, digits.longest, digits.all) == (1, None, True)
    assert texts_of("[a-z]{2,}") == texts_of("[a-z]{2,}?")
    assert texts_of("x?") is not None
    assert texts_of("(?:a|b)") is None
    assert texts_of("[z-a]") is not None  # no expression at all: it may be anything


@pytest.mark.parametrize(
    ("one", "other", "within", "apart"),
    [
        ("[0-9]{4}", "[0-9]+", True, False),
        ("[0-9]+", "[0-9]{4}", False, False),
        ("[0-9]{4}", "[0-9]{2,8}", True, False),
        ("[0-9]{3}", "[0-9]{4}", False, True),
        ("[0-9]+", "[a-z]+", False, True),
        ("[0-9]*", "[a-z]*", False, False),
        (UUID, "[-a-z0-9]+", True, False),
        (UUID, "[a-z0-9]+", False, True),
    ],
)
def test_two_expressions(one: str, other: str, within: bool, apart: bool) -> None:
    """M50: whether the texts of one are all of another's, or none."""
    first, second = texts_of(one), texts_of(other)
    assert first is not None
    assert second is not None
    assert first.within(second) is within
    assert first.apart(second) is second.apart(first) is apart


@pytest.mark.parametrize(
    ("regex", "crosses"),
    [
        (".*", True),
        ("[^/]+", False),
        ("[^.]+", True),
        ("[a-z]+", False),
        ("[+-9]", True),
        (r"\d+\.\d+", False),
        (r"\S+", True),
        (r"[0-9]+(\.[0-9]+)?", False),
        ("(?:a/b|c)", True),
        (r"a\/b", True),
    ],
)
def test_expressions_with_slashes(regex: str, crosses: bool) -> None:
    """M50: an expression that may take a slash is no single segment."""
    assert may_cross_slash(regex) is crosses


def test_expressions_that_are_none() -> None:
    """M50: they take nothing, and raise nothing."""
    assert takes("[a-z]+", "abc")
    assert not takes("[a-z]+", "abc1")
    assert not takes("(", "(")
