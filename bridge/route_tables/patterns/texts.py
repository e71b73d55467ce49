"""What texts a regular expression takes, as far as that can be told without running an app.

A converter's expression is mostly plain: ``[0-9]+``, ``[-a-zA-Z0-9_]+``, that of a UUID. Of these
the characters, the lengths and what must occur are known, so two of them can be compared. Of any
other expression nothing is claimed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

#: Stand for all characters: ASCII, and one each of letters, digits and signs beyond it.
_SAMPLES = "".join(map(chr, range(128))) + "é٣€中"

_ATOM = re.compile(
    r"""(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\[dDwWsS]|\\[^a-zA-Z0-9]|\.|[^\\\[\](){}*+?.|^$])
    (?P<times>[*+?]|\{\d+(?:,\d*)?\})?\??""",
    re.VERBOSE,
)
_TIMES = {"": (1, 1), "?": (0, 1), "*": (0, None), "+": (1, None)}


@dataclass(frozen=True)
class Texts:
    """The texts that an expression takes, at most: of these characters, as long as that."""

    characters: frozenset[str]
    #: Each of them is in every text.
    needed: frozenset[str]
    shortest: int
    longest: int | None
    #: Whether it takes all texts of these characters and lengths.
    all: bool

    def within(self, other: Texts) -> bool:
        """Whether each of these texts is surely one of `other`."""
        return (
            other.all
            and self.characters <= other.characters
            and self.shortest >= other.shortest
            and (other.longest is None or (self.longest or other.longest + 1) <= other.longest)
        )

    def apart(self, other: Texts) -> bool:
        """Whether surely no text is one of both."""
        return self._misses(other) or other._misses(self)

    def _misses(self, other: Texts) -> bool:
        too_short = self.longest is not None and self.longest < other.shortest
        no_common = self.shortest > 0 and not self.characters & other.characters
        return too_short or no_common or not self.needed <= other.characters


@lru_cache(512)
def texts_of(regex: str) -> Texts | None:
    """Return what `regex` takes; None if it is not plain enough to tell."""
    characters: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    shortest, longest, atoms, at = 0, 0, 0, 0
    endless = False
    while at < len(regex):
        found = _ATOM.match(regex, at)
        if found is None:
            return None
        taken = _characters(found["atom"])
        least, most = _times(found["times"] or "")
        characters |= taken
        if len(taken) == 1 and least:
            needed |= taken
        shortest += least
        endless = endless or most is None
        longest += most or 0
        atoms, at = atoms + 1, found.end()
    return Texts(characters, needed, shortest, None if endless else longest, atoms == 1)


def _characters(atom: str) -> frozenset[str]:
    try:
        compiled = re.compile(atom)
    except re.error:
        return frozenset(_SAMPLES)
    return frozenset(each for each in _SAMPLES if compiled.fullmatch(each))


def _times(written: str) -> tuple[int, int | None]:
    if written in _TIMES:
        return _TIMES[written]
    least, comma, most = written.strip("{}").partition(",")
    if not comma:
        return int(least), int(least)
    return int(least), int(most) if most else None


_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")


@lru_cache(512)
def may_cross_slash(regex: str) -> bool:
    """Whether `regex` may take a text with a slash in it."""
    for found in _CLASS.findall(regex):
        if "/" in _characters(found):
            return True
    outside = _CLASS.sub("", regex)
    if re.search(r"\\[DWS]", outside):
        return True
    return bool(re.search(r"[./]", re.sub(r"\\[^/]", "", outside)))


@lru_cache(2048)
def takes(regex: str, text: str) -> bool:
    """Whether `regex` takes the whole of `text`; an expression that is none takes nothing."""
    try:
        return re.fullmatch(regex, text, re.DOTALL) is not None
    except re.error:
        return False
