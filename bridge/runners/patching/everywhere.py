"""Objects replaced wherever a loaded module has them.

``from time import sleep`` gives a module a name of its own for a function. So it is not enough to
change `time`: all modules are looked through, with the attributes of their classes and the defaults
of their functions. Our own are left alone; they keep the originals on purpose.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any, Final

# Modules and classes are asked in a way that calls no code of theirs: some load at the first look.
_namespace: Final[Any] = vars(ModuleType)["__dict__"].__get__
_attributes: Final[Any] = vars(type)["__dict__"].__get__


def replace_everywhere(pairs: Iterable[tuple[object, object]]) -> None:
    """Replace objects, given with their replacements, in all modules but those of `bridge`."""
    pairs = [*pairs]  # keeps the originals, and so their ids
    replacements = {id(original): replacement for original, replacement in pairs}
    modules: list[tuple[str, Any]] = [*sys.modules.items()]
    for name, module in modules:
        if issubclass(type(module), ModuleType) and name.partition(".")[0] != "bridge":
            _replace_in_module(_namespace(module), replacements)


def _replace_in_module(names: dict[str, Any], replacements: dict[int, object]) -> None:
    home = names.get("__name__")
    for name, value in [*names.items()]:
        if id(value) in replacements:
            names[name] = replacements[id(value)]
        elif type(value) is FunctionType:
            _replace_in_defaults(value, replacements)
        elif issubclass(type(value), type) and _attributes(value).get("__module__") == home:
            _replace_in_class(value, replacements)


def _replace_in_class(owner: type, replacements: dict[int, object]) -> None:
    for name, value in [*_attributes(owner).items()]:
        if type(value) is FunctionType:
            _replace_in_defaults(value, replacements)
            continue
        function = value.__func__ if type(value) is staticmethod else value
        if id(function) in replacements:
            replacement = replacements[id(function)]
            if type(value) is staticmethod or isinstance(replacement, FunctionType):
                # A function in C is no method of the class whose attribute it is.
                replacement = staticmethod(replacement)  # type: ignore[arg-type]
            type.__setattr__(owner, name, replacement)


def _replace_in_defaults(function: FunctionType, replacements: dict[int, object]) -> None:
    defaults = function.__defaults__
    if defaults and any(id(value) in replacements for value in defaults):
        function.__defaults__ = tuple(replacements.get(id(value), value) for value in defaults)
    named = function.__kwdefaults__
    if named:
        for name, value in named.items():
            if id(value) in replacements:
                named[name] = replacements[id(value)]
