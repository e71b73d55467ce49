"""What Python tells of the code that runs: audit events, in the frame that causes them.

A hook for these cannot be taken away again. There is one for the process, which does nothing unless
a thread has asked for its events.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeAlias

#: Called with the event, its arguments and the frame; what it raises is raised in the app.
Watcher: TypeAlias = Callable[[str, tuple[Any, ...], FrameType], object]

#: The events that are told; others, such as those that a watcher itself causes, are not.
EVENTS: Final = frozenset(
    {
        *("_thread.start_new_thread", "_thread.start_joinable_thread"),
        *("os.fork", "os.posix_spawn", "subprocess.Popen"),
        *("socket.bind", "socket.connect", "sqlite3.connect", "time.sleep"),
    }
)

_watchers: dict[int, Watcher] = {}
_hooked = False


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of what this thread does within."""
    global _hooked
    if not _hooked:
        _hooked = True
        sys.addaudithook(_hook)
    ident = threading.get_ident()
    _watchers[ident] = watcher
    try:
        yield
    finally:
        del _watchers[ident]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in EVENTS and _watchers:
        watcher = _watchers.get(threading.get_ident())
        if watcher is not None:
            watcher(event, arguments, sys._getframe(1))
