"""Make a `Pattern` of what a framework writes: texts and holes, in a row.

A hole is a parameter with the expression of its converter. Texts and holes need not end at a slash:
``file-<int:id>.txt`` is one segment, and Django joins ``api`` and ``users/`` to ``apiusers/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from bridge.route_tables.patterns.pattern import NOT_EMPTY, Parameter, Part, Pattern, Rest, Text
from bridge.route_tables.patterns.texts import may_cross_slash


@dataclass(frozen=True)
class Hole:
    """A parameter; `regex` is what its converter takes."""

    name: str
    regex: str = "[^/]+"


Token: TypeAlias = str | Hole

#: Expressions that mean the same in our patterns.
_PLAIN_PARAMETERS = frozenset({"[^/]+", "[^/]+?", "[^/]{1,}"})
_PLAIN_RESTS = {".*": "", ".*?": "", ".+": NOT_EMPTY, ".+?": NOT_EMPTY, "[^/].*?": NOT_EMPTY}


def pattern_of(tokens: Iterable[Token], *, optional_slash: bool = False) -> Pattern:
    """Return the pattern of `tokens`, of which the first slash may be left out."""
    segments: list[list[Token]] = [[]]
    for token in tokens:
        if isinstance(token, Hole):
            segments[-1].append(token)
            continue
        first, *others = token.split("/")
        segments[-1].append(first)
        segments.extend([other] for other in others)
    if len(segments) > 1 and not any(segments[0]):
        del segments[0]
    parts = tuple(_part([token for token in each if token]) for each in segments)
    return Pattern(parts, optional_slash)


def _part(tokens: list[Token]) -> Part:
    """Make the part of one segment, or of one whose hole has slashes in it."""
    holes = [token for token in tokens if isinstance(token, Hole)]
    if not holes:
        return Text("".join(map(str, tokens)))
    name = "-".join(hole.name for hole in holes if hole.name) or "..."
    regex = holes[0].regex
    if len(tokens) > 1:
        regex = "".join(_expression(token) for token in tokens)
    if any(may_cross_slash(hole.regex) for hole in holes):
        return Rest(name, _PLAIN_RESTS.get(regex, regex))
    return Parameter(name, "" if regex in _PLAIN_PARAMETERS else regex)


def _expression(token: Token) -> str:
    if isinstance(token, str):
        return re.escape(token)
    return f"(?:{token.regex})" if "|" in token.regex else token.regex


def tokens_of(
    written: str, parameter: re.Pattern[str], hole: Callable[[re.Match[str]], Hole]
) -> Iterator[Token]:
    """Yield the tokens of `written`; `hole` makes one for each match of `parameter`."""
    at = 0
    for found in parameter.finditer(written):
        yield written[at : found.start()]
        yield hole(found)
        at = found.end()
    yield written[at:]


# ------------------------------------------------------------- {braces}: Starlette's, and ours

_BRACES = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?}")

#: The converters that are known without Starlette.
CONVERTERS = {
    "str": "[^/]+",
    "path": ".*",
    "int": "[0-9]+",
    "float": r"[0-9]+(\.[0-9]+)?",
    "uuid": "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}",
}


def parse_braces(written: str, converters: dict[str, str] | None = None) -> Pattern:
    """Return the pattern of ``/invoices/{id}/{rest:path}``; `converters`: name -> expression."""
    known = {**CONVERTERS, **(converters or {})}
    return pattern_of(
        tokens_of(
            written, _BRACES, lambda found: Hole(found[1], known.get(found[2] or "str", ".*"))
        )
    )
