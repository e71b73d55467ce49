"""A function of the operator's, called when a gate has taken the new app back (M21)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from threading import Thread
from typing import Any, Final, NamedTuple, TypeAlias

from bridge.arguments.checks import Check
from bridge.arguments.values import VALUE_TYPES
from bridge.errors import ConfigError, shown
from bridge.log import logger

#: Seconds after which the log says that a hook still runs.
PATIENCE: Final = 30.0

_NAME: Final = Check(type=VALUE_TYPES["Hook"], optional=True)


class Rollback(NamedTuple):
    """What a hook is told: the route, why it was taken back, and from which share."""

    route: str
    reason: str
    share: float


Hook: TypeAlias = Callable[[Rollback], object]


def check_hook(target: object) -> str | Hook | None:
    """Return a function, or the name of one as ``module:function``, or None. Raises `ConfigError`.

    A name is not looked up: who reads a route may not be able to import what the app can.
    """
    found: str | Hook | None = _NAME.read(target, "on_rollback")
    if callable(found) and inspect.iscoroutinefunction(found):
        raise _no_function("a coroutine function")
    return found


def load_hook(target: object) -> Hook | None:
    """Return the function that `target` is, or names; None if it is None. Raises `ConfigError`."""
    found: Any = check_hook(target)
    if not isinstance(found, str):
        hook: Hook | None = found
        return hook
    module, _, function = found.partition(":")
    try:
        place: Any = import_module(module)
        for name in function.split("."):
            place = getattr(place, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"on_rollback is {found!r}, which is not there: {error}; write module:function"
        ) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"on_rollback is {found!r}; importing {module}: {error!r}") from error
    if not callable(place) or inspect.iscoroutinefunction(place):
        raise _no_function("a coroutine function" if callable(place) else f"{shown(place)}")
    named: Hook = place
    return named


def _no_function(kind: str) -> ConfigError:
    return ConfigError(f"on_rollback is {kind}; allowed is a plain function of one argument")


def call_hook(hook: str | Hook, event: Rollback, patience: float = PATIENCE) -> Thread:
    """Call `hook` once, in a thread, for which nothing waits; what it raises goes to the log.

    If it has not ended after so many seconds, the log says so. The thread ends with the process.
    Returns a thread that ends when all is said.
    """
    thread = Thread(target=_watch, args=(hook, event, patience), name="on_rollback", daemon=True)
    thread.start()
    return thread


def _watch(hook: str | Hook, event: Rollback, patience: float) -> None:
    caller = Thread(target=_call, args=(hook, event), name="on_rollback hook", daemon=True)
    caller.start()
    caller.join(patience)
    if caller.is_alive():
        logger.error("the hook on_rollback of route %s still runs after %g s", event[0], patience)


def _call(hook: str | Hook, event: Rollback) -> None:
    try:
        if (function := load_hook(hook)) is not None:
            function(event)
    except (Exception, SystemExit):
        logger.exception("the hook on_rollback of route %s raised", event.route)
