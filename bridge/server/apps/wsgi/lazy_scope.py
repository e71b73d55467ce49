"""``asgi.scope`` in an environ (W10), made at the first look.

Hardly any WSGI app looks, and a scope costs an eighth of the shortest request.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, Protocol

from bridge.types import Scope


class ScopeFactory(Protocol):
    """Makes the scope of an exchange; its handler does."""

    def build_scope(self, exchange: Any) -> Scope:
        """Make the scope of the request of `exchange`."""


class ScopeOwner(Protocol):
    """An exchange."""

    @property
    def handler(self) -> ScopeFactory:
        """What answers it."""


#: What every scope of a WSGI app's request has.
_TYPE: Final = {"type": "http"}


class LazyScope(dict[str, Any]):
    """A scope that is made at the first look, whatever way that look takes.

    In every other respect it is a dict, and what is made of it is one: a copy, a pickle, a union.
    `lazy_scope` makes it, never empty. Everything that Python's own C code asks a dict for goes
    through the methods of a subclass, but for one thing: `json` looks whether it is empty.
    """

    __slots__ = ("_exchange",)
    #: Whose scope it is; None once the scope is made.
    _exchange: ScopeOwner | None

    def fill(self) -> None:
        """Make the scope, unless that was done."""
        exchange = self._exchange
        if exchange is not None:
            dict.update(self, exchange.handler.build_scope(exchange))
            self._exchange = None

    def __missing__(self, key: str) -> Any:
        """Look up a key that is not there: not yet, or not at all."""
        if self._exchange is None:
            raise KeyError(key)
        self.fill()
        return self[key]

    def copy(self) -> Scope:
        """Make an ordinary dict of it."""
        self.fill()
        return dict.copy(self)

    def __reduce_ex__(self, _: object) -> tuple[Any, ...]:
        """Make ordinary dicts of copies and pickles."""
        return dict, (self.copy(),)


def lazy_scope(exchange: ScopeOwner) -> LazyScope:
    """Give the scope of `exchange`, which is not made yet.

    A function, for an ``__init__`` in Python would cost every request three times as much.
    """
    scope = LazyScope(_TYPE)
    scope._exchange = exchange
    return scope


#: Methods of dict that need no scope: if a key is not there, `__missing__` makes the scope.
_NEED_NO_SCOPE = frozenset(
    {"__getitem__", "__new__", "__init__", "__getattribute__", "__class_getitem__", "fromkeys"}
)


def _after_fill(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method of dict fill first: its own scope, and one that it is compared with."""

    @functools.wraps(method)
    def filled(self: LazyScope, *args: Any, **kwargs: Any) -> Any:
        self.fill()
        for other in args:
            if type(other) is LazyScope:
                other.fill()
        return method(self, *args, **kwargs)

    return filled


for _name, _method in vars(dict).items():
    if callable(_method) and _name not in {*vars(LazyScope), *_NEED_NO_SCOPE}:
        setattr(LazyScope, _name, _after_fill(_method))
