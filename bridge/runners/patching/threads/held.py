"""Locks that were made before the patch, exchanged where they are found (G6).

A module that is loaded already has locks: in its globals (``_lock = threading.Lock()``), in its
classes, in objects that are one of these. They are looked for there, and in the attributes of such
objects; conditions, events, semaphores, barriers and queues are changed in place. A lock is
adopted, so it may be in use, and who knows it from elsewhere still has the same one. An RLock is
exchanged only if it is free.

Handlers of logging keep theirs (`logs.py`). What is deeper (in a list, in an object of an object)
stays as it is: it stops its thread when a greenlet waits for it. So the patch belongs before other
imports.

No code of the objects is called: some are proxies, or load at the first look.
"""

from __future__ import annotations

import _thread
import logging
import queue
import sys
import threading
from types import GetSetDescriptorType, ModuleType
from typing import Any, Final

from bridge.runners.patching.threads.locks import Lock
from bridge.runners.patching.threads.rlocks import RealRLock, RLock

_RealLock: Final = _thread.LockType
#: Modules whose locks are of threads only, and held for a moment, without a switch.
_LEFT_ALONE: Final = {"bridge", "threading", "logging", "importlib", "_frozen_importlib"}
#: What is made of conditions: the attributes that are some.
_PARTS: Final = (
    (threading.Event, ("_cond",)),
    (threading.Semaphore, ("_cond",)),
    (threading.Barrier, ("_cond",)),
    (queue.Queue, ("not_empty", "not_full", "all_tasks_done")),
)
_namespace: Final[Any] = vars(ModuleType)["__dict__"].__get__
_attributes: Final[Any] = vars(type)["__dict__"].__get__


class _Exchange:
    """Exchanges the locks of some modules: the same lock for the same new one everywhere."""

    def __init__(self) -> None:
        #: New locks by the number of the old one, which is kept, and so keeps its number.
        self._new: dict[int, tuple[Any, Any]] = {}
        self._seen: set[int] = set()

    def exchange_in(self, names: dict[str, Any], put: Any, depth: int) -> None:
        """Exchange the locks in `names`; ``put(name, lock)`` puts a new one there."""
        for name, value in [*names.items()]:
            new = self.new_for(value)
            if new is not None:
                put(name, new)
            elif depth:
                self._look_into(value, depth - 1)

    def new_for(self, lock: Any) -> Any:
        """Return the lock that is to be in the place of `lock`; None: it stays."""
        kind = type(lock)
        if kind is not _RealLock and kind is not RealRLock:
            return None
        if id(lock) not in self._new:
            new: Any = None
            if kind is _RealLock:
                new = Lock(adopt=lock)
            elif not lock._is_owned() and lock.acquire(False):
                lock.release()
                new = RLock()
            self._new[id(lock)] = lock, new
        return self._new[id(lock)][1]

    def _look_into(self, value: Any, depth: int) -> None:
        kind = type(value)
        if id(value) in self._seen or issubclass(kind, (ModuleType, logging.Handler)):
            return
        self._seen.add(id(value))
        if issubclass(kind, type):
            put: Any = lambda name, lock: type.__setattr__(value, name, lock)  # noqa: E731
            if value.__flags__ & _IS_MUTABLE:
                self.exchange_in(_attributes(value), put, depth)
            return
        if issubclass(kind, threading.Condition):
            self._exchange_of_condition(value)
            return
        names = _attributes_of_instance(value, kind)
        if names is None:
            return
        for base, parts in _PARTS:
            if issubclass(kind, base):
                for part in parts:
                    self._look_into(names.get(part), depth)
        self.exchange_in(names, names.__setitem__, depth)

    def _exchange_of_condition(self, condition: Any) -> None:
        new = self.new_for(condition._lock)
        if new is not None:
            waiters = condition._waiters
            threading.Condition.__init__(condition, new)
            condition._waiters = waiters


def _attributes_of_instance(value: Any, kind: type) -> dict[str, Any] | None:
    for base in type.__getattribute__(kind, "__mro__"):
        getter: Any = _attributes(base).get("__dict__")
        if getter is not None:
            if type(getter) is not GetSetDescriptorType:
                return None  # a property
            names = getter.__get__(value)
            return names if type(names) is dict else None
    return None


#: A flag of classes: made by a statement, not in C.
_IS_MUTABLE: Final = 1 << 9


def replace_held() -> None:
    """Exchange the locks that loaded modules have."""
    exchange = _Exchange()
    modules: list[tuple[str, Any]] = [*sys.modules.items()]
    for name, module in modules:
        if issubclass(type(module), ModuleType) and name.partition(".")[0] not in _LEFT_ALONE:
            names = _namespace(module)
            exchange.exchange_in(names, names.__setitem__, 2)


def patch() -> list[tuple[object, object]]:
    """Exchange what is there now."""
    replace_held()
    return []
