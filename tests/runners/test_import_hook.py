"""Changes of modules that are imported later."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bridge.runners import import_hook
from bridge.runners.import_hook import when_imported

NAME = "changed_when_imported"


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The module is on the path, and what is imported of it is noted."""
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
    monkeypatch.setattr(import_hook, "_changes", {})
    seen: list[Any] = []

    def change(module: ModuleType) -> None:
        seen.append(module.value)
        module.value = 2  # type: ignore[attr-defined]

    when_imported(NAME, change)
    when_imported(NAME, change)
    yield seen
    sys.modules.pop(NAME, None)


def test_changed_before_anybody_sees_it(changed: list[Any]) -> None:
    """W51, G6: a module is changed once, when its code has run, and by all who want that."""
    when_imported(NAME, lambda module: changed.append(vars(module)["value"]))
    assert importlib.import_module(NAME).value == 2
    assert changed == [1, 2]
    assert sum(isinstance(each, import_hook._ImportHook) for each in sys.meta_path) == 1


# Python 3.11 says of a finder that it is of the older kind.
@pytest.mark.filterwarnings("ignore:.*falling back to find_module:ImportWarning")
def test_the_hook_hides_nothing_of_a_module(
    changed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """W51: tools find a module's source through its loader; what nobody finds is not there."""
    spec: Any = importlib.util.find_spec(NAME)
    assert spec.loader.get_source(NAME) == "value = 1\n"

    class Namespace:
        """A finder that knows of a folder only."""

        @staticmethod
        def find_spec(name: str, path: Any, target: Any = None) -> ModuleSpec:
            return ModuleSpec(name, None)

    class Older:
        """A finder of the kind that Python 3.11 still asks, and that finds nothing."""

        @staticmethod
        def find_module(name: str, path: Any) -> None:
            return None

    hooks = [each for each in sys.meta_path if isinstance(each, import_hook._ImportHook)]
    monkeypatch.setattr(sys, "meta_path", [*hooks, Namespace])
    assert importlib.util.find_spec(NAME).loader is None  # type: ignore[union-attr]
    monkeypatch.setattr(sys, "meta_path", [*hooks, Older])
    assert importlib.util.find_spec(NAME) is None
