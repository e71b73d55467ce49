"""Things of which each process has its own: a fork takes the memory along, but not its meaning."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ByProcess(Generic[T]):
    """Makes a thing when it is first asked for, in each process anew.

    What a child has inherited (locks that were held, messages that its parent delivers) stays
    where it is, untouched.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """Return this process's own; from any thread. Two that are first may make one too many."""
        pid = os.getpid()
        found = self._made.get(pid)
        return self._made.setdefault(pid, self._make()) if found is None else found
