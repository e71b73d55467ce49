"""Bounded memory: what was worked out once for a key, kept while there is room for it.

Everything that is remembered from one request to the next is in one of these, whatever the key:
names of header fields, whole heads, paths. So nothing that a client or an app chooses can fill the
memory. A table that is full is emptied before the next key, since no order of use is kept: that
would cost more on each look than the table saves.

Look up by subscript, which is as fast as on a plain dict; or by ``get``, on hot paths taken from
the table once and kept beside it: CPython calls a method of a subclass of dict more slowly.
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
        #: The most keys that it holds.
        self.size = size

    def store(self, key: Key, value: Value) -> None:
        """Remember `value`; a table that is full starts afresh."""
        if len(self) >= self.size:
            self.clear()
        self[key] = value


class Memo(BoundedDict[Key, Value]):
    """What `compute` gives for a key, worked out at the first subscript.

    `compute` may raise; nothing is kept then. `cacheable` is asked whether a pair of key and value
    is worth keeping, and is not a secret.
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


class SecondHitMemo(Memo[Key, Value]):
    """A `Memo` that keeps a value when its key comes a second time.

    For keys that are large and often unique: of those that came once only the hash is kept.
    """

    __slots__ = ("_seen", "last", "max_seen")

    def __init__(
        self,
        compute: Callable[[Key], Value],
        cacheable: Callable[[Key, Value], bool],
        first: Key,
        size: int = 512,
        max_seen: int = 4096,
    ) -> None:
        super().__init__(compute, cacheable, size)
        self._seen: set[int] = set()
        #: The most hashes that are kept.
        self.max_seen = max_seen
        #: The value of the last look-up that was worth keeping, for callers that compare before
        #: they look up, and set it; that of the key `first` until then.
        self.last: Value = compute(first)

    def __missing__(self, key: Key) -> Value:
        value = self._compute(key)
        if self._cacheable(key, value):
            seen, number = self._seen, hash(key)
            if number in seen:
                self.store(key, value)
            elif len(seen) >= self.max_seen:
                seen.clear()
            seen.add(number)
        return value


def key_up_to(length: int) -> Callable[[Any, object], bool]:
    """A `cacheable` for keys of so many characters or bytes; longer ones hardly come again."""
    return lambda key, _: len(key) <= length


def always(key: object, value: object) -> bool:
    """A `cacheable` for keys that are few, and short by nature."""
    return True
