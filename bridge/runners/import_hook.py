"""Changes of a module when it is imported, before anybody else sees it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # it loads tempfile and zipfile, 1 MB
    Loader = MetaPathFinder = object

#: Called with the module when its code has run. It must not raise: the import would fail.
Change: TypeAlias = Callable[[ModuleType], None]

#: The changes of modules, by their names.
_changes: dict[str, list[Change]] = {}


def when_imported(name: str, change: Change) -> None:
    """Have `change` called when the module `name` is imported; harmless if said before."""
    changes = _changes.setdefault(name, [])
    if change not in changes:
        changes.append(change)
    if not any(isinstance(finder, _ImportHook) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ImportHook())


class _ImportHook(MetaPathFinder):
    """Finds the modules of `_changes` as other finders do, with a loader that changes them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """importlib: where the module is; None leaves that to other finders."""
        if name not in _changes:
            return None
        for finder in sys.meta_path:
            find = None if isinstance(finder, _ImportHook) else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ChangingLoader(spec.loader)
                return spec
        return None


class _ChangingLoader(Loader):
    """A loader that changes a module when its code has run."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """importlib: the module, still empty."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """importlib: run the module's code."""
        self._loader.exec_module(module)
        for change in _changes[module.__name__]:
            change(module)
