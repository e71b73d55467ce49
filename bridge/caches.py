"""Bounded caches: results that were computed for a key, and are used again.

Everything that is kept from one request to the next is in one of these, whatever the key: names of
header fields, whole heads, paths. So nothing that a client or an app chooses can fill the memory. A
full cache is cleared before the next key is stored. It keeps no order of use (LRU), because that
would cost more at each look-up than the cache saves.

Look up by subscript, which is as fast as on a plain dict; or by ``get``. On hot paths take the
bound ``get`` from the cache once and keep it: CPython calls methods of dict subclasses more slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(dict[Key, Value]):
    """A dict of at most `size` keys, as long as `store` alone adds to it."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        super().__init__()
        #: The most keys.
        self.size = size

    def store(self, key: Key, value: Value) -> None:
        """Store `value`; a full dict is cleared first."""
        if len(self) >= self.size:
            self.clear()
        self[key] = value


class Memo(BoundedDict[Key, Value]):
    """A cache of what `compute` returns for a key, filled by the first subscript.

    If `compute` raises, nothing is stored. `cacheable` says whether a key and its value are worth
    storing, and not secret.
    """

    __slots__ = ("_cacheable", "_compute")

    def __init__(
        self,
        compute: Callable[[Key], Value],
        cacheable: Callable[[Key, Value], bool],
        size: int = 1024,
    ) -> None:
        super().__init__(size)
        self._compute: Callable[[Key], Value] = compute
        self._cacheable: Callable[[Key, Value], bool] = cacheable

    def __missing__(self, key: Key) -> Value:
        value = self._compute(key)
        if self._cacheable(key, value):
            if len(self) >= self.size:
                self.clear()
            self[key] = value  # `store`, without a call
        return value


def key_up_to(length: int) -> Callable[[Any, object], bool]:
    """Return a `cacheable` for keys of at most `length`; longer ones rarely come again."""
    return lambda key, _: len(key) <= length


def always(key: object, value: object) -> bool:
    """Return True: a `cacheable` for keys that are few and short."""
    return True
