"""``asgi.scope`` in an environ (W10), made when somebody first looks.

Hardly any WSGI app does, and to make a scope costs an eighth of the shortest request.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from bridge.types import Scope


class ScopeFactory(Protocol):
    """What can make the scope of an exchange: its handler."""

    def build_scope(self, exchange: Any) -> Scope:
        """The scope of the request of `exchange`."""


class HasScope(Protocol):
    """An exchange."""

    @property
    def handler(self) -> ScopeFactory:
        """What answers it."""


class LazyScope(dict[str, Any]):
    """A scope that is made at the first look, whatever way that look takes.

    In every other respect it is a dict, and what is made of it is one: a copy, a pickle, a union.
    It is made with `SEED`. Everything that Python's own C code asks a dict for goes through the
    methods of a subclass, but for one thing: `json` looks whether there is anything in it at all.
    """

    __slots__ = ("exchange",)
    #: Whose scope it is: set it right after making the object; None once the scope is made.
    exchange: HasScope | None

    def fill(self) -> None:
        """Make the scope, unless that was done."""
        exchange = self.exchange
        if exchange is not None:
            dict.update(self, exchange.handler.build_scope(exchange))
            self.exchange = None

    def __missing__(self, key: str) -> Any:
        """A key that is not there: not yet, or not at all."""
        if self.exchange is None:
            raise KeyError(key)
        self.fill()
        return self[key]

    def copy(self) -> Scope:
        """An ordinary dict of it."""
        self.fill()
        return dict.copy(self)

    def __reduce_ex__(self, _: object) -> tuple[Any, ...]:
        """Copies and pickles are ordinary dicts."""
        return dict, (self.copy(),)


#: What every scope of a WSGI app's request has.
SEED = {"type": "http"}

#: What works on a scope that is not made yet: `__missing__` makes it.
_AS_THEY_ARE = frozenset(
    {"__getitem__", "__new__", "__init__", "__getattribute__", "__class_getitem__", "fromkeys"}
)


def _filling(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of dict that fills first: its own scope, and one that it is compared with."""

    @functools.wraps(method)
    def filled(self: LazyScope, *args: Any, **kwargs: Any) -> Any:
        self.fill()
        for other in args:
            if type(other) is LazyScope:
                other.fill()
        return method(self, *args, **kwargs)

    return filled


for _name, _method in vars(dict).items():
    if callable(_method) and _name not in {*vars(LazyScope), *_AS_THEY_ARE}:
        setattr(LazyScope, _name, _filling(_method))
