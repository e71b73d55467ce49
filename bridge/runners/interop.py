"""The server's loop for asgiref's ``async_to_sync`` and for ``anyio.from_thread`` (W51).

Both look for the loop in thread-locals that their own worker threads set. A thread of a pool sets
them too, with `publish_loop`, when it begins a job. What an app first imports in the middle of a
job (Flask imports asgiref at its first async view) finds the loop as well: `watch_imports` has the
thread-locals of such a module made anew when it is imported, before anybody sees it, so that they
set themselves in the threads of pools.

Under the greenlet runner the app is in the loop's own thread, which must not block: there both
libraries' calls are a `Runner.wait`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from asyncio import events
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from functools import wraps
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bridge.log import logger
from bridge.runners.base import Runner, current

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # it loads tempfile and zipfile, 1 MB
    Loader = MetaPathFinder = object


# ------------------------------------------------------------- in threads


def publish_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Let asgiref's ``async_to_sync`` and ``anyio.from_thread`` find `loop` from this thread.

    What the app has not imported is left alone: call it again when there are more modules, or if
    it says False, which means that another thread is just importing one of them.
    """
    complete = True
    for name, lend in _BORROWERS.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        if getattr(module.__spec__, "_initializing", False):
            complete = False
            continue
        try:
            lend(module, loop)
        except Exception as error:  # a version whose inside is another: the app runs without
            _warn_once(name, error)
    return complete


def _lend_to_asgiref(sync: ModuleType, loop: asyncio.AbstractEventLoop) -> None:
    local = sync.SyncToAsync.threadlocal
    local.main_event_loop, local.main_event_loop_pid = loop, os.getpid()


def _lend_to_anyio(anyio: ModuleType, loop: asyncio.AbstractEventLoop) -> None:
    local = import_module("anyio._core._eventloop").threadlocals
    if hasattr(import_module("anyio.lowlevel"), "EventLoopToken"):
        local.current_cancel_scope = None
        local.current_token = _Token(loop)
    else:  # before anyio 4.11
        backend = _anyio_backend()
        local.current_cancel_scope = backend.create_cancel_scope()
        local.current_async_backend, local.current_token = backend, loop


class _Token:
    """An ``anyio.lowlevel.EventLoopToken``, which loads anyio's half for asyncio if it is used."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.native_token = loop

    @property
    def backend_class(self) -> Any:
        """anyio: what runs things on the loop."""
        return _anyio_backend()


def _anyio_backend() -> Any:
    return import_module("anyio._backends._asyncio").AsyncIOBackend


_BORROWERS = {"asgiref.sync": _lend_to_asgiref, "anyio": _lend_to_anyio}
#: Modules that could not be lent to, which is said once.
_strange: set[str] = set()


def _warn_once(name: str, error: Exception) -> None:
    if name not in _strange:
        _strange.add(name)
        logger.warning("%s in WSGI apps does not find the server's loop: %r", name, error)


# ------------------------------------------------------------- what is imported later


def watch_imports() -> None:
    """Adopt what is imported from now on; harmless if that is done already."""
    if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


class _Lent(threading.local):
    """A thread-local that is set from the runner of its thread when something is missing."""

    def __init__(self, borrower: str) -> None:
        self._borrower = borrower

    def __getattr__(self, name: str) -> Any:
        runner, module = current.runner, sys.modules.get(self._borrower)
        loop = None if runner is None or name.startswith("__") else runner.lends()
        if loop is not None and module is not None:
            _BORROWERS[self._borrower](module, loop)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(name)


def _adopt_asgiref(sync: ModuleType) -> None:
    sync.SyncToAsync.threadlocal = _Lent("asgiref.sync")
    if _switching:
        _switch_asgiref(sync)


def _adopt_anyio(event_loop: ModuleType) -> None:
    event_loop.threadlocals = _Lent("anyio")  # type: ignore[attr-defined]


def _adopt_anyio_backend(backend: ModuleType) -> None:
    if _switching:
        _switch_anyio(backend)


#: What to do with a module before anybody else sees it.
_ADOPTERS: dict[str, Callable[[ModuleType], None]] = {
    "asgiref.sync": _adopt_asgiref,
    "anyio._core._eventloop": _adopt_anyio,
    "anyio._backends._asyncio": _adopt_anyio_backend,
}


class _Watcher(MetaPathFinder):
    """Finds the modules of `_ADOPTERS` as the others do, with a loader that adopts them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """importlib: where the module is; None leaves that to the others."""
        if name not in _ADOPTERS:
            return None
        for finder in sys.meta_path:
            find = None if isinstance(finder, _Watcher) else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Adopter(spec.loader)
                return spec
        return None


