"""What apps are called: as they were named at the command line, or as a module's attribute."""

from __future__ import annotations

import sys
import sysconfig
from importlib import import_module
from types import ModuleType
from typing import Any

from bridge.arguments.kinds import KINDS
from bridge.dispatcher import Dispatcher
from bridge.server.apps.loading import DEFAULT_NAMES
from bridge.server.config.config import Config
from bridge.types import ASGIApp


class Names:
    """Names of apps: `root` is that of the whole app."""

    def __init__(self, config: Config, app: ASGIApp) -> None:
        self.root = config.app if isinstance(config.app, str) else ""
        self._named: dict[int, str] = {}
        if config.mount and isinstance(app, Dispatcher):
            self.root = "the mounts"
            for mount, mounted in zip(config.mount, app.routes, strict=False):
                self._named.setdefault(id(mounted.app), _target(mount))
        elif config.cutover is not None:
            self.root = str(config.cutover)
            plan = import_module("bridge.cutover.settings_file").read_plan(config.cutover)
            for side, mounted in getattr(app, "sides", {}).items():
                self._named.setdefault(id(mounted.app), _without_kind(plan.apps[side]))
        self._of_modules: dict[int, str] | None = None

    def name_of(self, app: Any) -> str:
        """Return the name of an app, ``module:attr``; empty if it has none."""
        if id(app) in self._named:
            return self._named[id(app)]
        if self._of_modules is None:
            self._of_modules = _module_names()
        return self._of_modules.get(id(app), "")


def _target(mount: str) -> str:
    """Return what a ``--mount`` names: ``old:app`` of ``/old=wsgi:old:app``."""
    return _without_kind(mount.partition("=")[2])


def _without_kind(target: str) -> str:
    kind, _, name = target.partition(":")
    return name if kind in KINDS and ":" in name else target


def _module_names() -> dict[int, str]:
    """Return what modules of the app's own call callables, each by its likeliest name.

    Others import an app from the module that has made it. A function or a class knows that one. An
    object's mostly calls it ``app``, is not below the others in a package, and is loaded after
    those that import it.
    """
    best: dict[int, tuple[tuple[bool, bool, int, int], str]] = {}
    modules: list[tuple[str, Any]] = list(sys.modules.items())
    for order, (name, module) in enumerate(modules):
        if not isinstance(module, ModuleType) or not _is_of_app(module):
            continue
        for attribute, value in list(vars(module).items()):
            if callable(value) and not attribute.startswith("__"):
                elsewhere = getattr(value, "__module__", None) != name
                rank = (elsewhere, attribute not in DEFAULT_NAMES, name.count("."), -order)
                known = best.get(id(value))
                if known is None or rank < known[0]:
                    best[id(value)] = rank, f"{name}:{attribute}"
    return {app: name for app, (_, name) in best.items()}


def _is_of_app(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and not file.startswith(_LIBRARIES)


#: Where the modules of libraries are.
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
