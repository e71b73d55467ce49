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
from functools import partial, wraps
from importlib import import_module
from types import ModuleType
from typing import Any

from bridge.log import logger
from bridge.runners.base import Runner, current_runner
from bridge.runners.import_hook import when_imported

# ------------------------------------------------------------- in threads


def publish_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Let asgiref's ``async_to_sync`` and ``anyio.from_thread`` find `loop` from this thread.

    Libraries that the app has not imported are left alone: call it again when there are more
    modules, or if it returns False, which means that another thread is just importing one of them.
    """
    complete = True
    for name, publish in _PUBLISHERS.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        if getattr(module.__spec__, "_initializing", False):
            complete = False
            continue
        _attempt(name, publish, module, loop)
    return complete


def _publish_to_asgiref(sync: ModuleType, loop: asyncio.AbstractEventLoop) -> None:
    local = sync.SyncToAsync.threadlocal
    local.main_event_loop, local.main_event_loop_pid = loop, os.getpid()


def _publish_to_anyio(anyio: ModuleType, loop: asyncio.AbstractEventLoop) -> None:
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


_PUBLISHERS = {"asgiref.sync": _publish_to_asgiref, "anyio": _publish_to_anyio}
#: Modules that are built in a way that we do not know; each is logged once.
_unsupported: set[str] = set()


def _attempt(name: str, change: Callable[..., None], *arguments: object) -> None:
    """Call `change`; with a version of the library that it does not know the app runs without."""
    try:
        change(*arguments)
    except Exception as error:
        if name not in _unsupported:
            _unsupported.add(name)
            logger.warning("%s in WSGI apps does not find the server's loop: %r", name, error)


# ------------------------------------------------------------- what is imported later


def watch_imports() -> None:
    """Patch the libraries that are imported from now on; harmless if that is done already."""
    for name, change in _CHANGES.items():
        when_imported(name, change)


class _LoopLocal(threading.local):
    """A thread-local that is set from the runner of its thread when an attribute is missing."""

    def __init__(self, library: str) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        runner, module = current_runner(), sys.modules.get(self._library)
        loop = None if runner is None or name.startswith("__") else runner.app_loop()
        if loop is not None and module is not None:
            _PUBLISHERS[self._library](module, loop)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(name)


def _patch_asgiref(sync: ModuleType) -> None:
    sync.SyncToAsync.threadlocal = _LoopLocal("asgiref.sync")
    if _switching:
        _switch_asgiref(sync)


def _patch_anyio(event_loop: ModuleType) -> None:
    event_loop.threadlocals = _LoopLocal("anyio")  # type: ignore[attr-defined]


def _patch_anyio_backend(backend: ModuleType) -> None:
    if _switching:
        _switch_anyio(backend)


#: What changes a module before anybody else sees it.
_CHANGES: dict[str, Callable[[ModuleType], None]] = {
    name: partial(_attempt, name, change)
    for name, change in {
        "asgiref.sync": _patch_asgiref,
        "anyio._core._eventloop": _patch_anyio,
        "anyio._backends._asyncio": _patch_anyio_backend,
    }.items()
}


# ------------------------------------------------------------- in greenlets


#: Whether `switch_calls` was called.
_switching = False


def switch_calls(loop: asyncio.AbstractEventLoop) -> None:
    """From now on asgiref and anyio wait by `Runner.wait` in greenlets of this thread's `loop`.

    Other calls are as before.
    """
    global _switching
    publish_in_greenlet(loop)
    if _switching:
        return
    _switching = True
    for name in _SWITCHES:
        if name in sys.modules:
            _attempt(name, _switch_imported, name)


def publish_in_greenlet(loop: asyncio.AbstractEventLoop) -> None:
    """Let ``anyio.from_thread`` find `loop` from this greenlet, whose thread-locals are its own."""
    if "anyio" in sys.modules:
        _attempt("anyio", _publish_to_anyio, sys.modules["anyio"], loop)


def _switch_imported(name: str) -> None:
    _SWITCHES[name](import_module(name))  # which waits if another thread is just importing it


def _switch_asgiref(sync: ModuleType) -> None:
    call = sync.AsyncToSync.__call__

    @wraps(call)
    def switching_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        runner = current_runner()
        if runner is None or not runner.in_greenlet() or self.force_new_loop:
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
        """Return the runner that has to wait if the call would block this loop, or None."""
        runner = current_runner()
        if runner is None or runner.threaded:
            return None
        here = (None, runner.app_loop(), events._get_running_loop())
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
