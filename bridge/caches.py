"""Bounded memory: what was worked out once for a key, kept while there is room for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Name = TypeVar("Name", bytes, str)
Key = TypeVar("Key")
Known = TypeVar("Known")


class Spellings(dict[Name, Known], Generic[Name, Known]):
    """What is known of each header name, by its spelling; bounded, filled as names are seen.

    `learn` is asked once for a spelling and may raise; nothing is kept then. Subscript it: `get`
    costs three times as much on a subclass of dict.
    """

    SIZE = 1024
    LONGEST = 64

    def __init__(self, learn: Callable[[Name], Known]) -> None:
        super().__init__()
        self._learn: Callable[[Name], Known] = learn

    def __missing__(self, name: Name) -> Known:
        known = self._learn(name)
        if len(name) <= self.LONGEST:
            keep(self, name, known, self.SIZE)
        return known


def keep(table: dict[Key, Known], key: Key, known: Known, most: int) -> None:
    """Remember what is known of `key` in a table of at most so many; a full one starts afresh."""
    if len(table) >= most:
        table.clear()
    table[key] = known


class Recurring(dict[tuple[Any, ...], Known], Generic[Known]):
    """What was worked out for a tuple, kept where the tuple comes a second time; bounded.

    `learn` gives what is to be known, and whether it is worth keeping; it may raise. Of tuples that
    came once only the hash is kept here.
    """

    SIZE = 512
    MOST_SEEN = 4096

    def __init__(self, learn: Callable[[tuple[Any, ...]], tuple[Known, bool]]) -> None:
        super().__init__()
        self._learn = learn
        self._seen: set[int] = set()

    def __missing__(self, given: tuple[Any, ...]) -> Known:
        known, worth_keeping = self._learn(given)
        if worth_keeping:
            seen, number = self._seen, hash(given)
            if number in seen:
                keep(self, given, known, self.SIZE)
            elif len(seen) >= self.MOST_SEEN:
                seen.clear()
            seen.add(number)
        return known
