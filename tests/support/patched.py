"""The greenlet patch, made for a block of a test and taken back after it.

The product never takes it back. Here the standard library is compared before and after, and what
was changed is put back, so that other tests in the process run without.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import bridge
from bridge.runners.patching import patch

_namespace = vars(ModuleType)["__dict__"].__get__
_attributes = vars(type)["__dict__"].__get__
_MISSING: Any = object()


@contextmanager
def patched() -> Iterator[None]:
    """The patch is made within the block, wherever it was not before."""
    if patch._patched:
        yield
        return
    before = _snapshot()
    bridge.greenlet_patch()
    changes = [*_changes(before, _snapshot())]
    try:
        yield
    finally:
        for holder, name, value in changes:
            _put_back(holder, name, value)
        patch._patched = False


def _snapshot() -> dict[int, tuple[Any, dict[str, Any]]]:
    """What all modules, their classes and the defaults of functions have, by holder."""
    seen: dict[int, tuple[Any, dict[str, Any]]] = {}
    for name, module in [*sys.modules.items()]:
        if issubclass(type(module), ModuleType) and name.partition(".")[0] != "bridge":
            seen[id(module)] = module, dict(_namespace(module))
            for value in [*_namespace(module).values()]:
                _note(value, seen)
    return seen


def _note(value: Any, seen: dict[int, tuple[Any, dict[str, Any]]]) -> None:
    if id(value) in seen:
        return
    if type(value) is FunctionType:
        named = value.__kwdefaults__
        seen[id(value)] = value, {"__defaults__": value.__defaults__, **(named or {})}
    elif issubclass(type(value), type) and value.__flags__ & (1 << 9):  # a heap type
        seen[id(value)] = value, dict(_attributes(value))
        for attribute in [*_attributes(value).values()]:
            if type(attribute) is FunctionType:
                _note(attribute, seen)


def _changes(before: Any, after: Any) -> Iterator[tuple[Any, str, Any]]:
    for key, (holder, old) in before.items():
        new = after[key][1] if key in after else old
        for name in {*old, *new}:
            if old.get(name, _MISSING) is not new.get(name, _MISSING):
                yield holder, name, old.get(name, _MISSING)


def _put_back(holder: Any, name: str, value: Any) -> None:
    if type(holder) is FunctionType:
        if name == "__defaults__":
            holder.__defaults__ = value
        else:
            assert holder.__kwdefaults__ is not None
            holder.__kwdefaults__[name] = value
    elif isinstance(holder, type):
        if value is _MISSING:
            type.__delattr__(holder, name)
        else:
            type.__setattr__(holder, name, value)
    elif value is _MISSING:
        _namespace(holder).pop(name, None)
    else:
        _namespace(holder)[name] = value
