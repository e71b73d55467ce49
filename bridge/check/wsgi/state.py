"""What a request leaves behind in its thread: values in `threading.local` of the app's modules.

All must be called in the thread that has run the request: the values of others cannot be seen.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from bridge.check.findings import Findings
from bridge.check.places import place_of_name
from bridge.loops.watchdog.stack import Place

#: Attributes that show a connection to a database or another server.
_CONNECTION: Final = ("cursor", "commit", "execute_command", "sendall")
_CONTAINERS: Final = (list, dict, set, tuple, str)


class ThreadState:
    """Watches the `threading.local` objects that the app's modules, and their classes, hold."""

    def __init__(self, modules: Sequence[ModuleType], findings: Findings) -> None:
        self._findings = findings
        self._locals = list(_locals(modules))
        self._sessions = list(_sessions(modules))
        #: What is there before the first request, by thread.
        self._before: dict[tuple[int, int], dict[str, Any]] = {}

    def before(self) -> None:
        """Note what is there; call it before the first request of a thread."""
        ident = threading.get_ident()
        for _, local, _ in self._locals:
            self._before.setdefault((ident, id(local)), dict(vars(local)))

    def after(self) -> None:
        """Note what a request has left; call it when it is over."""
        ident = threading.get_ident()
        for name, local, place in self._locals:
            before = self._before.get((ident, id(local)), {})
            for key, value in vars(local).items():
                if value is not None and (key not in before or before[key] is not value):
                    self._tell(f"{name}.{key}", value, place)
        for name, registry, place in self._sessions:
            if registry.has():
                self._findings.add("session-kept", place, what=name)

    def _tell(self, what: str, value: Any, place: Place | None) -> None:
        is_connection = any(hasattr(type(value), each) for each in _CONNECTION)
        if is_connection:
            self._findings.add("thread-connection", place, what=what)
        elif type(value) not in _CONTAINERS or value:  # a cleanup leaves an empty one
            self._findings.add("thread-state", place, what=what)


def _locals(modules: Sequence[ModuleType]) -> Iterator[tuple[str, threading.local, Place | None]]:
    for module in modules:
        for name, value in list(vars(module).items()):
            if issubclass(type(value), threading.local):
                yield name, value, place_of_name(module, name)
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                for inner, held in list(vars(value).items()):
                    if issubclass(type(held), threading.local):
                        yield f"{name}.{inner}", held, place_of_name(module, inner)


def _sessions(modules: Sequence[ModuleType]) -> Iterator[tuple[str, Any, Place | None]]:
    """Yield the registries of SQLAlchemy's scoped sessions; those of Flask's extension clean up."""
    for module in modules:
        for name, value in list(vars(module).items()):
            kind = type(value)
            if kind.__module__.startswith("sqlalchemy.") and kind.__name__ == "scoped_session":
                yield name, value.registry, place_of_name(module, name)
