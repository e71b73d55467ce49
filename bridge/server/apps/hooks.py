"""The operator's own functions, which the server calls when processes begin and end (P11).

    on_start      in the supervisor, once, before it forks the first worker
    post_fork     in each worker, before the app is imported; with `preload`, after that
    worker_exit   in each worker, after the app's shutdown, unless the worker was killed

Each is called with the settings (`Config`). One that cannot be loaded stops the start; one that
raises costs a line in the log, and the server goes on.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.arguments.values import Hook
from bridge.errors import AppLoadError, shown
from bridge.log import logger
from bridge.server.apps.loading import find
from bridge.server.config.config import Config


@contextmanager
def worker_hooks(config: Config) -> Iterator[None]:
    """Call `post_fork` before the block, and `worker_exit` after it, whatever ends it.

    Raises as `load_hook` does, before it calls one.
    """
    post_fork = load_hook("post_fork", config.post_fork, config)
    worker_exit = load_hook("worker_exit", config.worker_exit, config)
    post_fork()
    try:
        yield
    finally:
        worker_exit()


def load_hook(name: str, target: Hook | None, config: Config) -> Callable[[], None]:
    """Return what calls the hook `name`, which `target` is, or names; None: it does nothing.

    Raises `AppLoadError` if there is no such function; if importing its module raised, that is the
    cause.
    """
    if target is None:
        return _do_nothing
    try:
        hook = find(target, config.app_dir) if isinstance(target, str) else target
    except AppLoadError as error:
        raise AppLoadError(f"{name}: {error}") from error.__cause__
    if not callable(hook) or inspect.iscoroutinefunction(hook):
        kind = "a coroutine function" if callable(hook) else f"{shown(hook)}"
        named = target if isinstance(target, str) else shown(target)
        raise AppLoadError(f"{name}: {named} is {kind}; a hook is a plain function of one argument")
    return lambda: _call(hook, config, name)


def _call(hook: Callable[..., object], config: Config, name: str) -> None:
    try:
        hook(config)
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        logger.error(
            "the hook %s raised %s: %s (%s, line %s); the server goes on",
            name,
            type(error).__name__,
            error,
            last.filename,
            last.lineno,
        )


def _do_nothing() -> None:
    pass
