"""Things of which each process has its own: a fork takes the memory along, but not its meaning."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from bridge.loops.waiters import unpatched

T = TypeVar("T")


class ByProcess(Generic[T]):
    """Makes a thing when it is first asked for, in each process anew.

    What a child has inherited (locks that were held, messages that its parent delivers) stays
    where it is, untouched.
    """

    __slots__ = ("__weakref__", "_inherited", "_lock", "_made", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        #: What processes before this one have made.
        self._inherited: list[T | None] = []
        self._lock = unpatched("allocate_lock")()
        _ALL.add(self)

    def get(self) -> T:
        """Return this process's own; from any thread."""
        made = self._made  # asking for the process each time would cost more than all the rest
        return self._first() if made is None else made

    def _first(self) -> T:
        with self._lock:
            made = self._made = self._make() if self._made is None else self._made
            return made

    def forked(self) -> None:
        """In a child: leave what is the parent's."""
        self._inherited.append(self._made)
        self._made = None
        self._lock = unpatched("allocate_lock")()


_ALL: WeakSet[ByProcess[Any]] = WeakSet()


def _forked() -> None:
    for each in [*_ALL]:
        each.forked()


os.register_at_fork(after_in_child=_forked)
