"""Database drivers written in C that let somebody else wait (G6).

They are changed when they are imported, or now if they are.

psycopg 3 asks a function of its own to wait. In greenlets that is the one that it has for itself
where it has no C: it waits by `poll`. psycopg2 has one function for the whole process, which it
calls for threads, too, if it is set; there it waits as ever. But with such a function psycopg2
refuses COPY and large objects, everywhere. If the app has set one, it stays.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from bridge.log import logger
from bridge.runners.greenlets.worker import current_worker
from bridge.runners.import_hook import when_imported


def patch() -> list[tuple[object, object]]:
    """Change the drivers, now or when they are imported; there is nothing else to replace."""
    for name, change in _DRIVERS.items():
        when_imported(name, change)
        if name in sys.modules:
            change(import_module(name))  # which waits if another thread is just importing it
    return []


def _attempt(change: Callable[[Any], None], module: ModuleType) -> None:
    """Call `change`; a version of the library that it does not know blocks as ever."""
    try:
        change(module)
    except Exception as error:
        logger.warning("calls of %s block in greenlets: %r", module.__name__, error)


def _change_psycopg(waiting: Any) -> None:
    original = waiting.wait
    if getattr(original, "waits_in_greenlets", False):
        return
    in_greenlets = getattr(waiting, "wait_poll", waiting.wait_selector)

    @wraps(original)
    def wait(*args: Any, **kwargs: Any) -> Any:
        return (original if current_worker() is None else in_greenlets)(*args, **kwargs)

    wait.waits_in_greenlets = True  # type: ignore[attr-defined]
    waiting.wait = wait


def _change_psycopg2(extensions: Any) -> None:
    if extensions.get_wait_callback() is None:
        extensions.set_wait_callback(partial(_wait_for_psycopg2, extensions))


def _wait_for_psycopg2(extensions: Any, connection: Any) -> None:
    """Wait until what `connection` is doing is done, in a greenlet or in a thread."""
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        waiting = select.poll()
        waiting.register(connection.fileno(), events[state])
        waiting.poll()


_DRIVERS: Final = {
    "psycopg.waiting": partial(_attempt, _change_psycopg),
    "psycopg2.extensions": partial(_attempt, _change_psycopg2),
}
