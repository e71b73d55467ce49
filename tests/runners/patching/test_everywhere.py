"""Objects replaced wherever loaded modules have them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from bridge.runners.patching.everywhere import replace_everywhere

OLD = {}.get  # any object written in C


def new(*args: Any) -> str:
    """The replacement."""
    return "new"


@pytest.fixture
def module() -> Iterator[Any]:
    """A module that has the old one in many places."""
    made = ModuleType("tests.a_module")
    exec(
        "name = OLD\n"
        "class Class:\n"
        "    attribute = OLD\n"
        "    static = staticmethod(OLD)\n"
        "    kind = KIND\n"
        "    def method(self, get=OLD): return get\n"
        "def function(other, get=OLD, *, named=OLD, more=1): return get, named, more\n"
        "def plain(other=1, *, named=2): return other, named\n",
        {"OLD": OLD, "KIND": frozenset, "__name__": made.__name__},
        made.__dict__,
    )
    made.__dict__["__name__"] = made.__name__
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_everywhere(module: Any) -> None:
    """G6: names of modules, attributes of classes and defaults of functions are replaced."""
    replace_everywhere([(OLD, new), (frozenset, set)])
    assert module.name is new
    thing = module.Class()
    assert thing.attribute(1) == "new", "and is no method"
    assert thing.static() == "new"
    assert module.Class.static is new
    assert module.Class.kind is set
    assert thing.method() is new
    assert module.function(1) == (new, new, 1)
    assert module.plain() == (1, 2)
    replace_everywhere([(set, frozenset)])


def test_our_own_are_left_alone(module: Any) -> None:
    """G6: modules of ours keep the originals."""
    sys.modules["bridge.a_module"] = sys.modules[module.__name__]
    try:
        del sys.modules[module.__name__]
        replace_everywhere([(OLD, new)])
        assert module.name is OLD
    finally:
        sys.modules[module.__name__] = sys.modules.pop("bridge.a_module")


def test_odd_modules(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: what stands among the modules may be nothing, or anything."""

    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

    lazy = Lazy("lazy")
    ModuleType.__dict__["__dict__"].__get__(lazy)["name"] = OLD
    monkeypatch.setitem(sys.modules, "nothing", None)
    monkeypatch.setitem(sys.modules, "object", object())
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    replace_everywhere([(OLD, new)])
    assert ModuleType.__dict__["__dict__"].__get__(lazy)["name"] is new
    monkeypatch.undo()
