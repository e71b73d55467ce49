"""Patterns from what is written: texts and holes, and paths with braces."""

from __future__ import annotations

import pytest

from bridge.route_tables.patterns.pattern import NOT_EMPTY, Parameter, Pattern, Rest, Text
from bridge.route_tables.patterns.tokens import Hole, Token, parse_braces, pattern_of


@pytest.mark.parametrize(
    ("tokens", "parts"),
    [
        ([""], (Text(""),)),
        (["/"], (Text(""),)),
        (["a/"], (Text("a"), Text(""))),
        (["/a", "b/", "c"], (Text("ab"), Text("c"))),
        (["/", Hole("x")], (Parameter("x"),)),
        (["/", Hole("x", "[0-9]+"), "/"], (Parameter("x", "[0-9]+"), Text(""))),
        (["/f-", Hole("x"), ".txt"], (Parameter("x", r"f\-[^/]+\.txt"),)),
        ([Hole("a", "x|y"), Hole("b", "z")], (Parameter("a-b", "(?:x|y)z"),)),
        ([Hole("", "[a-z]")], (Parameter("...", "[a-z]"),)),
        (["/", Hole("x", ".*")], (Rest("x"),)),
        (["/", Hole("x", "[^/].*?")], (Rest("x", NOT_EMPTY),)),
        (["/v", Hole("x", ".*")], (Rest("x", "v.*"),)),
    ],
)
def test_tokens_to_parts(tokens: list[Token], parts: tuple[object, ...]) -> None:
    """M50: segments end at slashes only, wherever the texts end."""
    assert pattern_of(tokens) == Pattern(parts)  # type: ignore[arg-type]


def test_braces() -> None:
    """M50: as Starlette has them, and those of an app's own converters."""
    assert str(parse_braces("/a/{id:int}/{rest:path}")) == "/a/{id}/{rest:path}"
    assert parse_braces("/{day:date}", {"date": "[0-9]{8}"}).parts == (
        Parameter("day", "[0-9]{8}"),
    )
    assert parse_braces("/{x:unknown}").parts == (Rest("x"),)
