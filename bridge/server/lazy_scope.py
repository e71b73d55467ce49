"""``asgi.scope`` in an environ (W10), made when somebody first looks.

Hardly any WSGI app does, and to make a scope costs more than the rest of the environ.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, Protocol

from bridge.types import Scope


class Maker(Protocol):
    """What knows how to make the scope: an exchange."""

    def make_scope(self) -> Scope:
        """The scope of the request."""


class LazyScope(dict[str, Any]):
    """A scope that `maker` makes at the first look, whatever way that look takes."""

    __slots__ = ("maker",)
    __hash__ = None
    #: Set it right after making the object; None once the scope is made.
    maker: Maker | None

    def _fill(self) -> None:
        maker, self.maker = self.maker, None
        if maker is not None:
            self.update(maker.make_scope())

    def __missing__(self, key: str) -> Any:
        """A key that is not there: not yet, or not at all."""
        if self.maker is None:
            raise KeyError(key)
        self._fill()
        return self[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        self._fill()
        return super().__iter__()

    def __len__(self) -> int:
        """How many keys there are."""
        self._fill()
        return super().__len__()

    def __contains__(self, key: object) -> bool:
        """Whether the scope has `key`."""
        self._fill()
        return super().__contains__(key)

    def __eq__(self, other: object) -> bool:
        """Compare as dicts do."""
        self._fill()
        return super().__eq__(other)

    def __repr__(self) -> str:
        """Show as dicts do."""
        self._fill()
        return super().__repr__()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default`."""
        self._fill()
        return super().get(key, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """The keys."""
        self._fill()
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """The values."""
        self._fill()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """The pairs."""
        self._fill()
        return super().items()

    def copy(self) -> Scope:
        """An ordinary dict of it."""
        self._fill()
        return dict(super().items())
