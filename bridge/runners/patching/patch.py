"""`bridge.greenlet_patch`: blocking calls wait without blocking, in greenlets (G6)."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

from bridge.errors import ConfigError
from bridge.runners.c_parts import load_c_part
from bridge.runners.patching.everywhere import replace_everywhere

#: The modules of this package that change something, each a part of the standard library.
PARTS: Final = (
    "child_processes",
    "drivers",
    "names",
    "selecting",
    "sleeping",
    "sockets",
    "threads",
    "tls",
)

#: Whether it is done in this process.
_patched = False


def greenlet_patch() -> None:
    """Let calls that block wait without blocking, in greenlets of the greenlet runner.

    In a request that this runner runs, such calls (sleeps, sockets, locks) then give the thread to
    other requests while they wait. In threads, in coroutines and under other runners they do what
    they always did. Call it first, before other imports; what is imported already is changed too,
    where that can be. A second call does nothing. Raises `ConfigError` if gevent or eventlet have
    changed the standard library, or if the greenlet runner cannot be loaded.
    """
    global _patched
    if _patched:
        return
    check_patchers()
    # They keep the originals, so all are loaded before the first change.
    load_c_part("bridge.runners.greenlets.in_thread", "greenlet_patch()", "do without it")
    parts = [import_module(f"bridge.runners.patching.{name}") for name in PARTS]
    replace_everywhere([pair for part in parts for pair in part.patch()])
    _patched = True


def is_patched() -> bool:
    """Whether `greenlet_patch` was called in this process."""
    return _patched


def check_patchers() -> None:
    """Raise `ConfigError` if another library has changed the standard library in its own way."""
    monkey, patcher = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if monkey is not None and monkey.is_anything_patched():
        other = "gevent"
    elif patcher is not None and patcher.already_patched:
        other = "eventlet"
    else:
        return
    raise ConfigError(
        f"greenlet_patch() was called, or --patch was given, but {other} has changed the standard "
        f"library, too, and only one can; take the patching by {other} out of the app, or run it "
        "without greenlet_patch() and --patch"
    )