class _Adopter(Loader):
    """A loader that hands a module to its adopter when it has run."""

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
        try:
            _ADOPTERS[module.__name__](module)
        except Exception as error:
            _warn_once(module.__name__, error)


# ------------------------------------------------------------- in greenlets


#: Greenlets run here: both libraries switch to the loop instead of blocking it.
_switching = False


def switch_calls(loop: asyncio.AbstractEventLoop) -> None:
    """From now on asgiref and anyio wait by `Runner.wait` in greenlets of this thread's `loop`.

    Anybody else's calls are as before.
    """
    global _switching
    if "anyio" in sys.modules:
        _lend_to_anyio(sys.modules["anyio"], loop)
    if _switching:
        return
    _switching = True
    for name, switch in _SWITCHES.items():
        if name in sys.modules:
            try:
                switch(import_module(name))
            except Exception as error:
                _warn_once(name, error)


def _switch_asgiref(sync: ModuleType) -> None:
    call = sync.AsyncToSync.__call__

    @wraps(call)
    def switching_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        runner = current.runner
        if runner is None or not runner.switches() or self.force_new_loop:
            return call(self, *args, **kwargs)
        contexts: list[Context] = []
        try:
            return runner.wait(_keeping_context(self.awaitable(*args, **kwargs), contexts))
        finally:
            for context in contexts:
                _take_over(context)

    sync.AsyncToSync.__call__ = switching_call


async def _keeping_context(awaitable: Awaitable[Any], contexts: list[Context]) -> Any:
    """Await, and leave the context in which that ended."""
    try:
        return await awaitable
    finally:
        contexts.append(copy_context())


def _take_over(context: Context) -> None:
    """Set what is set in `context`, as asgiref does after each call."""
    for variable, value in context.items():
        if variable.get(None) is not value:
            variable.set(value)


def _switch_anyio(asyncio_backend: ModuleType) -> None:
    backend = asyncio_backend.AsyncIOBackend
    run_async, run_sync = backend.run_async_from_thread, backend.run_sync_from_thread

    def switching(token: Any) -> Runner | None:
        """Who switches, if this would block the loop of this thread, or an app in a greenlet."""
        runner = current.runner
        if runner is None or runner.threaded:
            return None
        here = (None, runner.lends(), events._get_running_loop())
        return runner if token in here else None

    def run_async_from_thread(cls: Any, func: Any, args: Any, token: Any) -> Any:
        runner = switching(token)
        if runner is None:
            return run_async(func, args, token)
        return runner.wait(func(*args))

    def run_sync_from_thread(cls: Any, func: Any, args: Any, token: Any) -> Any:
        runner = switching(token)
        if runner is None:
            return run_sync(func, args, token)
        return runner.wait(_called(func, args))

    backend.run_async_from_thread = classmethod(run_async_from_thread)
    backend.run_sync_from_thread = classmethod(run_sync_from_thread)


_SWITCHES = {"asgiref.sync": _switch_asgiref, "anyio._backends._asyncio": _switch_anyio}


async def _called(func: Callable[..., Any], args: Sequence[Any]) -> Any:
    return func(*args)
