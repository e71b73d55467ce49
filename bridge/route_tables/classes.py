"""Tell an object's class by its name, so that nothing has to be imported for it."""

from __future__ import annotations

import sys
from typing import Any


def is_a(thing: Any, *names: str) -> bool:
    """Whether a class of `thing`, or one of its bases, has one of these names, with its module."""
    return any(name in names for name in class_names(type(thing)))


def class_names(of: type) -> list[str]:
    """Return the names of a class and its bases, with their modules."""
    return [f"{base.__module__}.{base.__qualname__}" for base in of.__mro__]


def loaded(module: str, name: str) -> Any:
    """Return what `name` is in a module; None if the module is not loaded, or has no such name."""
    return getattr(sys.modules.get(module), name, None)


def methods_of(given: Any) -> tuple[str, ...]:
    """Return these methods in order; those that frameworks add by themselves come last."""
    added = ("HEAD", "OPTIONS")
    methods = {str(method).upper() for method in given or ()}
    return (*sorted(methods - set(added)), *(each for each in added if each in methods))
