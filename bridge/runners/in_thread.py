"""A call that blocks, from code that must not: `bridge.in_thread` (G6)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return or raise what ``function(*args, **kwargs)`` does; greenlets call it in a thread.

    For calls that `bridge.greenlet_patch` cannot change: C code that blocks, slow files. Under the
    greenlet runner other requests go on meanwhile. The function runs in a copy of the caller's
    context, and with the thread's own `threading.local` values. If the request ends in the
    meantime, the function goes on, and nobody gets its result. At most 32 run at once in a process;
    more wait. Everywhere else (in threads, in coroutines, without the bridge) the function is just
    called.
    """
    if "bridge.runners.greenlets.worker" in sys.modules:
        worker = import_module("bridge.runners.greenlets.worker").current_worker()
        if worker is not None:
            run = import_module("bridge.runners.greenlets.in_thread").run_in_thread
            result: T = run(worker, function, *args, **kwargs)
            return result
    return function(*args, **kwargs)
