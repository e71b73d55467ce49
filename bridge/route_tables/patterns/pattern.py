"""Paths that a route answers, in one form for all frameworks; and how two of them stand (M50, M4).

A `Pattern` is a row of parts, one for each segment between slashes: a `Text`, a `Parameter` that is
one segment, or a `Rest` that is any number of them. ``/`` is one empty segment, and so is what
follows a slash at the end.

`covers` is true only if it is sure, `overlaps` false only if that is sure: an expression that
cannot be taken apart is compared as a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeAlias

from bridge.route_tables.patterns.texts import takes, texts_of

#: The expression of a `Rest` that takes all but the empty text.
NOT_EMPTY: Final = ".+"


@dataclass(frozen=True)
class Text:
    """A segment that is written out."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Parameter:
    """One segment, not empty; `regex`: what of it is taken, ``""`` for all."""

    name: str
    regex: str = ""

    def __str__(self) -> str:
        return f"{{{self.name}}}"


@dataclass(frozen=True)
class Rest:
    """Any number of segments, at least `least`; `regex`: what they are, with slashes between."""

    name: str
    regex: str = ""
    least: int = 1

    def __str__(self) -> str:
        return f"{{{self.name}:path}}" if self.name else "*"


Part: TypeAlias = Text | Parameter | Rest


@dataclass(frozen=True)
class Pattern:
    """A path with parameters; `optional_slash`: a slash at the end makes no difference."""

    parts: tuple[Part, ...]
    optional_slash: bool = False

    def __str__(self) -> str:
        return "".join(f"/{part}" for part in self.parts) or "/"

    def below(self, prefix: Pattern) -> Pattern:
        """Return this pattern of an app that is mounted at `prefix`."""
        return replace(self, parts=prefix.parts + self.parts)

    def and_below(self) -> Pattern:
        """Return the pattern of this place and of everything below it."""
        return Pattern((*self.parts, Rest("", least=0)))

    def matches(self, path: str) -> bool:
        """Whether the route answers this path."""
        return covers(self, literal(path))

    @property
    def first(self) -> str | None:
        """Return the first segment if it is written out; else None."""
        part = self.parts[0] if self.parts else None
        return part.text if isinstance(part, Text) else None


def literal(path: str) -> Pattern:
    """Return the pattern of this path alone."""
    return Pattern(tuple(Text(segment) for segment in path.removeprefix("/").split("/")))


#: Every path there is.
EVERYTHING: Final = Pattern((Rest("", least=0),))


def covers(one: Pattern, other: Pattern) -> bool:
    """Whether each path of `other` is surely a path of `one`, too."""
    return all(
        any(_covers(mine.parts, theirs.parts) for mine in _each(one)) for theirs in _each(other)
    )


def overlaps(one: Pattern, other: Pattern) -> bool:
    """Whether there may be a path of both; False if there surely is none."""
    return any(
        _overlaps(mine.parts, theirs.parts) for mine in _each(one) for theirs in _each(other)
    )


def _each(pattern: Pattern) -> Iterator[Pattern]:
    """Yield the pattern, without the slash at the end and with it if that is optional."""
    yield pattern
    if pattern.optional_slash:
        yield Pattern((*pattern.parts, Text("")))


# ------------------------------------------------------------- row against row


@lru_cache(4096)
def _covers(one: tuple[Part, ...], other: tuple[Part, ...]) -> bool:
    if not one:
        return not other
    first = one[0]
    if isinstance(first, Rest):
        return any(
            _rest_covers(first, other[:end]) and _covers(one[1:], other[end:])
            for end in range(len(other), -1, -1)
        )
    return bool(other) and _part_covers(first, other[0]) and _covers(one[1:], other[1:])


def _rest_covers(rest: Rest, parts: tuple[Part, ...]) -> bool:
    if _fewest(parts) < rest.least:
        return False
    if not rest.regex or parts == (replace(rest, name=_name(parts)),):
        return True
    if rest.regex == NOT_EMPTY:
        return _fewest(parts) > 1 or (len(parts) == 1 and _never_empty(parts[0]))
    texts = [part.text for part in parts if isinstance(part, Text)]
    return len(texts) == len(parts) and takes(rest.regex, "/".join(texts))


def _fewest(parts: tuple[Part, ...]) -> int:
    return sum(part.least if isinstance(part, Rest) else 1 for part in parts)


def _name(parts: tuple[Part, ...]) -> str:
    return parts[0].name if parts and isinstance(parts[0], Rest) else ""


def _never_empty(part: Part) -> bool:
    if isinstance(part, Rest):
        return part.regex == NOT_EMPTY
    return isinstance(part, Parameter) or part.text != ""


def _part_covers(one: Text | Parameter, other: Part) -> bool:
    if isinstance(other, Rest) or isinstance(one, Text):
        return one == other
    if isinstance(other, Text):
        return takes(one.regex, other.text) if one.regex else other.text != ""
    if not one.regex or one.regex == other.regex:
        return True
    mine, theirs = texts_of(one.regex), texts_of(other.regex or "[^/]+")
    return mine is not None and theirs is not None and theirs.within(mine)


#: What is left of a rest that has taken a segment: more of them, of any kind.
_LOOSE: Final = Rest("", least=0)


@lru_cache(4096)
def _overlaps(one: tuple[Part, ...], other: tuple[Part, ...]) -> bool:
    if not (one and other):
        return all(isinstance(part, Rest) and not part.least for part in one or other)
    if isinstance(one[0], Rest) and isinstance(other[0], Rest):  # one of them ends first
        return _overlaps(one[1:], (_LOOSE, *other[1:])) or _overlaps((_LOOSE, *one[1:]), other[1:])
    if isinstance(other[0], Rest):
        one, other = other, one
    if isinstance(one[0], Rest):
        if len(one) == 1 and _all_text(other):
            return _rest_covers(one[0], other)
        return _overlaps((_LOOSE, *one[1:]), other[1:]) or _overlaps(one[1:], other)
    return _parts_overlap(one[0], other[0]) and _overlaps(one[1:], other[1:])


def _all_text(parts: tuple[Part, ...]) -> bool:
    return all(isinstance(part, Text) for part in parts)


def _parts_overlap(one: Part, other: Part) -> bool:
    if isinstance(one, Text):
        one, other = other, one
    if isinstance(one, Text) or isinstance(other, Text):
        return not isinstance(one, Rest) and _part_covers(one, other)
    mine, theirs = texts_of(one.regex or "[^/]+"), texts_of(other.regex or "[^/]+")
    return mine is None or theirs is None or not mine.apart(theirs)
