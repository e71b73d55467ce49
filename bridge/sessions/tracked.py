"""The session that a new app sees: a dict that knows whether it was read or changed (M40)."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any


def _reading(name: str) -> Any:
    """Return a dict's method which notes that the session was read."""

    def method(self: Session, *args: Any) -> Any:
        self.accessed = True
        return getattr(dict, name)(self, *args)

    return method


class Session(dict[str, Any]):
    """A session as Flask's: a dict with `modified`, `accessed` and `permanent`.

    Changes of the dict are noticed. A change within a value (``session["cart"].append(3)``) is not:
    set `modified` to True then, as in Flask.
    """

    #: Whether there is something to write back.
    modified = False
    #: Whether the app has looked at it, so that the response depends on the cookie.
    accessed = False

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser, for ``permanent_session_lifetime``."""
        return bool(self.get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self["_permanent"] = bool(value)

    def mark_accessed(self) -> None:
        """Note that the app looks at it; Starlette calls this for ``request.session``."""
        self.accessed = True

    def _change(self) -> None:
        self.accessed = self.modified = True

    # --------------------------------------------------------- reading

    def __getitem__(self, key: str) -> Any:
        self.accessed = True
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.accessed = True
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self.accessed = True
        return super().__iter__()

    def __len__(self) -> int:
        self.accessed = True
        return super().__len__()

    __reversed__: Any = _reading("__reversed__")
    __eq__: Any = _reading("__eq__")
    __ne__: Any = _reading("__ne__")
    __or__: Any = _reading("__or__")
    __ror__: Any = _reading("__ror__")
    __repr__: Any = _reading("__repr__")

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or `default`."""
        self.accessed = True
        return super().get(key, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return the keys."""
        self.accessed = True
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return the values."""
        self.accessed = True
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return keys with their values."""
        self.accessed = True
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict of it."""
        self.accessed = True
        return dict(super().items())

    # --------------------------------------------------------- changing

    def __setitem__(self, key: str, value: Any) -> None:
        self._change()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._change()
        super().__delitem__(key)

    def __ior__(self, other: Any) -> Session:  # type: ignore[override,misc]
        self._change()
        super().update(other)
        return self

    def clear(self) -> None:
        """Take everything out of it: the client is told to forget the cookie."""
        self._change()
        super().clear()

    def pop(self, key: str, *default: Any) -> Any:
        """Take a value out of it."""
        if key in self:
            self._change()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Take the last value out of it."""
        self._change()
        return super().popitem()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return a value, which is `default` from now on if there was none."""
        if key not in self:
            self._change()
        return super().setdefault(key, default)

    def update(self, *args: Any, **values: Any) -> None:
        """Put values into it."""
        self._change()
        super().update(*args, **values)
